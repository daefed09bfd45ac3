"""Accelerators: each that the config defines or uses, tried with a model in a child."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands.doctor_findings import Finding
from edge_agent.commands.fitting import wrong_accelerator
from edge_agent.commands.tune_runs import CHILD, Bench, Refused, Setting
from edge_agent.errors import ModelError
from edge_agent.modelstore.manifest import load_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.commands.doctor_findings import Gateway, Level
    from edge_agent.config import Config, PipelineOptions
    from edge_agent.inference.accelerator import AcceleratorOptions

# For one that no pipeline uses, which would say how long it may take (its default).
SPARE_LOAD_S = 60.0
ADVICE: dict[str, str] = {
    "library_missing": "install it, or correct the config; until then the CPU inspects, if it may",
    "wrong_architecture": "take the vendor's build for this kind of machine",
}
OTHER_ADVICE = (
    "docs/accelerators.md explains the word; some devices let one process in alone: "
    "then stop the agent while doctor looks"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """An accelerator of the config, by its word, and the pipelines that are to run on it."""

    word: str
    options: AcceleratorOptions
    pipelines: dict[str, PipelineOptions]

    def found(self, text: str, reason: str = "") -> Finding:
        users = f"for {', '.join(self.pipelines)}" if self.pipelines else "no pipeline uses it"
        name = "" if self.word == self.options.name else f" ({self.options.name})"
        line = f"{self.word}{name} {text}; {users}"
        if not reason:
            return Finding("ok", "accelerator", line)
        level: Level = "fail" if self.pipelines else "warn"
        return Finding(level, "accelerator", line, ADVICE.get(reason, OTHER_ADVICE))


def check_accelerators(gateway: Gateway) -> Iterator[Finding]:
    """Load what is to run there, or what could, and see whether it answers its golden samples."""
    config = gateway.config
    if config is None:
        return
    for named in _all_named(config):
        models = sorted({model for each in named.pipelines.values() for model in each.models})
        models = models or [*_first_fit(gateway, config, named.options)]
        for model in models:
            yield _tried(gateway.folder, model, named)
        if not models:
            yield _untried(named)


def _all_named(config: Config) -> Iterator[_Named]:
    """Yield what is defined, then what pipelines name without a definition."""
    named = list(config.accelerators.items())
    for pipeline in config.pipelines.values():
        used = pipeline.accelerator
        if not used.is_cpu and all(used != options for _, options in named):
            named.append((used.name, used))
    for word, options in named:
        users = {n: p for n, p in config.pipelines.items() if p.accelerator == options}
        yield _Named(word, options, users)


def _first_fit(gateway: Gateway, config: Config, options: AcceleratorOptions) -> Iterator[str]:
    """Yield one model of the config that could run there; none where there is none."""
    for model in config.models:
        try:
            variant = load_bundle(gateway.folder / model, options).variant
        except ModelError:
            continue  # check_models says it
        if not wrong_accelerator(options, variant):
            yield model
            return


def _tried(folder: Path, model: str, named: _Named) -> Finding:
    waits_s = (each.accelerator_load_s for each in named.pipelines.values())
    bench = Bench(folder / model, 0.0, max(waits_s, default=SPARE_LOAD_S), 0.0, CHILD)
    try:
        with bench.open(Setting(named.options)) as candidate:
            share = candidate.ready().share
    except Refused as refused:
        return named.found(f"{refused} ({model})", refused.failure.reason)
    part = "" if share is None else f" {share:.0%} of"
    return named.found(f"loads, runs{part} {model}, and answers its golden samples")


def _untried(named: _Named) -> Finding:
    library = named.options.delegate or ""
    if "/" in library and not Path(library).exists():
        return named.found(f"library_missing: no such file: {library}", "library_missing")
    return named.found("was not tried: no model of this config runs on it")
