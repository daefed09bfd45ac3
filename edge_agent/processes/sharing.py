"""Which pipelines share a worker process, and what each worker is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_agent.processes.worker_options import WorkerOptions
from edge_agent.serving import logs
from edge_agent.upload.options import UploadOrders

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config, PipelineOptions

# Pipelines of this family share a worker unless the config says otherwise. Not a Name, so that no
# worker of the config can be called the same.
SHARED = {"pdm": "(pdm)"}


def workers_of(
    config: Config, rev: int, *, folder: Path, state_folder: Path
) -> list[WorkerOptions]:
    """Return what each worker is to do, by the config."""
    upload = UploadOrders(config.upload, state_folder / "upload") if config.upload else None
    groups: dict[str, dict[str, PipelineOptions]] = {}
    for name, pipeline in config.pipelines.items():
        worker = pipeline.worker or SHARED.get(pipeline.family, name)
        groups.setdefault(worker, {})[name] = pipeline
    return [
        WorkerOptions(
            name=worker,
            device=config.device.name,
            config_rev=rev,
            folder=folder,
            evidence_folder=state_folder / "evidence",
            broker=config.broker,
            pipelines=pipelines,
            log_level=logging.getLogger().getEffectiveLevel(),
            log_form=logs.form_in_use(),
            memory_bytes=int(config.worker_memory_mb * 1e6),
            upload=upload,
        )
        for worker, pipelines in groups.items()
    ]
