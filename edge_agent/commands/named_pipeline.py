"""The pipeline that a command names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError, FieldError, no_such

if TYPE_CHECKING:
    from edge_agent.config import Config, PipelineOptions


def pipeline_of(config: Config, name: str) -> PipelineOptions:
    """Return the pipeline's options. Raises ConfigError where there is none."""
    options = config.pipelines.get(name)
    if options is None:
        message = no_such("pipeline", name, config.pipelines)
        raise ConfigError([FieldError(f"/pipelines/{name}", "unknown", message)])
    return options
