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
    demo.add_argument("--port", type=int, help="port of the demo's broker (default: a free one)")
    demo.set_defaults(command=_demo)

    watch = commands.add_parser("watch", help="live view of any agent, over MQTT")
    watch.add_argument("--host", default="127.0.0.1")
    watch.add_argument("--port", type=int, default=1883)
    watch.set_defaults(command=_watch)

    _add_replay(commands)

    schema = commands.add_parser("schema", help="write the JSON Schemas of all messages")
    schema.add_argument("folder", type=Path)
    schema.set_defaults(command=_schema)
    return parser


def _run(options: argparse.Namespace) -> int:
    # The fork server imports numpy, OpenCV and LiteRT while this process reads the config.
    from edge_agent import forkserver  # noqa: PLC0415  see the module's first line

    forkserver.start()
    from edge_agent.agent import Agent  # noqa: PLC0415
    from edge_agent.config import Secrets, parse_toml  # noqa: PLC0415

    config = parse_toml(options.config.read_bytes(), Secrets())
    folder = options.config.resolve().parent
    state = options.state or Path(os.environ.get("STATE_DIRECTORY") or folder / "state")
    stopping = stop_on_signals()
    Agent(config, folder=folder, state_folder=state).run(stopping)
    return 0


def _check(options: argparse.Namespace) -> int:
    from edge_agent.checks import check_models  # noqa: PLC0415
    from edge_agent.config import Secrets, parse_toml  # noqa: PLC0415

    config = parse_toml(options.config.read_bytes(), Secrets())
    check_models(config, options.config.resolve().parent)
    print(f"{options.config}: good; {len(config.pipelines)} pipelines")
    return 0


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
