"""What a codec is: a verdict to the bytes that a consumer reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edge_agent.types import Verdict


class Codec(Protocol):
    """Writes verdicts. `content_type` is a media type, given to consumers on MQTT 5."""

    content_type: str

    def encode(self, verdict: Verdict, *, device: str, seq: int, replay: bool) -> bytes:
        """Return the payload for one verdict."""
