"""One model after another in a pipeline that goes on: a real pipeline, without processes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.inference.model import load_model
from edge_agent.processes.wire import Succeed
from tests.agents import MODELS
from tests.lone_pipeline import NAME, lone_pipeline, pipeline_options
from tests.updating import odd_models, plant
from tools.bundling.bundle import enter_doubts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.inference.model import Model
    from edge_agent.line.succession_report import SuccessionReport
    from edge_agent.types import Verdict
    from tests.conftest import WaitFor

SOURCE = {"kind": "simulator", "scene": "conveyor", "fps": 30.0}


class Line:
    """A pipeline of simulated plates."""

    def __init__(self, folder: Path, wait_for: WaitFor, **fields: Any) -> None:
        self.verdicts: list[Verdict] = []
        self._wait_for = wait_for
        tree = {
            "family": "qc",
            "model": str(MODELS / "conveyor-parts"),
            "source": SOURCE,
            "camera": {"on": False},
        }
        self.options = pipeline_options(tree | fields)
        self.thread = lone_pipeline(self.options, folder, self.verdicts.append)
        self.thread.start()
        wait_for(lambda: len(self.verdicts) > 3)

    def order(self, step: Any, bundle: Path) -> None:
        self.thread.succeed(Succeed(NAME, step, str(bundle)))

    def phase(self, *phases: str) -> SuccessionReport:
        """Return the report once it is in one of these."""

        def found() -> SuccessionReport | None:
            report = self.thread.report().succession
            return report if report and report.phase in phases else None

        report = self._wait_for(found)
        assert report is not None
        return report

    def decided_by(self, version: str) -> None:
        """Wait until this version decides."""
        self._wait_for(lambda: self.verdicts[-1].model_version == version)


@pytest.fixture
def line(tmp_path: Path, wait_for: WaitFor) -> Iterator[Callable[..., Line]]:
    """Start pipelines; they end with the test."""
    lines: list[Line] = []

    def start(**fields: Any) -> Line:
        lines.append(Line(tmp_path, wait_for, **fields))
        return lines[-1]

    yield start
    for each in lines:
        each.thread.stop()
        assert each.thread.join(60)


def test_a_good_model_is_compared_swapped_in_and_kept(
    tmp_path: Path, line: Callable[..., Line]
) -> None:
    bundle, plates = plant.changed(tmp_path, "2.0.0"), line()
    plates.order("load", bundle)
    shadow = plates.phase("agreed", "failed")
    assert (shadow.phase, shadow.disagreements, shadow.errors) == ("agreed", 0, 0)
    assert shadow.items >= 5
    assert plates.verdicts[-1].model_version == "1.0.0"
    plates.order("swap", bundle)
    assert plates.phase("well", "reverted").items >= 5
    plates.order("keep", bundle)
    plates.decided_by("2.0.0")
    plates.order("revert", bundle)
    assert plates.phase("kept").phase == "kept", "what was kept is not taken back"
    assert not [v for v in plates.verdicts if v.outcome == "error"]


def test_a_model_that_its_maker_doubts_says_so_at_the_start_and_when_it_takes_over(
    tmp_path: Path, line: Callable[..., Line], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = plant.changed(tmp_path, "1.5.0"), plant.changed(tmp_path, "2.0.0")
    enter_doubts(first, ["it only guesses"])
    enter_doubts(second, ["it rejects too much", "it is slow"])
    plates = line(model=str(first))
    assert caplog.text.count(f"{NAME}: the maker of its model doubts it: it only guesses") == 1
    plates.order("load", second)
    plates.phase("agreed")
    assert "it is slow" not in caplog.text
    plates.order("swap", second)
    plates.decided_by("2.0.0")
    told = [record.message for record in caplog.records if "doubts it" in record.message]
    assert [text.rpartition(": ")[2] for text in told] == [
        "it only guesses",
        "it rejects too much",
        "it is slow",
    ]


def test_what_is_taken_back_on_trial_was_there_between_two_items(
    tmp_path: Path, line: Callable[..., Line]
) -> None:
    bundle, plates = plant.changed(tmp_path, "2.0.0"), line()
    for _ in range(2):
        plates.order("load", bundle)
        plates.phase("agreed")
        plates.order("swap", bundle)
        plates.decided_by("2.0.0")
        plates.order("revert", bundle)
        assert plates.phase("reverted").code == "recalled"
        plates.decided_by("1.0.0")
    assert not [v for v in plates.verdicts if v.outcome == "error"]


def test_every_part_is_decided_about_once_while_models_come_and_go(
    tmp_path: Path, line: Callable[..., Line]
) -> None:
    bundle = plant.changed(tmp_path, "2.0.0")
    plates = line(source=SOURCE | {"realtime": False})  # none is overtaken
    for _ in range(3):
        plates.order("load", bundle)
        plates.phase("agreed")
        plates.order("swap", bundle)
        plates.decided_by("2.0.0")
        plates.order("revert", bundle)
        plates.decided_by("1.0.0")
    parts = [int((v.part_id or "")[-6:]) for v in list(plates.verdicts)]
    assert parts == list(range(len(parts)))


def test_a_model_that_decides_otherwise_is_given_up_in_the_shadow(
    tmp_path: Path, line: Callable[..., Line]
) -> None:
    def other_limits(tree: dict[str, Any], _: Path) -> None:
        tree["decision"]["rule"] = {"kind": "threshold", "fail_at": 0.0}

    bundle, plates = plant.changed(tmp_path, "2.0.0", change=other_limits), line()
    plates.order("load", bundle)
    report = plates.phase("failed", "agreed")
    assert (report.phase, report.code) == ("failed", "disagrees")


def test_a_rule_that_the_config_changes_on_trial_holds_for_the_old_model_as_well(
    tmp_path: Path, line: Callable[..., Line]
) -> None:
    bundle, plates = plant.changed(tmp_path, "2.0.0"), line()
    plates.order("load", bundle)
    plates.phase("agreed")
    plates.order("swap", bundle)
    plates.decided_by("2.0.0")
    tree = plates.options.model_dump(mode="json", exclude_unset=True)
    tree["rule"] = {"kind": "threshold", "fail_at": 0.001}
    plates.thread.follow(pipeline_options(tree), 2)
    plates.order("revert", bundle)
    plates.decided_by("1.0.0")
    before = len(plates.verdicts)
    plates._wait_for(lambda: len(plates.verdicts) > before + 3)
    assert {v.threshold for v in plates.verdicts[before + 1 :]} == {0.001}


def test_a_model_that_is_recalled_while_it_is_loaded_never_decides(
    tmp_path: Path, line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, plates = plant.changed(tmp_path, "2.0.0"), line()
    loading, recalled = threading.Event(), threading.Event()

    def slow(folder: Path, **how: Any) -> Model:
        found = load_model(folder, **how)
        if folder == bundle:
            loading.set()
            assert recalled.wait(60)
        return found

    monkeypatch.setattr("edge_agent.line.next_model.load_model", slow)
    plates.thread.succeed(Succeed(NAME, "load", str(bundle), pause=True))
    plates.order("swap", bundle)
    assert loading.wait(60)
    plates.order("revert", bundle)
    recalled.set()
    assert plates.phase("trial", "reverted").phase == "reverted"
    before = len(plates.verdicts)
    plates._wait_for(lambda: len(plates.verdicts) > before + 3)
    assert {v.model_version for v in plates.verdicts} == {"1.0.0"}


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (MODELS / "motor-bearing", "takes other items"),
        (MODELS / "nothing", "no such folder"),
    ],
)
def test_what_cannot_run_here_is_given_up_before_it_sees_an_item(
    bundle: Path, words: str, line: Callable[..., Line]
) -> None:
    plates = line()
    plates.order("load", bundle)
    report = plates.phase("failed", "shadow", "agreed")
    assert (report.phase, report.code) == ("failed", "model")
    assert words in report.detail


def test_answers_that_are_no_numbers_are_seen_in_the_shadow_while_the_line_goes_on(
    tmp_path: Path, line: Callable[..., Line]
) -> None:
    plates = line()
    plates.order("load", plant.odd(tmp_path, "2.0.0", odd_models.not_a_number()))
    assert plates.phase("failed", "agreed").code == "errs"
    before = len(plates.verdicts)
    plates._wait_for(lambda: len(plates.verdicts) > before + 5)
