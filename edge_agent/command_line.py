"""What can be said on the command line: commands, arguments, and what they mean."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edge_agent import __version__
from edge_agent.serving import logs

if TYPE_CHECKING:
    from collections.abc import Callable

N = TypeVar("N", int, float)

PORT_MOST = 65_535


def parser() -> argparse.ArgumentParser:
    """Return what parses it; `command` is then the name of a command."""
    parser = argparse.ArgumentParser(
        prog="edge-agent",
        description="Inspects camera and sensor streams and publishes verdicts over MQTT.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )
    parser.add_argument(
        "--log-format", default="text", choices=logs.FORMS, help="of the log on stderr"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the agent until SIGTERM or Ctrl-C")
    run.add_argument("config", type=Path, help="config file (TOML)")
    run.add_argument(
        "--state", type=Path, help="folder for outbox and evidence (default: beside the config)"
    )
    run.set_defaults(command="run")

    check = commands.add_parser("check", help="say what is wrong with a config file")
    check.add_argument("config", type=Path, help="config file (TOML)")
    check.add_argument("--state", type=Path, help="as of run (default: beside the config)")
    check.set_defaults(command="check")

    _add_doctor(commands.add_parser("doctor", help="is this gateway fit for its config?"))
    _add_looks(commands)
    _add_replay(commands.add_parser("replay", help="publish a recording (CSV, NPZ) over MQTT"))

    _add_bundle(commands.add_parser("bundle", help="make a model file into a bundle"))

    _add_calibrate(commands.add_parser("calibrate", help="learn what good parts look like here"))

    _add_config(commands.add_parser("config", help="look at or change an agent, over MQTT"))

    _add_models(commands.add_parser("models", help="what slots run and have at hand"))
    _add_tests_of_bundles(commands)
    _add_tune(commands.add_parser("tune", help="which accelerator and threads are the fastest"))
    schema = commands.add_parser("schema", help="write the JSON Schemas of all messages")
    schema.add_argument("folder", type=Path)
    schema.set_defaults(command="schema")
    return parser


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    installed = Path("/etc/edge-agent/config.toml")
    where = doctor.add_mutually_exclusive_group()
    where.add_argument(
        "file",
        nargs="?",
        type=Path,
        help=f"config file (TOML); default: {installed} where it exists",
    )
    where.add_argument("--config", type=Path, help="the same")
    doctor.add_argument("--state", type=Path, help="as of run")
    doctor.add_argument(
        "--every-topic",
        action="store_true",
        help="publish an empty message on every topic of the agent: not while a line produces",
    )
    doctor.set_defaults(command="doctor", installed=installed)


def _add_looks(commands: Any) -> None:  # noqa: ANN401  argparse names no public type
    demo = commands.add_parser("demo", help="a simulated cell, or real recordings, to verdicts")
    demo.add_argument("--data", type=Path, help="folder with the recordings bsdata and cmapss")
    demo.add_argument("--seconds", type=float, help="stop by itself after this time")
    demo.add_argument("--port", type=int, default=0, help="of the demo's broker; 0: a free one")
    demo.set_defaults(command="demo")

    watch = commands.add_parser("watch", help="live view of any agent, over MQTT")
    _add_broker(watch)
    watch.set_defaults(command="watch")


def _add_tests_of_bundles(commands: Any) -> None:  # noqa: ANN401
    verify = commands.add_parser("verify", help="load a bundle and run its golden samples")
    verify.add_argument("bundle", type=Path, nargs="+", help="the folder of a bundle")
    verify.add_argument("--memory-mb", type=int, default=1024, help="what it may have")
    verify.set_defaults(command="verify")

    bench = commands.add_parser("bench", help="how many cameras this machine can carry")
    bench.add_argument("bundle", type=Path, help="the folder of a bundle")
    bench.add_argument("--pictures", type=Path, metavar="FOLDER", help="default: simulated ones")
    bench.add_argument(
        "--rate", type=_positive, default=5.0, help="of one camera, items a second (default: 5)"
    )
    bench.add_argument(
        "--seconds", type=_positive, default=8.0, help="how long each run takes (default: 8)"
    )
    bench.set_defaults(command="bench")


def _add_tune(tune: argparse.ArgumentParser) -> None:
    tune.add_argument("pipeline", help="its name in the config")
    tune.add_argument("--config", type=Path, required=True, help="config file (TOML)")
    tune.add_argument("--state", type=Path, help="as of run (default: beside the config)")
    tune.add_argument(
        "--accelerator",
        action="append",
        default=[],
        metavar="VALUE",
        help="as in the config: cpu, gpu, npu or '{ delegate = \"...\", options = { ... } }'; "
        "may be said again (default: all that the model's runtime knows of)",
    )
    tune.add_argument("--threads", type=int, nargs="+", default=[], help="default: 1, 2, 4 ...")
    tune.add_argument("--batch", type=int, nargs="+", default=[], help="default: 1 and 4")
    tune.add_argument(
        "--seconds", type=_positive, default=2.0, help="for each setting (default: 2)"
    )
    tune.add_argument("--show", action="store_true", help="only what was found the last time")
    tune.set_defaults(command="tune")


def _add_bundle(bundle: argparse.ArgumentParser) -> None:
    bundle.add_argument("model", type=Path, help="a .tflite or .onnx file")
    bundle.add_argument("folder", type=Path, help="the bundle to write; its name is the model's")
    what = bundle.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", help="classify, detect, segment, ...")
    what.add_argument(
        "--hw",
        metavar="WORD",
        help="put it into the bundle that is there, as what this accelerator runs: gpu, edgetpu",
    )
    bundle.add_argument("--labels", type=Path, help="file with one label a line")
    bundle.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=JSON",
        help="a field below preprocess, postprocess or rule, as in preprocess.mean=[127.5]",
    )
    bundle.add_argument(
        "--samples",
        type=Path,
        metavar="FOLDER",
        help="make golden samples of these pictures, or .npz files of windows or inputs; evenly of "
        "each folder in it",
    )
    bundle.set_defaults(command="bundle")


def _add_models(models: argparse.ArgumentParser) -> None:
    models.set_defaults(command="models")
    verbs = models.add_subparsers(required=True, metavar="VERB", dest="verb")
    each = [verbs.add_parser("list", help="a line for each slot")]
    each.append(verbs.add_parser("show", help="all that is known of a slot, or of all"))
    each.append(verbs.add_parser("verify", help="run the golden samples of all at hand"))
    each.append(verbs.add_parser("pin", help="take no other model"))
    each[-1].add_argument("--off", action="store_true", help="take them again")
    each.append(verbs.add_parser("rollback", help="back to the model before, for good"))
    release = verbs.add_parser("release", help="let a model out of quarantine")
    release.add_argument("model", metavar="DIGEST|MODEL", help="as `show` names it")
    for verb in (*each, release):
        verb.add_argument("--config", type=Path, required=True, help="config file (TOML)")
        verb.add_argument("--state", type=Path, help="as of run (default: beside the config)")
    for verb in each[1:3]:
        verb.add_argument("slot", nargs="?")
    for verb in each[3:]:
        verb.add_argument("slot")


def _add_calibrate(calibrate: argparse.ArgumentParser) -> None:
    calibrate.add_argument("pipeline", help="its name in the config; its model finds anomalies")
    calibrate.add_argument("--config", type=Path, required=True, help="config file (TOML)")
    calibrate.add_argument("--state", type=Path, help="as of run (default: beside the config)")
    calibrate.add_argument(
        "--from", dest="pictures", type=Path, metavar="FOLDER", help="pictures of good parts"
    )
    calibrate.add_argument("--parts", type=int, default=10, help="the first N; all must be good")
    calibrate.add_argument(
        "--false-reject", type=float, default=0.01, help="share of good parts that may fail"
    )
    calibrate.add_argument("--forget", action="store_true", help="inspect as the model came")
    calibrate.set_defaults(command="calibrate")


def _add_config(config: argparse.ArgumentParser) -> None:
    config.set_defaults(command="config", config=None)
    verbs = config.add_subparsers(required=True, metavar="VERB", dest="verb")
    get = verbs.add_parser("get", help="print the config in force")
    watch = verbs.add_parser("watch", help="print the config in force, whenever it changes")
    confirm = verbs.add_parser("confirm", help="keep a change that waits for a confirmation")
    confirm.add_argument("rev", type=int, help="its revision")
    changes = [verbs.add_parser("set", help="put a whole config in force, or what get printed")]
    changes.append(verbs.add_parser("patch", help="change what a file names (RFC 7396)"))
    for change in changes:
        change.add_argument(
            "config", type=Path, metavar="FILE", help="JSON or TOML; -: JSON, stdin"
        )
        change.add_argument("--yes", action="store_true", help="do not ask")
        change.add_argument("--dry-run", action="store_true", help="only say whether it is valid")
        change.add_argument(
            "--base-rev", type=int, metavar="REV", help="refused where another one is in force"
        )
        change.add_argument(
            "--confirm-within", type=_positive, metavar="SECONDS", help="else it is taken back"
        )
    for verb in (get, watch, confirm, *changes):
        verb.add_argument(
            "--device",
            type=_topic,
            required=True,
            metavar="ROOT",
            help="what its topics begin with",
        )
        _add_broker(verb)
        verb.add_argument("--key", nargs=2, metavar=("NAME", "FILE"), help="sign requests with it")


def _add_broker(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="the broker's")
    command.add_argument("--port", type=_port, default=1883)
    command.add_argument("--username")
    command.add_argument("--password-file", type=Path)
    command.add_argument(
        "--ca-file", type=Path, help="encrypted; PEM of who signed the broker's key"
    )


def _add_replay(replay: argparse.ArgumentParser) -> None:
    replay.add_argument("file", type=Path)
    replay.add_argument("--topic", type=_topic, required=True)
    _add_broker(replay)
    replay.add_argument("--format", default="json", choices=["json", "raw", "msgpack"])
    replay.add_argument("--columns", nargs="+", help="publish only these")
    replay.add_argument("--names", nargs="+", help="names of the columns, for a file without any")
    replay.add_argument("--delimiter", default="", help="default: found out from the first line")
    replay.add_argument("--time", help="column that holds the time")
    replay.add_argument(
        "--time-unit",
        default="s",
        choices=["s", "ms", "us", "ns", "iso8601"],
        help="of that column; iso8601: 2026-01-31T06:00:00Z",
    )
    replay.add_argument("--unit", help="column that names the machine or part")
    replay.add_argument("--rate", type=_positive, default=1.0, help="rows a second, without --time")
    replay.add_argument("--rows", type=_count, default=1, help="rows in one message")
    replay.add_argument("--speed", type=_speed, default=1.0, help="1: real time; 0: at once")
    replay.add_argument("--loop", action="store_true")
    replay.set_defaults(command="replay")


def _positive(text: str) -> float:
    return _number(float, text, lambda value: 0 < value < float("inf"), "must be above 0")


def _speed(text: str) -> float:
    return _number(float, text, lambda value: 0 <= value < float("inf"), "must be 0 or more")


def _count(text: str) -> int:
    return _number(int, text, lambda value: value >= 1, "must be 1 or more")


def _port(text: str) -> int:
    return _number(int, text, lambda value: 1 <= value <= PORT_MOST, f"must be 1 to {PORT_MOST}")


def _number(kind: type[N], text: str, fits: Callable[[N], bool], words: str) -> N:
    with contextlib.suppress(ValueError):
        value = kind(text)
        if fits(value):
            return value
    raise argparse.ArgumentTypeError(f"{words}: {text}")


def _topic(text: str) -> str:
    if not text or set(text) & set("+#"):
        raise argparse.ArgumentTypeError(f"must be a topic, without + and #: {text}")
    return text
