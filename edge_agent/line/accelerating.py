"""From a pipeline's options to what its models want of an accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.acceleration.accelerated import Acceleration
from edge_agent.acceleration.process import AcceleratorProcess

if TYPE_CHECKING:
    from contextlib import ExitStack

    from edge_agent.config import PipelineOptions
    from edge_agent.metrics import Counters


def wanted(
    name: str,
    options: PipelineOptions,
    shared: AcceleratorProcess | None,
    counters: Counters,
    stack: ExitStack,
) -> Acceleration | None:
    """Return what the models of this pipeline want; None where the CPU is all.

    `shared`: the process of all pipelines of a worker that the config names: for a device that one
    process alone can open. Any other pipeline has its own, which `stack` ends.
    """
    if options.accelerator.is_cpu:
        return None
    if shared is None or options.worker is None:
        shared = AcceleratorProcess()
        stack.callback(shared.close)
    return Acceleration(
        pipeline=name,
        accelerator=options.accelerator,
        process=shared,
        load_s=options.accelerator_load_s,
        run_timeout_s=options.run_timeout_s,
        strict=options.on_failure == "fail",
        check_share=options.accelerator_check_share,
        count=counters.add,
    )
