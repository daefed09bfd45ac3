"""What `edge-agent check` looks at beyond the config file: the bundles, and whether they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent import registry
from edge_agent.errors import ConfigError, FieldError, ModelError
from edge_agent.inference import calibration_file
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.metrics import Counters
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.sources.base import SourceContext

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config


def check_pipelines(config: Config, folder: Path) -> None:
    """Read every pipeline's bundle and build its source, without running or connecting any.

    Raises ConfigError with one entry for each pipeline that could not start.
    """
    wrong: list[FieldError] = []
    for name in config.pipelines:
        try:
            _check(config, name, folder)
            wrong += _wrong_recipes(config, name, folder)
        except ModelError as error:
            wrong.append(FieldError(f"/pipelines/{name}/model", "model", str(error)))
        except ConfigError as error:
            wrong += [
                FieldError(f"/pipelines/{name}{field.path}", field.kind, field.message)
                for field in error.fields
            ]
    if wrong:
        raise ConfigError(wrong)


def calibrations(config: Config, folder: Path, state_folder: Path) -> list[str]:
    """Return a line for each pipeline that was calibrated: that it holds, or why it does not."""
    lines = []
    for name, pipeline in config.pipelines.items():
        file = calibration_file.file_of(state_folder, name)
        sha256 = load_bundle(folder / pipeline.model).model_sha256
        found = calibration_file.find(file, sha256, pipeline.roi)
        if found.calibration is not None:
            lines.append(f"{name} is calibrated")
        elif found.note:
            lines.append(f"{name}: {found.note}")
    return lines


def _wrong_recipes(config: Config, name: str, folder: Path) -> list[FieldError]:
    wrong: list[FieldError] = []
    for code, recipe in config.pipelines[name].recipes.items():
        try:
            load_bundle(folder / recipe.model)
        except ModelError as error:
            path = f"/pipelines/{name}/recipes/{code}/model"
            wrong.append(FieldError(path, "model", str(error)))
    return wrong


def _check(config: Config, name: str, folder: Path) -> None:
    pipeline = config.pipelines[name]
    preprocess = load_bundle(folder / pipeline.model).manifest.task.preprocess
    load_bundle(folder / pipeline.model, pipeline.accelerator)
    context = SourceContext(
        pipeline=name,
        device=config.device.name,
        broker=config.broker,
        counters=Counters(),
        window=preprocess if isinstance(preprocess, WindowPreprocess) else None,
        folder=folder,
    )
    registry.create("sources", pipeline.source, context).close()
