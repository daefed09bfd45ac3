"""Whether what a pipeline is told fits its bundle: limits within reach, an accelerator for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent import registry
from edge_agent.errors import FieldError, ModelError
from edge_agent.inference.limits import out_of_reach

if TYPE_CHECKING:
    from edge_agent.config import PipelineOptions, RecipeOptions
    from edge_agent.inference.accelerator import AcceleratorOptions
    from edge_agent.modelstore.manifest import Manifest, Variant


def wrong_limits(options: PipelineOptions | RecipeOptions, manifest: Manifest) -> list[FieldError]:
    """Return the limits that no score reaches, with their paths below the pipeline or recipe."""
    scores = manifest.task.score_range
    if options.rule is None:
        found = out_of_reach(manifest.decision.rule, scores)
        return [FieldError("/model", "limit", f"its own rule: {name} {why}") for name, why in found]
    found = out_of_reach(options.rule, scores)
    return [FieldError(f"/rule/{name}", "limit", why) for name, why in found]


def wrong_accelerator(accelerator: AcceleratorOptions, variant: Variant) -> list[FieldError]:
    """Return what is wrong with an accelerator that can run no model of this kind anywhere."""
    if variant.runtime not in registry.kinds("backends"):
        return []
    reason = registry.plugin("backends", variant.runtime).unfit(accelerator)
    return [FieldError("/accelerator", "accelerator", reason)] if reason else []


def require_limits(manifest: Manifest) -> None:
    """Raise ModelError where a limit of a bundle's own rule is one that no score reaches."""
    for name, why in out_of_reach(manifest.decision.rule, manifest.task.score_range):
        raise ModelError(f"manifest.json: /decision/rule/{name}: {why}")
