"""What the checks look at of each pipeline, from what it reported and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.serving.checks import PipelineFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge_agent.config import Config
    from edge_agent.reporting.figures import PipelineView
    from edge_agent.serving.readiness import Seen

NS_PER_S = 1e9


def pipeline_facts(
    views: Iterable[PipelineView], config: Config, seen: Mapping[str, Seen]
) -> list[PipelineFacts]:
    """Return the facts of each pipeline."""
    return [_facts(view, config, seen.get(view.name)) for view in views]


def _facts(view: PipelineView, config: Config, seen: Seen | None) -> PipelineFacts:
    report = view.report
    options = config.pipelines.get(view.name)
    busy = report is not None and report.stage
    source = report.watch.source if report is not None and report.watch is not None else None
    return PipelineFacts(
        name=view.name,
        state=view.state,
        detail=view.detail,
        triggered=options is not None and options.trigger is not None,
        model=report.model if report is not None else "",
        reported_s=view.reported_s,
        busy_since_s=report.stage_since_mono_ns / NS_PER_S if busy and report is not None else None,
        source_state=source.state if source is not None else "",
        source_detail=source.detail if source is not None else "",
        judged_s=seen.judged_s if seen is not None else None,
        first_error_s=seen.first_error_s if seen is not None else None,
        error_s=seen.error_s if seen is not None else None,
        acceleration=report.acceleration if report is not None else None,
        begins_anew=view.begins_anew,
        doubts=report.doubts if report is not None else (),
    )
