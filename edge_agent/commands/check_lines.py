"""What `edge-agent check` says of a config that is good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.commands.checks import doubted_models, no_pipelines
from edge_agent.commands.named_files import missing_files
from edge_agent.control.ledger import in_force
from edge_agent.inference import calibration_file
from edge_agent.modelstore.manifest import load_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config


def check_lines(config: Config, folder: Path, state_folder: Path) -> list[str]:
    """Return what is to be known of it, a line each; `folder`: where its paths start."""
    warnings = [
        *missing_files(config, folder),
        *doubted_models(config, folder),
        *no_pipelines(config),
    ]
    return [
        *(f"{each.path}: warning: {each.message}" for each in warnings),
        *_calibrations(config, folder, state_folder),
        in_force(state_folder, config),
        f"good; pipelines: {', '.join(config.pipelines) or 'none'}",
    ]


def _calibrations(config: Config, folder: Path, state_folder: Path) -> list[str]:
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
