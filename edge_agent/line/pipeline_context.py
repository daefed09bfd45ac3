"""What surrounds a pipeline: who it is, where its files are, and whom it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.acceleration.process import AcceleratorProcess
    from edge_agent.line.pipeline import Identity
    from edge_agent.metrics import Counters
    from edge_agent.mqtt.broker_options import BrokerOptions
    from edge_agent.types import Item, Verdict
    from edge_agent.upload.outgoing import Outgoing


@dataclass(frozen=True, slots=True)
class PipelineContext:
    """What a pipeline needs beside its own options.

    `folder` is where model paths start. `emit` hands a verdict over and may block while the agent
    is busy: that is the back-pressure. `answer` does the same with one that a trigger asked for;
    before that, `taken` is told that an item was found for the trigger. `seen` is told an item that
    a snapshot was asked of, with its verdict. `calibration` is the file that says what is normal
    here, if it is there. `upload` makes what sends it on. `accelerator`: the process of all
    pipelines of this worker, for those that must share one.
    """

    identity: Identity
    device: str
    folder: Path
    evidence_folder: Path
    broker: BrokerOptions
    emit: Callable[[Verdict], None]
    answer: Callable[[Verdict], None]
    taken: Callable[[str], None]
    seen: Callable[[str, Verdict, Item], None]
    calibration: Path | None = None
    upload: Callable[[Counters], Outgoing] | None = None
    accelerator: AcceleratorProcess | None = None
