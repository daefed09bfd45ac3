"""What `edge-agent check` looks at: the config file, the bundles, and whether they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent import registry
from edge_agent.commands.fitting import wrong_accelerator, wrong_limits
from edge_agent.config import parse_tree
from edge_agent.errors import ConfigError, FieldError, ModelError
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.metrics import Counters
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.pointer import parse
from edge_agent.sources.base import SourceContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.environment import Secrets

# For a look at the rest of a config whose [device] is wrong.
STAND_IN = dict.fromkeys(("enterprise", "site", "area", "line", "cell", "name"), "unknown")


def check_tree(tree: Any, secrets: Secrets | None, folder: Path) -> Config:  # noqa: ANN401  JSON
    """Return the config that a tree says. Raises ConfigError with all that is wrong, models too.

    What is right is looked at even where something else is wrong.
    """
    try:
        config = parse_tree(tree, secrets)
    except ConfigError as error:
        part = _good_part(tree, error.fields, secrets)
        wrong = error.fields + (wrong_pipelines(part, folder) if part else [])
        for name, line in _wrong_lines(tree, part):
            if isinstance(line, dict) and isinstance(model := line.get("model"), str):
                wrong += _wrong_model(f"/pipelines/{name}/model", folder / model)
        raise ConfigError(wrong) from None
    check_pipelines(config, folder)
    return config


def check_pipelines(config: Config, folder: Path) -> None:
    """Read every pipeline's bundle and build its source, without running or connecting any.

    Raises ConfigError with what keeps pipelines from starting.
    """
    if wrong := wrong_pipelines(config, folder):
        raise ConfigError(wrong)


def wrong_pipelines(config: Config, folder: Path) -> list[FieldError]:
    """Return what keeps pipelines from starting."""
    wrong: list[FieldError] = []
    for name in config.pipelines:
        wrong += _wrong_recipes(config, name, folder)
        try:
            _check(config, name, folder)
        except ModelError as error:
            wrong.append(FieldError(f"/pipelines/{name}/model", "model", str(error)))
        except ConfigError as error:
            wrong += [
                FieldError(f"/pipelines/{name}{field.path}", field.kind, field.message)
                for field in error.fields
            ]
        else:
            wrong += _unfit_recipes(config, name, folder)
    return wrong


def _wrong_lines(tree: Any, part: Config | None) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield the pipelines of a tree that are not in its good part."""
    pipelines = tree.get("pipelines") if isinstance(tree, dict) else None
    for name, line in pipelines.items() if isinstance(pipelines, dict) else ():
        if part is None or name not in part.pipelines:
            yield name, line


def _good_part(tree: Any, wrong: list[FieldError], secrets: Secrets | None) -> Config | None:  # noqa: ANN401
    """Return the config of what is not wrong in a tree; None where that is no config, either."""
    if not isinstance(tree, dict):
        return None
    places = [parse(field.path) for field in wrong]
    tables = {place[0] for place in places if place} - {"pipelines"}
    lines = {place[1] for place in places if place[:1] == ("pipelines",) and len(place) > 1}
    left = {name: table for name, table in tree.items() if name not in tables}
    if isinstance(pipelines := tree.get("pipelines"), dict):
        left["pipelines"] = {name: line for name, line in pipelines.items() if name not in lines}
    try:
        return parse_tree({"device": STAND_IN} | left, secrets)
    except ConfigError:
        return None


def doubted_models(config: Config, folder: Path) -> list[FieldError]:
    """Return why who made the pipelines' models, their recipes' too, holds them unfit for use.

    Of a config that `wrong_pipelines` finds nothing wrong with.
    """
    models = {f"/pipelines/{name}/model": each.model for name, each in config.pipelines.items()}
    for name, pipeline in config.pipelines.items():
        for code, recipe in pipeline.recipes.items():
            models[f"/pipelines/{name}/recipes/{code}/model"] = recipe.model
    return [
        FieldError(pointer, "doubted", f"the maker of {model} doubts it: {doubt}")
        for pointer, model in models.items()
        for doubt in load_bundle(folder / model).manifest.doubts
    ]


def no_pipelines(config: Config) -> list[FieldError]:
    """Return that a config without pipelines does nothing."""
    return [] if config.pipelines else [FieldError("/pipelines", "empty", "nothing is inspected")]


def _wrong_recipes(config: Config, name: str, folder: Path) -> list[FieldError]:
    wrong: list[FieldError] = []
    for code, recipe in config.pipelines[name].recipes.items():
        path = f"/pipelines/{name}/recipes/{code}"
        if unusable := _wrong_model(f"{path}/model", folder / recipe.model):
            wrong += unusable
        else:
            manifest = load_bundle(folder / recipe.model).manifest
            wrong += [
                FieldError(f"{path}{field.path}", field.kind, field.message)
                for field in wrong_limits(recipe, manifest)
            ]
    return wrong


def _unfit_recipes(config: Config, name: str, folder: Path) -> list[FieldError]:
    """Return the recipes whose model wants other items than the source gives."""
    wrong: list[FieldError] = []
    for code, recipe in config.pipelines[name].recipes.items():
        path = f"/pipelines/{name}/recipes/{code}/model"
        if _wrong_model(path, folder / recipe.model):
            continue  # that was said already
        try:
            _build_source(config, name, folder, recipe.model)
        except ConfigError as error:
            wrong += [FieldError(path, "model", field.message) for field in error.fields]
    return wrong


def _wrong_model(path: str, bundle: Path) -> list[FieldError]:
    try:
        load_bundle(bundle)
    except (ModelError, ValueError) as error:  # ValueError: a zero byte in the path
        return [FieldError(path, "model", str(error))]
    return []


def _check(config: Config, name: str, folder: Path) -> None:
    pipeline = config.pipelines[name]
    bundle = load_bundle(folder / pipeline.model, pipeline.accelerator)
    wrong = wrong_limits(pipeline, bundle.manifest)
    wrong += wrong_accelerator(pipeline.accelerator, bundle.variant)
    try:
        _build_source(config, name, folder, pipeline.model)
    except ConfigError as error:
        wrong += error.fields
    if wrong:
        raise ConfigError(wrong)


def _build_source(config: Config, name: str, folder: Path, model: str) -> None:
    preprocess = load_bundle(folder / model).manifest.task.preprocess
    context = SourceContext(
        pipeline=name,
        device=config.device.name,
        broker=config.broker,
        counters=Counters(),
        window=preprocess if isinstance(preprocess, WindowPreprocess) else None,
        folder=folder,
    )
    registry.create("sources", config.pipelines[name].source, context).close()
