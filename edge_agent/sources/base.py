"""What a source is: connect, read, close. The pipeline owns threads and retries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from edge_agent.errors import ConfigError, FieldError

if TYPE_CHECKING:
    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.metrics import Counters
    from edge_agent.mqtt.broker_options import BrokerOptions
    from edge_agent.types import Item

# inline: `read` is called by the inference thread; every item is wanted (files, recordings), or
#         the source has a receiving thread and a bounded queue of its own (MQTT).
# newest: `read` blocks for as long as the device pleases; a capture thread calls it and only the
#         newest item is kept (cameras).
Capture = Literal["inline", "newest"]


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source may use beside its own options.

    `window`: the shape of window that the model wants; None for models of pictures. `counters`:
    `counters.add("dropped_too_large")` for every item or message that is dropped, by reason.
    `folder`: where the paths in options start, that of the config file. `heard`: a source of
    samples that carry the time, or count from when they come, enters here when
    (`time.monotonic`) something last came, by topic.
    """

    pipeline: str
    device: str
    broker: BrokerOptions
    counters: Counters
    window: WindowPreprocess | None = None
    folder: Path = Path()
    heard: dict[str, float] = field(default_factory=dict)


def gives_pictures(context: SourceContext) -> None:
    """Raise ConfigError where the model of a source of pictures wants windows of samples."""
    if context.window is not None:
        message = "gives pictures, and the model takes windows of samples"
        raise ConfigError([FieldError("/source/kind", "kind", message)])


class Source(Protocol):
    """A stream of items. One thread calls `connect` and `read`; any thread may call `close`."""

    capture: Capture

    def connect(self) -> None:
        """Open the device, file or subscription. Raises NotConnected."""

    def read(self, timeout_s: float) -> Item | None:
        """Return the next item, or None when none came within `timeout_s`.

        Raises NotConnected (the pipeline will call `connect` again after a while), BadInput (this
        item is lost, the next one may be good) and EndOfStream.
        """

    def close(self) -> None:
        """Accept nothing more.

        What was accepted before is still handed out by `read`, which then raises EndOfStream.
        """
