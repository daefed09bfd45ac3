"""A pipeline's thread on its own: real options, no agent and no worker around it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge_agent.config import PipelineOptions
from edge_agent.line.pipeline import Identity
from edge_agent.line.pipeline_context import PipelineContext
from edge_agent.line.pipeline_thread import PipelineThread
from edge_agent.mqtt.broker_options import BrokerOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edge_agent.types import Verdict
    from tests.conftest import Mosquitto

NAME = "one"


def pipeline_options(tree: Mapping[str, Any]) -> PipelineOptions:
    """Return options as a config file brings them."""
    return PipelineOptions.model_validate_json(json.dumps(tree))


def lone_pipeline(
    options: PipelineOptions,
    folder: Path,
    tell: Callable[[Verdict], None] = lambda _: None,
    *,
    broker: Mosquitto | None = None,
) -> PipelineThread:
    """Return one that is not started; `tell` is given its verdicts, asked for or not.

    Paths of its options begin in `folder`.
    """
    context = PipelineContext(
        identity=Identity(NAME, options.family, 1),
        device="gw",
        folder=folder,
        evidence_folder=folder / "evidence",
        broker=BrokerOptions(host=broker.host, port=broker.port) if broker else BrokerOptions(),
        emit=tell,
        answer=tell,
        taken=lambda _: None,
        seen=lambda *_: None,
    )
    return PipelineThread(options, context)
