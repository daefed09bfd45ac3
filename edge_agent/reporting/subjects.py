"""What alerts can be about: one of them at most stands for each subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_agent.inference.accelerator import CPU
from edge_agent.reporting.messages import AlertKind
from edge_agent.reporting.topics import Family

if TYPE_CHECKING:
    from edge_agent.config import Config, PipelineOptions


class Subject(msgspec.Struct, frozen=True):
    """`chart`: which of a pipeline's charts, where the kind is `chart`."""

    family: Family
    pipeline: str
    kind: AlertKind
    chart: str = ""


def subjects_of(config: Config) -> frozenset[Subject]:
    """Return all that there can be alerts about with this config."""
    return frozenset(
        subject
        for name, pipeline in config.pipelines.items()
        for subject in _of_pipeline(name, pipeline)
    )


def _of_pipeline(name: str, pipeline: PipelineOptions) -> list[Subject]:
    family, line, rejects = pipeline.family, pipeline.line, pipeline.reject_rate.on
    is_there: dict[AlertKind, bool] = {
        "condition": family == "pdm",
        "drift": pipeline.drift.on,
        "reject_rate": family == "qc" if rejects is None else rejects,
        "product": pipeline.product is not None,
        "accelerator": pipeline.accelerator != CPU,
    }
    found = [Subject(family, name, kind) for kind, there in is_there.items() if there]
    if family == "qc" and line is not None:
        charts = {"score": line.score_chart, "reject": line.reject_chart}
        found += [Subject(family, name, "chart", chart) for chart in charts if charts[chart]]
    return found
