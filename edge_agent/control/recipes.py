"""Which product variant each pipeline inspects: chosen by a command, or by a topic of the line.

A choice holds for as long as the config itself says the same `recipe` as when it was made: whoever
writes another one there wants that.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_agent.config import Config, PipelineOptions


class Choice(msgspec.Struct, frozen=True):
    """The variant `code` instead of the one that the config says."""

    code: str
    instead_of: str


class Recipes:
    """Safe to use from any thread. `changed` is called after each change, by whoever made it."""

    def __init__(self, chosen: Mapping[str, Choice], changed: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._chosen = dict(chosen)
        self._changed = changed

    @property
    def chosen(self) -> dict[str, Choice]:
        """Return the choices by pipeline."""
        with self._lock:
            return dict(self._chosen)

    def choose(self, pipeline: str, choice: Choice) -> None:
        """Inspect by this variant from the next item on."""
        with self._lock:
            if self._chosen.get(pipeline) == choice:
                return
            self._chosen[pipeline] = choice
        self._changed()

    def keep(self, before: Config, after: Config) -> None:
        """Let what was chosen under one config hold under another, which takes its place.

        What the line makes, and what a person asked for, is not taken back with a config.
        """
        for name, choice in self.chosen.items():
            if name in before.pipelines and name in after.pipelines:
                was, will = before.pipelines[name].recipe, after.pipelines[name].recipe
                if choice.instead_of == was != will:
                    self.choose(name, Choice(choice.code, will))

    def of(self, config: Config) -> Config:
        """Return a config with the choices made, as far as their variants are there."""
        chosen = self.chosen
        pipelines = {
            name: _with(options, chosen.get(name)) for name, options in config.pipelines.items()
        }
        return config.model_copy(update={"pipelines": pipelines})


def _with(options: PipelineOptions, choice: Choice | None) -> PipelineOptions:
    if choice is None or choice.instead_of != options.recipe:
        return options
    if choice.code not in {"", *options.recipes}:
        return options
    return options.model_copy(update={"recipe": choice.code})
