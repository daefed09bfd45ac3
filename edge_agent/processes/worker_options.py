"""What the agent needs to know of a worker: its orders, and how to start it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from edge_agent.config import PipelineOptions
    from edge_agent.mqtt.broker_options import BrokerOptions
    from edge_agent.serving.logs import Form
    from edge_agent.upload.options import UploadOrders

REPORT_S = 1.0  # how often a worker says how it is doing
EXIT_NO_MEMORY = 71  # EX_OSERR of sysexits.h: the system refused what was needed


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker is to do; pickled to it by the agent, which it trusts."""

    name: str
    device: str
    config_rev: int
    folder: Path
    evidence_folder: Path
    broker: BrokerOptions
    pipelines: dict[str, PipelineOptions]
    log_level: int
    memory_bytes: int
    log_form: Form = "text"
    upload: UploadOrders | None = None

    def with_pipelines(self, pipelines: dict[str, PipelineOptions]) -> WorkerOptions:
        """Return the same orders for other pipelines."""
        return replace(self, pipelines=pipelines)


def write_options(options: PipelineOptions) -> bytes:
    """Return a pipeline's options as they go over the pipe."""
    return options.model_dump_json(exclude_unset=True).encode()


def run(pipe: Connection, options: WorkerOptions) -> None:
    """Be the worker. Called in the new process; the agent itself never imports what it runs."""
    importlib.import_module("edge_agent.processes.worker").main(pipe, options)
