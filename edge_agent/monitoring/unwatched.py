"""A source that nobody watches, because the config says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.monitoring.conditions import CONNECTED, State

if TYPE_CHECKING:
    from edge_agent.monitoring.report import SourceKind
    from edge_agent.pictures.figures import PictureFigures
    from edge_agent.types import Item


class Unwatched:
    """Knows whether it is connected, and nothing else."""

    def __init__(self, kind: SourceKind) -> None:
        self.kind = kind
        self.state = State(CONNECTED)

    def away(self, mono_s: float, detail: str) -> None:  # noqa: ARG002  it has no clock
        """Note that the source is not connected."""
        self.state = State("away", detail)

    def connected(self, mono_s: float) -> None:  # noqa: ARG002  as above
        """Note that the source is connected again."""
        self.state = State(CONNECTED)

    def waiting(self, mono_s: float) -> None:
        """Do nothing."""

    def silent(self, mono_s: float) -> None:
        """Do nothing."""

    def item(self, item: Item, mono_s: float, utc_ns: int) -> None:
        """Do nothing."""

    def look(self, figures: PictureFigures, usual_sharpness: float | None, mono_s: float) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing: every item is inspected."""
