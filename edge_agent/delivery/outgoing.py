"""What goes to the broker for a verdict, a gap or the agent's own status: topics and payloads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_MS, utc_text
from edge_agent.reporting.gap_message import GapMessage
from edge_agent.reporting.messages import LastMessage, StatusMessage, encode

if TYPE_CHECKING:
    from edge_agent.codecs.base import Codec
    from edge_agent.delivery.gaps import Gap
    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.outbox_types import Row
    from edge_agent.reporting.messages import CheckState
    from edge_agent.reporting.topics import Topics

JSON = "application/json"
# CloudEvents 1.0, MQTT protocol binding, binary mode: attributes are user properties.
EVENT_TYPE = "edge-agent.verdict.v1"


@dataclass(frozen=True, slots=True)
class Publish:
    """One message on its way, at QoS 1."""

    topic: str
    payload: bytes
    retain: bool
    content_type: str = JSON
    user_properties: tuple[tuple[str, str], ...] = ()


class Outgoing:
    """Writes the messages of one device."""

    def __init__(self, topics: Topics, codec: Codec) -> None:
        self._topics = topics
        self._codec = codec
        self._started_ts = utc_text(time.time_ns())
        self.checks: tuple[CheckState, ...] = ()
        """What health says; nobody is ready before it has said anything."""

    def verdict(self, row: Row, *, replay: bool) -> list[Publish]:
        """Return what a verdict is published as: a failed part also as a defect."""
        verdict = row.verdict
        payload = self._codec.encode(
            verdict, device=self._topics.device, seq=row.seq, replay=replay
        )
        properties = (
            ("specversion", "1.0"),
            ("type", EVENT_TYPE),
            ("source", self._topics.root),
            ("id", verdict.id),
            ("time", utc_text(verdict.decided_ns)),
        )
        topics = [self._topics.verdict(verdict.family, verdict.pipeline)]
        if verdict.family == "qc" and verdict.outcome == "fail":
            topics.append(self._topics.defect(verdict.pipeline))
        return [
            Publish(topic, payload, False, self._codec.content_type, properties)  # noqa: FBT003
            for topic in topics
        ]

    def last(self, row: Row) -> Publish:
        """Return the newest verdict of a quality pipeline, for displays."""
        verdict = row.verdict
        message = LastMessage(
            id=verdict.id,
            seq=row.seq,
            ts=utc_text(verdict.decided_ns),
            device=self._topics.device,
            pipeline=verdict.pipeline,
            part_id=verdict.part_id,
            verdict=verdict.outcome,
            score=float(verdict.score),
            threshold=float(verdict.threshold),
            unit=verdict.unit,
            label=verdict.label,
            defect_class=verdict.label if verdict.outcome in {"fail", "uncertain"} else "",
            defect_count=len(verdict.defects),
            latency_ms=round(max(verdict.latency_ns, 0) / NS_PER_MS, 3),
            reason=verdict.reason,
            evidence=verdict.evidence,
        )
        return Publish(self._topics.last(verdict.pipeline), encode(message), retain=True)

    def gap(self, number: int, gap: Gap) -> Publish:
        """Return the record of verdicts that will never come."""
        message = GapMessage(
            ts=utc_text(gap.at_ns),
            device=self._topics.device,
            id=f"{gap.at_ns}-{number}",
            reason=gap.reason,
            exact=gap.exact,
            first_seq=gap.ranges[0][0],
            last_seq=gap.ranges[-1][1],
            count=gap.passes + gap.fails + gap.uncertain + gap.errors,
            passes=gap.passes,
            fails=gap.fails,
            uncertain=gap.uncertain,
            errors=gap.errors,
            ranges=list(gap.ranges),
        )
        return Publish(self._topics.gap, encode(message), retain=False)

    def online(self, outbox: Outbox) -> Publish:
        """Return that the agent is there, and how the outbox and its health stand."""
        failing = [check for check in self.checks if check.state == "fail"]
        message = StatusMessage(
            ts=utc_text(time.time_ns()),
            device=self._topics.device,
            status="online",
            started_ts=self._started_ts,
            outbox_depth=outbox.depth,
            outbox_age_s=round(outbox.oldest_age_s, 1),
            outbox_parked=outbox.parked_depth,
            outbox_detail=outbox.detail,
            ready=bool(self.checks) and not failing,
            not_ready="; ".join(_sentence(check) for check in failing),
            checks=[check for check in self.checks if check.state != "ok"],
        )
        return Publish(self._topics.status, encode(message), retain=True)

    def offline(self, reason: str) -> Publish:
        """Return that the agent is not there, and why; also the last will."""
        message = StatusMessage(
            ts=utc_text(time.time_ns()),
            device=self._topics.device,
            status="offline",
            reason=reason,
            started_ts=self._started_ts,
        )
        return Publish(self._topics.status, encode(message), retain=True)


def _sentence(check: CheckState) -> str:
    whose = f"{check.pipeline}: " if check.pipeline else ""
    return f"{whose}{check.name}: {check.reason}"
