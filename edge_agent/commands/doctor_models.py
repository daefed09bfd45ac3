"""The pipelines of the config: their bundles are whole, fit, and answer as they should here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.commands.checks import check_pipelines
from edge_agent.commands.doctor_findings import Finding
from edge_agent.commands.named_files import LIBRARY, missing_files
from edge_agent.commands.verification import verify
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.commands.doctor_findings import Gateway


def check_files(gateway: Gateway) -> Iterator[Finding]:
    """Look for every file and folder that the config names, which no other check looks for."""
    if gateway.config is None:
        return
    for field in missing_files(gateway.config, gateway.folder):
        if field.path.endswith(f"/{LIBRARY}"):
            continue  # check_accelerators says it
        advice = "put it there, or correct the config"
        yield Finding("fail", "files", f"{field.path}: {field.message}", advice)


def check_models(gateway: Gateway) -> Iterator[Finding]:
    """Check every pipeline as `edge-agent check` does, and run each bundle's golden samples.

    Recipes' as well: a pipeline has them loaded, and goes over to one when the product changes.
    """
    if gateway.config is None:
        return
    try:
        check_pipelines(gateway.config, gateway.folder)
    except ConfigError as error:
        for field in error.fields:
            advice = "`edge-agent check` names every wrong field"
            yield Finding("fail", "pipelines", f"{field.path}: {field.message}", advice)
    for model in gateway.config.models:
        found = verify(gateway.folder / model, memory_mb=int(gateway.config.worker_memory_mb))
        if found.passed:
            yield Finding("ok", "models", f"{model}: {found.sentence()}")
        elif found.kind == "model" and "no golden samples" in found.failure:
            advice = "have whoever made it add some (docs/your-own.md)"
            yield Finding("warn", "models", f"{model}: {found.failure}", advice)
        else:
            advice = "copy the bundle again; `edge-agent verify` repeats this"
            yield Finding("fail", "models", f"{model}: {found.failure}", advice)
        for doubt in found.doubts:
            advice = "ask who made it for one that does better (docs/bring-your-own-model.md)"
            yield Finding("warn", "models", f"{model}: {doubt}", advice)
    if not gateway.config.pipelines:
        advice = "docs/your-own.md goes through a first one step by step"
        yield Finding("warn", "pipelines", "none in the config: nothing is inspected", advice)
