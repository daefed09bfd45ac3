"""What the agent and its workers tell each other over a pipe.

Workers run native code on files that may be hostile, so what they send is decoded into exactly
these types and never unpickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from edge_agent.acceleration.report import AccelerationReport
from edge_agent.line.succession_report import SuccessionReport
from edge_agent.monitoring.report import WatchReport
from edge_agent.types import Verdict

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class PipelineReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one pipeline is doing; totals count since the worker started.

    `state`: see pipeline.py. `stage` is what the inference thread does at this moment ("" between
    items) since `stage_since_mono_ns`. `latency_counts` are the buckets of metrics.Histogram, one
    list per stage, `latency_sums_ms` their sums. `config_rev`: of the config that it
    follows; `recipe`: the product variant. `doubts`: as in the manifest of its model.
    `accelerator`: what ran the model last; `acceleration`: None where the CPU is all it wants.
    `watch`: see monitoring/report.py; None until the source is there. `succession`: None until a
    next model was ordered.
    """

    pipeline: str
    state: str
    detail: str
    stage: str
    stage_since_mono_ns: int
    totals: dict[str, int]
    latency_counts: dict[str, list[int]]
    latency_sums_ms: dict[str, float] = {}
    model: str
    model_version: str
    model_sha256: str
    accelerator: str
    acceleration: AccelerationReport | None = None
    config_rev: int = 0
    recipe: str = ""
    doubts: tuple[str, ...] = ()
    watch: WatchReport | None = None
    succession: SuccessionReport | None = None


class Verdicts(msgspec.Struct, frozen=True, tag=True):
    """Decided items, in order, that no trigger asked for."""

    verdicts: list[Verdict]


class Answer(msgspec.Struct, frozen=True, tag=True):
    """A decided item that a trigger asked for; the verdict's id is the trigger's."""

    verdict: Verdict


class Report(msgspec.Struct, frozen=True, tag=True):
    """The heartbeat."""

    pipelines: list[PipelineReport]


class TriggerTaken(msgspec.Struct, frozen=True, tag=True):
    """An item was found for this trigger and is being inspected."""

    id: str


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """The worker has handed over everything and leaves."""


class Configured(msgspec.Struct, frozen=True, tag=True):
    """What was no longer wanted is gone, and has said all it had to say."""

    config_rev: int


class SnapshotTaken(msgspec.Struct, frozen=True, tag=True):
    """One item with its verdict; `picture`: JPEG with the regions drawn, empty for a window."""

    id: str
    verdict: Verdict
    picture: bytes


class Logged(msgspec.Struct, frozen=True, tag=True):
    """A line of the worker's log; `level` as in logging."""

    level: int
    text: str


class Trigger(msgspec.Struct, frozen=True, tag=True):
    """Inspect the first item captured at or after `since_mono_ns` (time.monotonic_ns)."""

    id: str
    pipeline: str
    part_id: str
    since_mono_ns: int
    deadline_mono_ns: int


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Accept nothing more, finish what was accepted, leave."""


class Configure(msgspec.Struct, frozen=True, tag=True):
    """Run these pipelines (PipelineOptions as JSON) from now on. What is unchanged runs on."""

    config_rev: int
    pipelines: dict[str, bytes]


class Restart(msgspec.Struct, frozen=True, tag=True):
    """End a pipeline and start it anew, its model, source and rule."""

    pipeline: str


class Succeed(msgspec.Struct, frozen=True, tag=True):
    """Go one step with the pipeline's next model, the bundle in `folder`; see line/succession.py.

    `pause`: the old one makes room first.
    """

    pipeline: str
    step: Literal["load", "swap", "keep", "revert"]
    folder: str
    pause: bool = False


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """Hand over the next item with its verdict."""

    id: str
    pipeline: str


FromWorker = (
    Verdicts | Answer | Report | TriggerTaken | Stopped | Configured | SnapshotTaken | Logged
)
Order = Trigger | Restart | Snapshot | Succeed
ToWorker = Order | Stop | Configure

_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)


def send(pipe: Connection, message: FromWorker | ToWorker) -> None:
    """Write one message. Raises OSError when the other side is gone."""
    pipe.send_bytes(msgspec.msgpack.encode(message))


def from_worker(payload: bytes) -> FromWorker:
    """Read one message of a worker. Raises msgspec.DecodeError."""
    return _from_worker.decode(payload)


def pipelines_of(message: FromWorker) -> set[str]:
    """Return the names of the pipelines that a message speaks for."""
    match message:
        case Verdicts(verdicts):
            return {verdict.pipeline for verdict in verdicts}
        case Report(reports):
            return {report.pipeline for report in reports}
        case Answer(verdict) | SnapshotTaken(_, verdict):
            return {verdict.pipeline}
    return set()


def to_worker(payload: bytes) -> ToWorker:
    """Read one message of the agent. Raises msgspec.DecodeError."""
    return _to_worker.decode(payload)
