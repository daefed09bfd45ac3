"""Verdicts as JSON: one flat object each, as messages.VerdictMessage says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_MS, utc_text
from edge_agent.reporting.messages import Region, VerdictMessage, encode

if TYPE_CHECKING:
    from edge_agent.codecs.base import Codec
    from edge_agent.types import Verdict


def create() -> Codec:
    """Return the codec."""
    return _Json()


class _Json:
    content_type = "application/json"

    def encode(self, verdict: Verdict, *, device: str, seq: int, replay: bool) -> bytes:
        """Return one JSON object in UTF-8; a score that is no number is null."""
        return encode(verdict_message(verdict, device=device, seq=seq, replay=replay))


def verdict_message(verdict: Verdict, *, device: str, seq: int, replay: bool) -> VerdictMessage:
    """Return the message for one verdict. Floats stay floats, whatever kind of number came in."""
    return VerdictMessage(
        id=verdict.id,
        seq=seq,
        ts=utc_text(verdict.decided_ns),
        device=device,
        pipeline=verdict.pipeline,
        part_id=verdict.part_id,
        verdict=verdict.outcome,
        score=None if verdict.outcome == "error" else float(verdict.score),
        threshold=None if verdict.outcome == "error" else float(verdict.threshold),
        unit=verdict.unit,
        label=verdict.label,
        defect_class=verdict.label if verdict.outcome in {"fail", "uncertain"} else "",
        defect_count=len(verdict.defects),
        model=verdict.model,
        model_version=verdict.model_version,
        model_sha256=verdict.model_sha256,
        config_rev=verdict.config_rev,
        recipe=verdict.recipe,
        capture_ts=utc_text(verdict.captured_ns),
        latency_ms=round(max(verdict.latency_ns, 0) / NS_PER_MS, 3),
        accelerator=verdict.accelerator,
        reason=verdict.reason,
        evidence=verdict.evidence,
        replay=replay,
        defects=[
            Region(
                label=defect.label,
                score=float(defect.score),
                x=float(defect.x),
                y=float(defect.y),
                w=float(defect.w),
                h=float(defect.h),
            )
            for defect in verdict.defects
        ],
    )
