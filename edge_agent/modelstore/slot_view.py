"""What a slot knows beyond its record, for as long as the agent runs, and its status message."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.clock import utc_text
from edge_agent.reporting.model_messages import (
    LiveFigures,
    ModelStatusMessage,
    SelfTestFigures,
    SlotError,
)

if TYPE_CHECKING:
    from edge_agent.line.succession_report import SuccessionReport
    from edge_agent.modelstore.slot_record import Failure, SlotRecord
    from edge_agent.modelstore.supplier import News

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass
class SlotView:
    """`runs`: model_id@version in force; `to`, `digest`: of the latest model on its way."""

    device: str
    slot: str
    boot_id: str
    runs: str = ""
    to: str = ""
    digest: str = ""
    rollout_id: str = ""
    stale: bool = False
    pinned: bool = False
    detail: str = ""
    fetched: int = 0
    length: int = 0
    attempt: int = 0
    trouble: Failure | None = None
    """Of the latest look, where it failed."""
    selftest: SelfTestFigures | None = None
    shadow: LiveFigures | None = None
    trial: LiveFigures | None = None
    live: dict[str, SuccessionReport] = field(default_factory=dict)

    def begin(self, to: str, digest: str, rollout_id: str, length: int) -> None:
        """Enter a model on its way."""
        self.to, self.digest, self.rollout_id, self.length = to, digest, rollout_id, length
        self.fetched, self.attempt, self.detail = 0, 0, ""
        self.selftest = self.shadow = self.trial = None

    def names(self, news: News) -> bool:
        """Say whether the status is about this model, as far as it names one."""
        return (
            self.to in {"", str(news.model)}
            and self.digest in {"", news.digest}
            and self.rollout_id in {"", news.rollout_id}
        )

    def note_live(self, reports: list[SuccessionReport]) -> None:
        """Take what the workers say of the next model; several pipelines add up."""
        if not reports:
            return
        if all(report.phase in {"shadow", "agreed", "failed"} for report in reports):
            self.shadow = LiveFigures(
                items=sum(report.items for report in reports),
                errors=sum(report.errors for report in reports),
                disagreements=sum(report.disagreements for report in reports),
                skipped=sum(report.skipped for report in reports),
                p50_ms=max(report.p50_ms for report in reports),
            )
        elif any(report.phase in {"trial", "well", "kept", "reverted"} for report in reports):
            self.trial = LiveFigures(
                items=sum(report.items for report in reports),
                errors=sum(report.errors for report in reports),
                p50_ms=max(report.p50_ms for report in reports),
            )

    def message(self, record: SlotRecord) -> ModelStatusMessage:
        """Return the status as it is now."""
        error = record.error or self.trouble
        return ModelStatusMessage(
            ts=utc_text(time.time_ns()),
            device=self.device,
            slot=self.slot,
            state=record.state,
            stale=self.stale,
            pinned=self.pinned,
            rollout_id=self.rollout_id,
            from_=self.runs,
            to=self.to,
            digest=self.digest,
            attempt=self.attempt,
            bytes=self.fetched,
            bytes_total=self.length,
            detail=self.detail,
            error=SlotError(error.code, error.detail) if error else None,
            selftest=self.selftest,
            shadow=self.shadow,
            trial=self.trial,
            boot_id=self.boot_id,
        )


def boot_id() -> str:
    """Return what tells this start of the system from others, or ""."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
