"""The models of one pipeline, all loaded: its own, and one for each product variant."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent import registry
from edge_agent.inference.model import load_model
from edge_agent.line.pipeline import Terms

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from edge_agent.acceleration.accelerated import Acceleration
    from edge_agent.config import PipelineOptions
    from edge_agent.inference.model import Model
    from edge_agent.line.pipeline import Identity
    from edge_agent.rules.base import Rule

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A model and a rule that was made for it, as `chosen` says."""

    model: Model
    rule: Rule
    chosen: object


# What may change between two items, with the rules of the recipes; any other change of a pipeline
# starts it anew.
LIVE_FIELDS = ("rule", "recipe", "product", "run_timeout_s", "evidence")


def warn_of_doubts(pipeline: str, model: Model) -> None:
    """Log what the maker of a pipeline's model doubts about it."""
    for doubt in model.bundle.manifest.doubts:
        log.warning("%s: the maker of its model doubts it: %s", pipeline, doubt)


def same_line(before: PipelineOptions, after: PipelineOptions) -> bool:
    """Say whether a running pipeline can go over from `before` to `after` between two items."""
    live = {field: getattr(after, field) for field in LIVE_FIELDS}
    if not after.accelerator.is_cpu:
        del live["run_timeout_s"]  # an accelerator's process was started with it
    if _bundles(before) == _bundles(after):
        live["recipes"] = after.recipes
    return before.model_copy(update=live) == after


def _bundles(options: PipelineOptions) -> dict[str, str]:
    """Return the folder of each model by the code of its variant, "" being the pipeline's own."""
    return {"": options.model} | {code: r.model for code, r in options.recipes.items()}


class Variants:
    """Loads every model at once: a change of the product must not wait for one."""

    def __init__(
        self,
        options: PipelineOptions,
        folder: Path,
        calibration: Path | None,
        acceleration: Acceleration | None,
        stack: ExitStack,
    ) -> None:
        """`stack` closes the models. Raises ModelError that names the variant."""
        self._models: dict[str, Model] = {}
        self._made: tuple[object, Rule] | None = None
        self._former: list[Model] = []  # still asked about by items under way
        stack.callback(self._close)
        for code, bundle in _bundles(options).items():
            self._models[code] = load_model(
                folder / bundle,
                threads=options.threads,
                roi=options.roi,
                calibration=calibration,
                acceleration=acceleration,
            )

    @property
    def any_model(self) -> Model:
        """Return a model of the pipeline: all take the same kind of item."""
        return self._models[""]

    def exchange(self, ready: Ready, options: PipelineOptions) -> Ready:
        """Put another model and its rule in the place of the pipeline's own; return those before.

        They are the caller's to close. A rule that the config has changed since is made anew.
        """
        model, rule = self.terms_of(options, "")
        before = Ready(model, rule, self._chosen(options, ""))
        self._models[""] = ready.model
        self._former = [model]
        if not options.recipe:
            key = ("", ready.chosen, ready.model.bundle.model_sha256)
            self._made = (key, ready.rule)
        return before

    def terms(self, identity: Identity, options: PipelineOptions) -> Terms:
        """Return what to inspect by; the rule keeps what it has seen unless it is another one."""
        return Terms(identity, options.recipe, *self.terms_of(options, options.recipe))

    def terms_of(self, options: PipelineOptions, code: str) -> tuple[Model, Rule]:
        """Return model and rule of a variant."""
        model, chosen = self._models[code], self._chosen(options, code)
        key = (code, chosen, model.bundle.model_sha256)
        if self._made is not None and self._made[0] == key:
            return model, self._made[1]
        rule: Rule = registry.create("rules", chosen)
        if code == options.recipe:
            self._made = (key, rule)
        return model, rule

    def _chosen(self, options: PipelineOptions, code: str) -> object:
        recipe = options.recipes.get(code)
        own = self._models[code].bundle.manifest.decision.rule
        return (recipe.rule if recipe else options.rule) or own

    def _close(self) -> None:
        for model in self._models.values():
            model.backend.close()
