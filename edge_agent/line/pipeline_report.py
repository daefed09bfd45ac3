"""How one pipeline is doing, in one message for the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.processes.wire import PipelineReport

if TYPE_CHECKING:
    from edge_agent.config import PipelineOptions
    from edge_agent.line.pipeline import Identity, Pipeline
    from edge_agent.metrics import Counters


def report(
    identity: Identity,
    standing: tuple[str, str],
    counters: Counters,
    pipeline: Pipeline | None,
    options: PipelineOptions,
) -> PipelineReport:
    """Return the report; `standing`: state and detail; `pipeline`: None until it is loaded."""
    bundle = pipeline.model.bundle if pipeline else None
    acceleration = pipeline.model.acceleration if pipeline else None
    state, detail = standing
    if state == "running" and acceleration is not None and acceleration.effective == "none":
        state, detail = "blocked", f"{acceleration.requested}: {acceleration.reason}"
        detail += f": {acceleration.detail}" if acceleration.detail else ""
    if state == "running" and not detail and pipeline is not None:
        detail = pipeline.model.note
    stage, since = pipeline.stopwatch.now if pipeline else ("", 0)
    histograms = pipeline.stopwatch.histograms if pipeline else {}
    return PipelineReport(
        pipeline=identity.pipeline,
        state=state,
        detail=detail,
        stage=stage,
        stage_since_mono_ns=since,
        totals=counters.totals(),
        latency_counts={name: list(h.counts) for name, h in histograms.items()},
        latency_sums_ms={name: h.sum_ms for name, h in histograms.items()},
        model=bundle.manifest.model_id if bundle else "",
        model_version=bundle.manifest.version if bundle else "",
        model_sha256=bundle.model_sha256 if bundle else "",
        accelerator=pipeline.model.backend.accelerator if pipeline else "",
        acceleration=acceleration,
        config_rev=identity.config_rev,
        recipe=options.recipe,
        doubts=bundle.manifest.doubts if bundle else (),
        watch=pipeline.watch.report() if pipeline and pipeline.watch else None,
        succession=pipeline.succession.report() if pipeline and pipeline.succession else None,
    )
