"""What must be true for the agent to be ready, each by what was seen and not by what was meant.

    of a pipeline          fails when
    worker_alive           its process has not reported for 2.2 s, or is being restarted
    model_warm             its model is not loaded; one that its maker doubts is a warning
    frame_fresh            its camera or sensors are late, frozen, dark, away (docs/mqtt.md)
    verdict_produced       there is no verdict but `error`, or an item is under way for too long
    accelerator            its model runs nowhere, because it is away; on the CPU: a warning

    of the gateway
    agent_alive            a thread of the agent ended, or its loop has stopped turning
    broker_acknowledging   away, silent, or refusing verdicts; a subscription or a state that it
                           refuses is a warning
    disk_room              little left, or the disk refuses the outbox
    clock_sane             it is before this version was made; a clock that was set is a warning
    evidence_uploaded      never; with [upload] it warns while evidence cannot be sent

All pure. A pipeline that has ended (a folder without more pictures), or was told to stop, has
nothing to fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_agent.acceleration.report import AccelerationReport
    from edge_agent.serving.options import HealthOptions

State = Literal["ok", "warn", "fail"]

CHECKS_OF_A_PIPELINE = (
    "worker_alive",
    "model_warm",
    "frame_fresh",
    "verdict_produced",
    "accelerator",
)
CHECKS_OF_THE_GATEWAY = ("agent_alive", "broker_acknowledging", "disk_room", "clock_sane")

# Two reports missed; after three the supervisor ends the worker.
SILENT_S = 2.2
LOOP_S = 5.0
# 2026-01-01: before it no clock that was ever set can be.
EARLIEST_NS = 1_767_225_600 * 10**9
STEP_SHOWN_S = 60.0
NO_WORKER = {"starting", "restarting"}
NO_MODEL = NO_WORKER | {"loading", "failed", "degraded"}
OVER = {"ended", "stopped"}
# What a pipeline that loads must fail.
FAILS_LOADING = {"model_warm", "frame_fresh"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer; `pipeline` is "" for the gateway's.

    `asked_for`: it fails only because the pipeline was told to begin anew, and loads.
    """

    name: str
    pipeline: str
    state: State
    reason: str = ""
    asked_for: bool = False


@dataclass(frozen=True, slots=True)
class PipelineFacts:
    """What is known of a pipeline. Times on the monotonic clock in seconds; None: never.

    `source_state` is "connected" where its source is well, "" where nobody watches it.
    """

    name: str
    state: str
    detail: str
    triggered: bool
    model: str
    reported_s: float | None
    busy_since_s: float | None
    source_state: str
    source_detail: str
    judged_s: float | None
    first_error_s: float | None
    error_s: float | None
    acceleration: AccelerationReport | None = None
    begins_anew: bool = False
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """What is known of the rest."""

    looped_s: float
    dead_threads: tuple[str, ...]
    connected: bool
    broker_detail: str
    acked_s: float | None
    parked: int
    disk_free_bytes: int | None
    disk_detail: str
    utc_ns: int
    clock_step_s: float
    clock_stepped_s: float | None
    upload_trouble: str | None = None
    """None: nothing is to be uploaded."""


def findings(
    gateway: GatewayFacts, pipelines: Iterable[PipelineFacts], options: HealthOptions, mono_s: float
) -> list[Finding]:
    """Return every check's answer at `mono_s`."""
    found = [
        agent_alive(gateway.looped_s, gateway.dead_threads, mono_s),
        Finding("broker_acknowledging", "", *_broker(gateway, options, mono_s)),
        Finding("disk_room", "", *_disk(gateway, options)),
        Finding("clock_sane", "", *_clock(gateway, mono_s)),
    ]
    if gateway.upload_trouble is not None:
        state: State = "warn" if gateway.upload_trouble else "ok"
        found.append(Finding("evidence_uploaded", "", state, gateway.upload_trouble))
    for pipeline in pipelines:
        found += _of_pipeline(pipeline, options, mono_s)
    return found


def agent_alive(looped_s: float, dead_threads: tuple[str, ...], mono_s: float) -> Finding:
    """Return whether the agent's own process does its work; this one can be asked at any time."""
    if dead_threads:
        return Finding("agent_alive", "", "fail", f"a bug ended: {', '.join(dead_threads)}")
    if mono_s - looped_s > LOOP_S:
        reason = f"its loop has not turned for {mono_s - looped_s:.0f} s"
        return Finding("agent_alive", "", "fail", reason)
    return Finding("agent_alive", "", "ok")


def _of_pipeline(facts: PipelineFacts, options: HealthOptions, mono_s: float) -> Iterator[Finding]:
    answers: dict[str, tuple[State, str]]
    if facts.state in OVER:
        answers = dict.fromkeys(CHECKS_OF_A_PIPELINE, ("ok", facts.state))
    else:
        answers = {
            "worker_alive": _worker(facts, mono_s),
            "model_warm": _model(facts),
            "frame_fresh": _frame(facts),
            "verdict_produced": _verdict(facts, options.verdict_within_s, mono_s),
            "accelerator": _accelerator(facts.acceleration),
        }
    loads = facts.begins_anew and facts.state == "loading"
    for name, (state, reason) in answers.items():
        asked_for = loads and state == "fail" and name in FAILS_LOADING
        yield Finding(name, facts.name, state, reason, asked_for)


def _worker(facts: PipelineFacts, mono_s: float) -> tuple[State, str]:
    if facts.state in NO_WORKER or facts.reported_s is None:
        return "fail", facts.detail or "its worker is being started"
    silent_s = mono_s - facts.reported_s
    if silent_s > SILENT_S:
        return "fail", f"its worker has been silent for {silent_s:.0f} s"
    return "ok", ""


def _model(facts: PipelineFacts) -> tuple[State, str]:
    if facts.state in NO_MODEL or not facts.model:
        return "fail", facts.detail or "its model is not loaded"
    if facts.doubts:
        return "warn", f"the maker of its model doubts it: {'; '.join(facts.doubts)}"
    return "ok", ""


def _frame(facts: PipelineFacts) -> tuple[State, str]:
    if facts.state != "running":
        return "fail", facts.detail or facts.state
    if facts.source_state not in {"", "connected"}:
        reason = f"{facts.source_state}: {facts.source_detail}".removesuffix(": ")
        return "fail", reason
    return "ok", ""


def _verdict(facts: PipelineFacts, within_s: float, mono_s: float) -> tuple[State, str]:
    if facts.busy_since_s is not None and mono_s - facts.busy_since_s > within_s:
        return "fail", f"an item has been under way for {mono_s - facts.busy_since_s:.0f} s"
    first_s, error_s = facts.first_error_s, facts.error_s
    if facts.judged_s is None:
        if facts.triggered and error_s is None:
            return "ok", "nobody has asked for one yet"
        return "fail", "no verdict yet" if error_s is None else "nothing but errors so far"
    # Between two errors: after one, the next item of a slow source may be a minute away.
    if first_s is not None and error_s is not None and error_s - first_s > within_s:
        return "fail", f"nothing but errors for {mono_s - first_s:.0f} s"
    return "ok", ""


def _accelerator(report: AccelerationReport | None) -> tuple[State, str]:
    if report is None or report.is_effective or report.reason == "starting":
        return "ok", ""
    reason = f"{report.requested}: {report.reason}: {report.detail}"
    return ("warn" if report.effective == "cpu" else "fail"), reason


def _broker(facts: GatewayFacts, options: HealthOptions, mono_s: float) -> tuple[State, str]:
    if not facts.connected:
        return "fail", facts.broker_detail or "not connected"
    if facts.acked_s is None:
        return "fail", "nothing acknowledged yet"
    silent_s = mono_s - facts.acked_s
    if silent_s > options.broker_within_s:
        return "fail", f"connected, nothing acknowledged for {silent_s:.0f} s"
    if facts.parked:
        return "fail", f"it refuses {facts.parked} verdicts"
    return ("warn" if facts.broker_detail else "ok"), facts.broker_detail


def _disk(facts: GatewayFacts, options: HealthOptions) -> tuple[State, str]:
    if facts.disk_detail:
        return "fail", facts.disk_detail
    if facts.disk_free_bytes is None:
        return "fail", "the state folder cannot be looked at"
    free_mb = facts.disk_free_bytes / 1e6
    if free_mb < options.disk_free_mb:
        return "fail", f"{free_mb:.1f} MB left, less than {options.disk_free_mb:g}"
    return "ok", ""


def _clock(facts: GatewayFacts, mono_s: float) -> tuple[State, str]:
    if facts.utc_ns < EARLIEST_NS:
        return "fail", "it was never set: is there a time server?"
    if facts.clock_stepped_s is not None and mono_s - facts.clock_stepped_s < STEP_SHOWN_S:
        return "warn", f"it was set by {facts.clock_step_s:+.0f} s"
    return "ok", ""
