"""How the upload goes, for health and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Figures:
    """`trouble`: why nothing is sent at the moment, "" where all is well. `totals`: by event."""

    waiting: int
    today_bytes: int
    trouble: str
    totals: Mapping[str, int]
