"""The command line. Each command imports what it needs when it is called."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent import __version__
from edge_agent.errors import ConfigError, EdgeAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.config import Config

# sysexits.h: a service manager can tell "the config is wrong" from "it crashed".
EXIT_CONFIG = 78
EXIT_UNAVAILABLE = 69


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(levelname)s %(message)s")
    try:
        status: int = options.command(options)
    except ConfigError as error:
        for field in error.fields:
            print(f"{options.config}: {field.path or '/'}: {field.message}", file=sys.stderr)
        return EXIT_CONFIG
    except (EdgeAgentError, OSError) as error:
        print(f"edge-agent: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-agent",
        description="Inspects camera and sensor streams and publishes verdicts over MQTT.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the agent until SIGTERM or Ctrl-C")
    run.add_argument("config", type=Path, help="config file (TOML)")
    run.add_argument(
        "--state", type=Path, help="folder for outbox and evidence (default: beside the config)"
    )
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="say what is wrong with a config file")
    check.add_argument("config", type=Path, help="config file (TOML)")
    check.set_defaults(command=_check)

    demo = commands.add_parser("demo", help="a simulated cell, or real recordings, to verdicts")
    demo.add_argument("--data", type=Path, help="folder with the recordings bsdata and cmapss")
    demo.add_argument("--seconds", type=float, help="stop by itself after this time")
    demo.add_argument("--port", type=int, default=0, help="of the demo's broker; 0: a free one")
    demo.set_defaults(command=_demo)

    watch = commands.add_parser("watch", help="live view of any agent, over MQTT")
    watch.add_argument("--host", default="127.0.0.1")
    watch.add_argument("--port", type=int, default=1883)
    watch.set_defaults(command=_watch)

    _add_replay(commands.add_parser("replay", help="publish a recording (CSV, NPZ) over MQTT"))

    _add_bundle(commands.add_parser("bundle", help="make a model file into a bundle"))

    schema = commands.add_parser("schema", help="write the JSON Schemas of all messages")
    schema.add_argument("folder", type=Path)
    schema.set_defaults(command=_schema)
    return parser


def _add_bundle(bundle: argparse.ArgumentParser) -> None:
    bundle.add_argument("model", type=Path, help="a .tflite or .onnx file")
    bundle.add_argument("folder", type=Path, help="the bundle to write; its name is the model's")
    bundle.add_argument("--task", required=True, help="classify, detect, segment, ...")
    bundle.add_argument("--labels", type=Path, help="file with one label a line")
    bundle.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=JSON",
        help="a field below preprocess, postprocess or rule, as in preprocess.mean=[127.5]",
    )
    bundle.set_defaults(command=_bundle)


def _add_replay(replay: argparse.ArgumentParser) -> None:
    replay.add_argument("file", type=Path)
    replay.add_argument("--topic", required=True)
    replay.add_argument("--host", default="127.0.0.1")
    replay.add_argument("--port", type=int, default=1883)
    replay.add_argument("--format", default="json", choices=["json", "raw", "msgpack"])
    replay.add_argument("--columns", nargs="+", help="publish only these")
    replay.add_argument("--names", nargs="+", help="names of the columns, for a file without any")
    replay.add_argument("--delimiter", default="", help="default: found out from the first line")
    replay.add_argument("--time", help="column that holds the time")
    replay.add_argument("--time-unit", default="s", choices=["s", "ms", "us", "ns"])
    replay.add_argument("--unit", help="column that names the machine or part")
    replay.add_argument("--rate", type=float, default=1.0, help="rows a second, without --time")
    replay.add_argument("--rows", type=int, default=1, help="rows in one message")
    replay.add_argument("--speed", type=float, default=1.0, help="1: real time; 0: at once")
    replay.add_argument("--loop", action="store_true")
    replay.set_defaults(command=_replay)


def _run(options: argparse.Namespace) -> int:
    # The fork server imports numpy, OpenCV and LiteRT while this process reads the config.
    from edge_agent import forkserver  # noqa: PLC0415

    forkserver.start()
    from edge_agent.agent import Agent  # noqa: PLC0415

    config = _read(options.config)
    folder = options.config.resolve().parent
    state = options.state or Path(os.environ.get("STATE_DIRECTORY") or folder / "state")
    Agent(config, folder=folder, state_folder=state).run(stop_on_signals())
    return 0


def _check(options: argparse.Namespace) -> int:
    from edge_agent.checks import check_pipelines  # noqa: PLC0415

    config = _read(options.config)
    check_pipelines(config, options.config.resolve().parent)
    print(f"{options.config}: good; pipelines: {', '.join(config.pipelines) or 'none'}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from edge_agent import demo  # noqa: PLC0415

    demo.run(stop_on_signals(), data=options.data, seconds=options.seconds, port=options.port)
    return 0


def _watch(options: argparse.Namespace) -> int:
    from edge_agent.broker_options import BrokerOptions  # noqa: PLC0415
    from edge_agent.terminal import watch  # noqa: PLC0415

    watch(BrokerOptions(host=options.host, port=options.port), stop_on_signals())
    return 0


def _replay(options: argparse.Namespace) -> int:
    from edge_agent.broker_options import BrokerOptions  # noqa: PLC0415
    from edge_agent.recordings import RecordingLayout  # noqa: PLC0415
    from edge_agent.replayer import Replay, replay  # noqa: PLC0415

    layout = RecordingLayout(
        columns=tuple(options.names or ()),
        delimiter=options.delimiter,
        time=options.time,
        time_unit=options.time_unit,
        unit=options.unit,
    )
    what = Replay(
        file=options.file,
        topic=options.topic,
        layout=layout,
        columns=tuple(options.columns) if options.columns else None,
        format=options.format,
        rate_hz=options.rate,
        rows_per_message=options.rows,
        speed=options.speed,
        loop=options.loop,
    )
    broker = BrokerOptions(host=options.host, port=options.port)
    print(f"{replay(what, broker, stop_on_signals())} messages published")
    return 0


def _bundle(options: argparse.Namespace) -> int:
    from edge_agent import bundler  # noqa: PLC0415

    labels = tuple(options.labels.read_text().splitlines()) if options.labels else ()
    recipe = bundler.recipe(options.task, labels, options.set)
    model = bundler.write_bundle(options.model, options.folder, recipe)
    for word, specs in (("input", model.backend.inputs), ("output", model.backend.outputs)):
        for spec in specs:
            print(f"{word}  {spec.name}  {spec.dtype} {list(spec.shape)}")
    print(f"{options.folder}: loads and fits; what it says is in manifest.json")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from edge_agent.schemas import write  # noqa: PLC0415

    write(options.folder)
    return 0


def _read(path: Path) -> Config:
    from edge_agent.config import parse_json, parse_toml  # noqa: PLC0415

    parse = parse_json if path.suffix == ".json" else parse_toml
    if not any(name.upper().startswith("EDGE_AGENT_") for name in os.environ):
        return parse(path.read_bytes())
    # Only where there are secrets: its library costs a gateway 16 MB and a quarter of a second.
    from edge_agent.environment import Secrets  # noqa: PLC0415

    return parse(path.read_bytes(), Secrets())


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
