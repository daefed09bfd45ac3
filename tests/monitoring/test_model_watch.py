"""Where a pipeline's reference comes from, how long it holds, and what alerts come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.monitoring import learning_file, reference_file
from edge_agent.monitoring.drift import Reference
from edge_agent.monitoring.model_watch import ModelWatch
from edge_agent.monitoring.options import DriftOptions, RejectOptions
from edge_agent.monitoring.reference_file import Origin

if TYPE_CHECKING:
    from pathlib import Path

EVEN = tuple(float(number) for number in range(21))
BUNDLE = Reference(300, {"score": EVEN}, 0.02)
ORIGIN = Origin("ab" * 32, None)


def watch(
    kept_in: Path | None = None,
    origin: Origin = ORIGIN,
    bundle: Reference | None = None,
    family: str = "qc",
    learn_items: int | None = 50,
) -> ModelWatch:
    return ModelWatch(
        "camera",
        DriftOptions(learn_items=learn_items, window=20),
        RejectOptions(),
        origin,
        family=family,
        bundle=bundle,
        kept_in=kept_in,
    )


def feed(watched: ModelWatch, value: float, count: int) -> None:
    for index in range(count):
        watched.count(reject=False)
        watched.add({"score": value + index % 5}, 10.0, reject=False)


def test_the_bundle_says_what_is_usual() -> None:
    watched = watch(bundle=BUNDLE)
    assert watched.drift_report().origin == "bundle"
    assert watched.usual("score") == 10.0
    assert [alert.kind for alert in watched.alerts()] == ["drift", "reject_rate"]


def test_without_a_bundles_word_it_is_learned_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "drift" / "camera.json"
    watched = watch(path)
    feed(watched, 3.0, 49)
    assert watched.drift_report().origin == "learning"
    assert watched.alerts() == []
    feed(watched, 3.0, 1)
    assert watched.drift_report().origin == "learned"
    again = watch(path)
    assert again.drift_report().origin == "learned"
    assert again.usual("score") == watched.usual("score")


def test_a_restart_goes_on_learning_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_file, "EVERY_S", 0.0)
    path = tmp_path / "drift" / "camera.json"
    feed(watch(path), 3.0, 30)
    again = watch(path)
    assert again.drift_report().items == 30
    feed(again, 9.0, 20)
    assert again.drift_report().origin == "learned"
    assert again.usual("score") == 7.0  # thirty of 3 to 7, twenty of 9 to 13
    assert [each.name for each in path.parent.iterdir()] == ["camera.json"]


def test_fewer_items_than_are_kept_may_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_file, "EVERY_S", 0.0)
    path = tmp_path / "camera.json"
    feed(watch(path), 3.0, 30)
    fewer = watch(path, learn_items=20)
    assert (fewer.drift_report().origin, fewer.drift_report().items) == ("learned", 20)
    assert watch(path).drift_report().items == 20


@pytest.mark.parametrize(
    "origin",
    [Origin("cd" * 32, None), Origin("ab" * 32, (0, 0, 9, 9)), Origin("ab" * 32, None, "today")],
    ids=["another model", "another part of the picture", "calibrated since"],
)
def test_what_was_learned_holds_for_one_model_one_view_and_one_calibration(
    tmp_path: Path, origin: Origin
) -> None:
    path = tmp_path / "camera.json"
    feed(watch(path), 3.0, 50)
    assert watch(path, origin).drift_report().origin == "learning"


def test_after_a_calibration_the_bundles_word_holds_no_longer() -> None:
    calibrated = Origin("ab" * 32, None, "2026-01-02T03:04:05.678Z")
    assert watch(origin=calibrated, bundle=BUNDLE).drift_report().origin == "learning"


def test_a_machine_learns_nothing_unless_it_is_told_to() -> None:
    watched = watch(family="pdm", learn_items=None)
    feed(watched, 3.0, 2000)
    assert watched.drift_report().origin == "none"
    assert watched.alerts() == []


def test_a_damaged_file_is_learned_anew(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text('{"schema": 1')
    assert reference_file.find(path, ORIGIN) is None
    assert watch(path).drift_report().origin == "learning"


def test_a_disk_that_refuses_stops_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    watched = watch(blocked / "camera.json")
    feed(watched, 3.0, 50)
    assert watched.drift_report().origin == "learned"


def test_an_alert_says_in_words_what_is_unusual() -> None:
    watched = watch(bundle=BUNDLE)
    feed(watched, 40.0, 20)
    alert = watched.alerts()[0]
    assert alert.raised is True
    assert alert.message == "score 42, usually 10"
    assert alert.value >= alert.limit == 0.8
