"""What the live view shows: gateways, pipelines and events, as any MQTT consumer sees them.

Pure: messages go in, nothing is drawn here.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from edge_agent.commands.seen import (
    AlertSeen,
    GapSeen,
    InfoSeen,
    StatsSeen,
    StatusSeen,
    VerdictSeen,
)

if TYPE_CHECKING:
    from edge_agent.types import Outcome

# What lies below the root of a gateway, and how many levels the root has (topics.py).
TOPICS_BELOW = (
    "status", "info", "gap", "qc/+/verdict", "qc/+/stats", "pdm/+/verdict", "pdm/+/stats",
    "qc/+/alert", "pdm/+/alert",
)  # fmt: skip
ROOT_LEVELS = 7
# The rate is that of the last seconds, so that a stall shows soon.
RATE_S = 5.0
ARRIVALS = 2000
LATENCIES = 500
SCORES = 60
EVENTS = 100
# Repeats come soon after a restart, or not at all.
SEQS_REMEMBERED = 10_000
# One pipeline must not push the others off the screen: a line for each change of its outcome,
# but not more of them, and one now and then while nothing changes.
CHANGES_APART_S = 0.25
LINES_APART_S = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the log: whose, what; `outcome` is None for what is no verdict."""

    subject: str
    text: str
    outcome: Outcome | None = None


@dataclass(slots=True)
class PipelineSeen:
    """One pipeline; `scores` with their outcomes, oldest first."""

    name: str
    family: str
    device: str = ""
    state: str = ""
    detail: str = ""
    accelerator: str = ""
    recipe: str = ""
    last: VerdictSeen | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    scores: deque[tuple[float, Outcome]] = field(default_factory=lambda: deque(maxlen=SCORES))
    arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=ARRIVALS))
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    _shown: tuple[Outcome, float] | None = None

    def take(self, verdict: VerdictSeen, mono_s: float) -> None:
        """Count one verdict."""
        self.last = verdict
        self.outcomes[verdict.verdict] += 1
        if verdict.score is not None:
            self.scores.append((verdict.score, verdict.verdict))
        if not verdict.replay:  # when it came, and how long it took, say nothing of now
            self.arrivals_s.append(mono_s)
            self.latencies_ms.append(verdict.latency_ms)

    def is_due(self, outcome: Outcome, mono_s: float) -> bool:
        """Whether a verdict shall have a line of the log."""
        if self._shown is not None:
            before, shown_s = self._shown
            if mono_s - shown_s < (LINES_APART_S if outcome == before else CHANGES_APART_S):
                return False
        self._shown = (outcome, mono_s)
        return True

    def rate_hz(self, mono_s: float) -> float:
        """Return verdicts a second over the last seconds."""
        recent = sum(arrival > mono_s - RATE_S for arrival in self.arrivals_s)
        # Before that many seconds have passed: over those that have.
        seconds = mono_s - self.arrivals_s[0] if self.arrivals_s else RATE_S
        return recent / min(RATE_S, max(seconds, 1.0))

    def latency_ms(self, q: float) -> float | None:
        """Return the `q` quantile (0..1) of the last latencies; None without any."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None


@dataclass(slots=True)
class GatewaySeen:
    """One gateway: what it says of itself, and whether its verdicts have come without a hole."""

    root: str
    status: str = ""
    version: str = ""
    outbox_depth: int = 0
    outbox_age_s: float = 0.0
    outbox_detail: str = ""
    received: int = 0
    _first_seq: int = 0
    _last_seq: int = 0
    _seqs: dict[int, None] = field(default_factory=dict)
    # How many came of each range of numbers that a crash may have left out.
    _left_out: dict[tuple[int, int], int] = field(default_factory=dict)

    def leave_out(self, first: int, last: int) -> None:
        """Take these numbers for no hole: some were given to no verdict."""
        came = sum(first <= seq <= last for seq in self._seqs)
        self._left_out.setdefault((first, last), came)

    def is_new(self, seq: int) -> bool:
        """Whether this verdict did not come before; a consumer drops repeats by (device, seq)."""
        if seq in self._seqs:
            return False
        self._seqs[seq] = None
        if len(self._seqs) > SEQS_REMEMBERED:
            del self._seqs[next(iter(self._seqs))]
        self._first_seq = min(seq, self._first_seq) if self.received else seq
        self._last_seq = max(seq, self._last_seq)
        self.received += 1
        for first, last in self._left_out:
            self._left_out[first, last] += first <= seq <= last
        return True

    @property
    def missing(self) -> int:
        """How many verdicts between the first and the last one received did not come (yet)."""
        if not self.received:
            return 0
        expected = self._last_seq - self._first_seq + 1
        for (first, last), came in self._left_out.items():
            begin, end = max(first, self._first_seq), min(last, self._last_seq)
            expected -= max(0, end - begin + 1 - came)
        return max(0, expected - self.received)


class Overview:
    """Everything that was heard, as it stands now. One thread uses it."""

    def __init__(self) -> None:
        self.gateways: dict[str, GatewaySeen] = {}
        self.pipelines: dict[tuple[str, str, str], PipelineSeen] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.unreadable = 0

    def take(self, topic: str, payload: bytes, mono_s: float) -> Event | None:
        """Take one message, received at `mono_s` (seconds on a monotonic clock).

        Return what the log shall say of it. What is no message of an agent is counted.
        """
        levels = topic.split("/")
        root, below = "/".join(levels[:ROOT_LEVELS]), levels[ROOT_LEVELS:]
        try:
            event = self._take(root, below, payload, mono_s)
        except msgspec.MsgspecError:
            self.unreadable += 1
            return None
        if event is None:
            return None
        if len(below) == len(("family", "pipeline", "verdict")) and self.several:
            event = replace(event, subject=f"{_device(root)} {event.subject}")
        self.events.append(event)
        return event

    @property
    def several(self) -> bool:
        """Whether more than one gateway was heard: pipelines of two may have one name."""
        return len(self.gateways.keys() | {root for root, _, _ in self.pipelines}) > 1

    def _take(self, root: str, below: list[str], payload: bytes, mono_s: float) -> Event | None:
        match below:
            case [_, _, "verdict"]:
                verdict = msgspec.json.decode(payload, type=VerdictSeen)
                return self._take_verdict(self._gateway(root), below, verdict, mono_s)
            case [_, pipeline, "stats"]:
                stats = msgspec.json.decode(payload, type=StatsSeen)
                return _take_stats(self._pipeline(root, below), stats)
            case [_, pipeline, "alert"]:
                alert = msgspec.json.decode(payload, type=AlertSeen)
                return Event(pipeline, f"alert {alert.alert}: {alert.message}")
            case ["status"]:
                status = msgspec.json.decode(payload, type=StatusSeen)
                return _take_status(self._gateway(root), status)
            case ["info"]:
                info = msgspec.json.decode(payload, type=InfoSeen)
                self._gateway(root).version = info.agent_version
            case ["gap"]:
                gap = msgspec.json.decode(payload, type=GapSeen)
                return _take_gap(self._gateway(root), gap)
        return None

    def _take_verdict(
        self, gateway: GatewaySeen, below: list[str], verdict: VerdictSeen, mono_s: float
    ) -> Event | None:
        if not gateway.is_new(verdict.seq):
            return None
        pipeline = self._pipeline(gateway.root, below)
        pipeline.take(verdict, mono_s)
        if not pipeline.is_due(verdict.verdict, mono_s):
            return None
        return Event(pipeline.name, describe(verdict), verdict.verdict)

    def _gateway(self, root: str) -> GatewaySeen:
        return self.gateways.setdefault(root, GatewaySeen(root))

    def _pipeline(self, root: str, below: list[str]) -> PipelineSeen:
        family, name, _ = below
        seen = PipelineSeen(name, family, _device(root))
        return self.pipelines.setdefault((root, family, name), seen)


def _take_gap(gateway: GatewaySeen, gap: GapSeen) -> Event:
    subject = _device(gateway.root)
    if gap.exact:
        return Event(subject, f"{gap.count} verdicts will never come: {gap.reason}")
    for first, last in gap.ranges:
        gateway.leave_out(first, last)
    named = ", ".join(f"{first} to {last}" for first, last in gap.ranges)
    return Event(subject, f"of the numbers {named} some went to no verdict: {gap.reason}")


def describe(verdict: VerdictSeen) -> str:
    """Return the verdict's reasons in one line."""
    if verdict.verdict == "error":
        parts = [verdict.reason or "no reason given"]
    else:
        score = f"{number(verdict.score)} {verdict.unit}".rstrip()
        parts = [f"{score} (limit {number(verdict.threshold)})", subject(verdict)]
    parts.append(f"part {verdict.part_id}" if verdict.part_id else "")
    parts.append("replayed" if verdict.replay else f"{verdict.latency_ms:.1f} ms")
    return "  ".join(part for part in parts if part)


def subject(verdict: VerdictSeen) -> str:
    """Return what was found: the defect's class and how many, or the label."""
    found = verdict.defect_class or verdict.label
    return f"{found} x{verdict.defect_count}" if verdict.defect_count > 1 else found


def number(value: float | None) -> str:
    """Return three significant digits, which fit into a column."""
    if value is None:
        return "-"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004  three digits


def _take_stats(pipeline: PipelineSeen, stats: StatsSeen) -> Event | None:
    totals = {"pass": stats.passes, "fail": stats.fails, "error": stats.errors}
    pipeline.outcomes = Counter(totals | {"uncertain": stats.uncertain})
    changed = (stats.state, stats.detail) != (pipeline.state, pipeline.detail)
    pipeline.state, pipeline.detail, pipeline.recipe = stats.state, stats.detail, stats.recipe
    said = f"{stats.state}: {stats.detail}" if stats.detail else stats.state
    before, pipeline.accelerator = pipeline.accelerator, _accelerator(stats)
    if pipeline.accelerator != before and not changed:
        return Event(pipeline.name, f"runs on {pipeline.accelerator}")
    return Event(pipeline.name, said) if changed else None


def _accelerator(stats: StatsSeen) -> str:
    """Return what runs the model, and where that is not what was asked for, why; else ""."""
    asked, reason = stats.accelerator_requested, stats.accelerator_reason
    if not asked:
        return ""
    return f"{stats.accelerator or 'cpu'}, not {asked}: {reason}" if reason else asked


def _take_status(gateway: GatewaySeen, status: StatusSeen) -> Event | None:
    changed = status.status != gateway.status
    gateway.status = status.status
    gateway.outbox_depth, gateway.outbox_age_s = status.outbox_depth, status.outbox_age_s
    gateway.outbox_detail = status.outbox_detail
    said = f"{status.status}: {status.reason}" if status.reason else status.status
    return Event(_device(gateway.root), said) if changed else None


def _device(root: str) -> str:
    return root.rpartition("/")[2]
