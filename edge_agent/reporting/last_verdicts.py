"""The newest verdict of each pipeline, at most so often: for displays, not for records."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.delivery.outbox_types import Row


class LastVerdicts:
    """Not safe for threads."""

    def __init__(self, *, every_s: float) -> None:
        self._every_s = every_s
        self._newest_seq: dict[str, int] = {}
        self._shown_s: dict[str, float] = {}
        self._waiting: dict[str, Row] = {}

    def note(self, row: Row) -> None:
        """Take a verdict; one that is older than the newest counts for nothing."""
        pipeline = row.verdict.pipeline
        if row.seq > self._newest_seq.get(pipeline, 0):
            self._newest_seq[pipeline] = row.seq
            self._waiting[pipeline] = row

    def due(self, mono_s: float) -> list[Row]:
        """Return what is to be shown now, one row per pipeline at most."""
        due = [
            pipeline
            for pipeline in self._waiting
            if mono_s - self._shown_s.get(pipeline, -self._every_s) >= self._every_s
        ]
        for pipeline in due:
            self._shown_s[pipeline] = mono_s
        return [self._waiting.pop(pipeline) for pipeline in due]
