"""What reports of workers mean for a next model."""

from __future__ import annotations

from typing import Any

from edge_agent.line.succession_report import SuccessionReport
from edge_agent.modelstore.workers_view import ORDER_S, SETTLED_S, WorkersView
from edge_agent.processes.wire import PipelineReport

BUNDLE = "/store/gens/2"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def report(name: str, phase: str = "", *, state: str = "running", **fields: Any) -> PipelineReport:
    succession = None
    if phase:
        succession = SuccessionReport(folder=BUNDLE, phase=phase, **fields)  # type: ignore[arg-type]
    return PipelineReport(
        pipeline=name,
        state=state,
        detail="it said so",
        stage="",
        stage_since_mono_ns=0,
        totals={},
        latency_counts={},
        model="",
        model_version="",
        model_sha256="ab" if state == "running" else "",
        accelerator="cpu",
        succession=succession,
    )


def two() -> tuple[WorkersView, Clock]:
    clock = Clock()
    view = WorkersView(("left", "right"), clock)
    for name in ("left", "right"):
        view.heard(report(name))
    view.begin(BUNDLE)
    return view, clock


def test_all_pipelines_of_a_slot_must_agree_and_do_well() -> None:
    view, _ = two()
    view.heard(report("left", "agreed"))
    view.heard(report("right", "shadow"))
    assert view.judge("shadow").event is None
    view.heard(report("right", "agreed"))
    assert view.judge("shadow").event == "agreed"
    view.heard(report("left", "well"))
    view.heard(report("right", "trial"))
    assert view.judge("trial").event is None
    view.heard(report("right", "well"))
    assert view.judge("trial").event == "well"


def test_one_that_gives_it_up_is_enough() -> None:
    view, _ = two()
    view.heard(report("left", "well"))
    view.heard(report("right", "reverted", code="errs", detail="6 errors"))
    assert view.judge("trial") == ("broke", "errs", "6 errors")


def test_a_worker_that_died_speaks_against_the_model() -> None:
    view, _ = two()
    view.heard(report("left", "trial"))
    view.lost("right", "killed by SIGSEGV")
    assert view.judge("trial") == ("broke", "worker_died", "right: killed by SIGSEGV")


def test_a_pipeline_that_a_bug_ended_speaks_against_the_model_and_is_to_be_started_anew() -> None:
    view, clock = two()
    view.heard(report("left", "trial"))
    view.heard(report("right", "trial", state="degraded"))
    assert view.judge("trial").event == "broke"
    assert view.ended() == ["right"]
    view.heard(report("left", "reverted"))
    clock.now_s += 3.0
    assert view.judge("rolling_back").event == "broke"
    view.heard(report("right"))
    assert view.judge("rolling_back").event == "reverted"


def test_pipelines_that_forgot_the_order_were_restarted_and_it_begins_anew() -> None:
    view, clock = two()
    assert view.judge("shadow").event is None
    clock.now_s += ORDER_S + 1
    assert view.judge("shadow").event == "interrupted"


def test_what_is_said_of_another_bundle_does_not_count() -> None:
    view, _ = two()
    view.begin("/store/gens/3")
    view.heard(report("left", "well"))
    view.heard(report("right", "reverted", code="errs"))
    assert view.judge("trial").event is None


def test_a_model_in_force_that_does_not_load_or_kills_its_worker_cannot_start() -> None:
    view, clock = two()
    assert view.cannot_start(3) == ""
    seen = []
    for _ in range(2):
        clock.now_s += SETTLED_S * 0.6
        seen.append(view.settled)
    assert seen == [False, True]
    view.heard(report("left", state="failed"))
    assert view.cannot_start(3) == "it said so"
    view.begin("")
    for _ in range(3):
        assert view.cannot_start(3) == ""
        view.lost("left", "killed by SIGKILL")
    assert "3 deaths" in view.cannot_start(3)
    assert not view.settled
