"""What the tests of sources share: a context, a window shape, and reading to the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edge_agent import registry
from edge_agent.errors import EndOfStream
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.metrics import Counters
from edge_agent.mqtt.broker import BrokerOptions
from edge_agent.sources.base import SourceContext
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    from edge_agent.sources.base import Source
    from edge_agent.types import Item
    from tests.conftest import Mosquitto


def window_shape(
    *channels: str,
    samples: int = 4,
    hop: int = 4,
    rate_hz: float = 10.0,
    pad: Literal["none", "edge"] = "none",
) -> WindowPreprocess:
    return WindowPreprocess(
        kind="window",
        channels=channels or ("x",),
        samples=samples,
        hop=hop,
        rate_hz=rate_hz,
        pad=pad,
    )


def source_context(
    broker: Mosquitto | None = None,
    *,
    window: WindowPreprocess | None = None,
    folder: Path = Path(),
) -> SourceContext:
    options = BrokerOptions(host=broker.host, port=broker.port) if broker else BrokerOptions()
    return SourceContext("line1", "gateway", options, Counters(), window, folder)


def create(context: SourceContext, **options: Any) -> Source:
    """Build a source from options as a config file brings them."""
    module = registry.plugin("sources", options["kind"])
    source: Source = module.create(module.Options.model_validate_json(json.dumps(options)), context)
    return source


def read_one(source: Source, timeout_s: float = 10) -> Item:
    """Return the next item; fail when none comes in time."""
    item = source.read(timeout_s)
    assert item is not None, f"nothing within {timeout_s} s"
    return item


def read_all(source: Source, timeout_s: float = 10) -> list[Item]:
    """Read until the stream ends."""
    items: list[Item] = []
    while True:
        try:
            items.append(read_one(source, timeout_s))
        except EndOfStream:
            return items


def windows(items: list[Item]) -> list[Window]:
    """Return the items as what they must be."""
    return [item for item in items if isinstance(item, Window)]


def frames(items: list[Item]) -> list[Frame]:
    """Return the items as what they must be."""
    return [item for item in items if isinstance(item, Frame)]
