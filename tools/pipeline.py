"""Write a config that runs a bundle: the shortest way from a model to verdicts.

    python -m tools.pipeline BUNDLE my.toml --folder photos/new        pictures in a folder
    python -m tools.pipeline BUNDLE my.toml --camera 0                 a USB camera
    python -m tools.pipeline BUNDLE my.toml --recording machine.csv    a recording, as if it came in
    python -m tools.pipeline BUNDLE my.toml --topic plant/motor        sensors over MQTT

It is a beginning: docs/config.md has every field. An existing file is not touched.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.commands.checks import check_pipelines
from edge_agent.config import parse_toml
from edge_agent.errors import BadInput, ConfigError, EdgeAgentError, ModelError
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.sensing.recordings import RecordingLayout, read_recording
from tools.photos.layout import pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.modelstore.manifest import Manifest

CONFIG = """\
# {model_id}: written by python -m tools.pipeline. Say where this gateway stands; docs/config.md has
# every field.
[device]
enterprise = "my-company"
site = "my-site"
area = "my-area"
line = "line-1"
cell = "cell-1"
name = "gateway-1"

[broker]
host = "{host}"
port = {port}

[pipelines.{pipeline}]
family = "{family}"
model = {model}

[pipelines.{pipeline}.source]
{source}"""
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write and check the config; return 1 where bundle and source do not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("config", type=Path, help="the TOML file to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--folder", type=Path, help="pictures in a folder")
    source.add_argument("--camera", type=int, metavar="NUMBER", help="/dev/videoNUMBER")
    source.add_argument("--recording", type=Path, help="a CSV or NPZ file")
    source.add_argument("--topic", help="MQTT topic whose messages are objects of numbers")
    parser.add_argument(
        "--unit", help="the column, or place in a message, that names the machine or part"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="recordings: 0 is at once")
    parser.add_argument("--host", default="127.0.0.1", help="of the MQTT broker")
    parser.add_argument("--port", type=int, default=1883)
    options = parser.parse_args(arguments)
    try:
        doubts = written(options).doubts
    except ConfigError as error:
        for field in error.fields:
            print(f"error: {field.path}: {field.message}", file=sys.stderr)
        return 1
    except (EdgeAgentError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for doubt in doubts:
        print(f"{options.bundle}: warning: {doubt}")
    print(f"{options.config}: good. Start it: edge-agent run {options.config}")
    return 0


def written(options: argparse.Namespace) -> Manifest:
    """Write the config once it has been checked; return the model's manifest.

    Raises EdgeAgentError, OSError.
    """
    manifest = load_bundle(options.bundle).manifest
    if options.config.exists():
        raise FileExistsError(f"{options.config} exists: name another file, or change it by hand")
    windows = isinstance(manifest.task.preprocess, WindowPreprocess)
    if windows != (options.folder is None and options.camera is None):
        wants = "samples: say --recording or --topic" if windows else "pictures: --folder, --camera"
        raise ModelError(f"{manifest.model_id} reads {wants}")
    if options.folder is not None:
        _check_pictures(options.folder)
    if options.recording is not None:
        _check_samples(options.recording, options.unit, manifest.task.preprocess.channels)
    folder = options.config.resolve().parent
    text = CONFIG.format(
        model_id=manifest.model_id,
        host=options.host,
        port=options.port,
        pipeline=manifest.model_id,
        family="pdm" if windows else "qc",
        model=quoted(_from(folder, options.bundle)),
        source=_source(options, folder, manifest),
    )
    check_pipelines(parse_toml(text.encode()), folder)
    options.config.write_text(text, encoding="utf-8")
    return manifest


def _source(options: argparse.Namespace, folder: Path, manifest: Manifest) -> str:
    if options.camera is not None:
        return f'kind = "camera"\ndevice = {options.camera}\n'
    if options.folder is not None:
        return f'kind = "folder"\npath = {quoted(_from(folder, options.folder))}\nfps = 5\n'
    if options.recording is not None:
        lines = ['kind = "replay"', f"file = {quoted(_from(folder, options.recording))}"]
        lines.append(f"speed = {options.speed:g}  # 0: as fast as the model takes it")
        if options.unit:
            lines.append(f"unit_column = {quoted(options.unit)}")
        return "\n".join(lines) + "\n"
    lines = ['kind = "mqtt_sensor"', f"topic = {quoted(options.topic)}"]
    if options.unit:
        lines.append(f"part_id = {quoted(_pointer(options.unit))}")
    lines.append("# Each message is an object; where in it each channel stands (RFC 6901).")
    for name in manifest.task.preprocess.channels:
        key = name if BARE_KEY.fullmatch(name) else quoted(name)
        lines.append(f"channels.{key}.pointer = {quoted(_pointer(name))}")
    return "\n".join(lines) + "\n"


def _check_pictures(folder: Path) -> None:
    """Raise FileNotFoundError where no folder is, or the pictures lie deeper: it alone is read."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = next(pictures(folder), None)
    if found is not None and not any(path.parent == folder for path in pictures(folder)):
        raise FileNotFoundError(f"{folder} holds folders of pictures: say --folder {found.parent}")


def _check_samples(recording: Path, unit: str | None, channels: Sequence[str]) -> None:
    """Raise NotConnected, BadInput where a recording does not begin with the channels' samples."""
    block = next(read_recording(recording, RecordingLayout(unit=unit), channels), None)
    if block is None:
        raise BadInput("recording", f"{recording}: no rows")
    if np.isnan(block.values).all():
        raise BadInput("recording", f"{recording}: no numbers below {', '.join(channels)}")


def _pointer(name: str) -> str:
    """Return where in a message that is an object this name stands (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def quoted(text: str) -> str:
    """Return a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _from(folder: Path, path: Path) -> str:
    """Return `path` as seen from the config file, whose paths are relative to it."""
    return Path(os.path.relpath(path.resolve(), folder)).as_posix()


if __name__ == "__main__":
    sys.exit(main())
