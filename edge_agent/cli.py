"""The command line. Each command imports what it needs when it is called."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.command_line import parser
from edge_agent.commands.unread import nobody_reads
from edge_agent.errors import ConfigError, EdgeAgentError, refusal
from edge_agent.serving import logs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from edge_agent.config import Config
    from edge_agent.control.control import Control
    from edge_agent.mqtt.broker_options import BrokerOptions
    from edge_agent.reloading import Reloading

# sysexits.h: a service manager can tell "the config is wrong" from "it crashed".
EXIT_CONFIG = 78
EXIT_UNAVAILABLE = 69
EXIT_NOT_AGREED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = parser().parse_args(arguments)
    options.is_program = arguments is None
    logs.set_up(options.log_level.upper(), options.log_format, os.environ)
    try:
        status = COMMANDS[options.command](options)
        sys.stdout.flush()
    except ConfigError as error:
        for field in error.fields:
            print(f"{options.config}: {field}", file=sys.stderr)
        return EXIT_CONFIG
    except (EdgeAgentError, OSError) as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            return 0  # `edge-agent watch | head` has all that it wants
        text = refusal(error) if isinstance(error, OSError) else error
        print(f"edge-agent: {text}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    return status


def _run(options: argparse.Namespace) -> int:
    from edge_agent import reloading as reloads  # noqa: PLC0415
    from edge_agent.processes import forkserver, memory  # noqa: PLC0415

    if options.is_program:  # and not called by another one, which is not ours to exchange
        reloads.keep_waiting()
        memory.without_caches()
    # The fork server imports numpy, OpenCV and LiteRT while this process reads the config.
    forkserver.start()
    from edge_agent.agent import Agent  # noqa: PLC0415

    memory.one_heap()
    memory.return_memory()

    config = _read(options.config)
    folder = options.config.resolve().parent
    stopping = stop_on_signals()
    agent = Agent(config, folder=folder, state_folder=_state(options))
    reloading = _reloading(options, agent.control)
    try:
        agent.run(stopping, reloading.due)
    finally:
        agent.close()
    reloading.begin_anew(stopping)
    return 0


def _reloading(options: argparse.Namespace, control: Control) -> Reloading:
    from edge_agent.commands.checks import check_pipelines  # noqa: PLC0415
    from edge_agent.reloading import Reloading, is_wanted  # noqa: PLC0415
    from edge_agent.sdnotify import Systemd  # noqa: PLC0415

    def read() -> Config:
        config = _read(options.config)
        check_pipelines(config, options.config.resolve().parent)
        return config

    systemd = Systemd(os.environ, os.getpid())
    reloading = Reloading(read, systemd, control.reload, control.reload_refused)
    if is_wanted():
        reloading.listen()
    return reloading


def _check(options: argparse.Namespace) -> int:
    from edge_agent.commands.check_lines import check_lines  # noqa: PLC0415
    from edge_agent.commands.checks import check_tree  # noqa: PLC0415
    from edge_agent.config_file import read_tree, secrets  # noqa: PLC0415

    folder = options.config.resolve().parent
    config = check_tree(read_tree(options.config), secrets(), folder)
    for line in check_lines(config, folder, _state(options)):
        print(f"{options.config}: {line}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from edge_agent.commands.doctor import examine, gateway  # noqa: PLC0415

    logging.getLogger().setLevel(logging.CRITICAL)  # what is found is said in sentences
    options.config = options.config or options.file
    if options.config is None and options.installed.exists():
        options.config = options.installed
    config, wrong = None, []
    try:
        config = _read(options.config) if options.config else None
    except ConfigError as error:
        wrong = error.fields
    levels = []
    for finding in examine(gateway(options, config), wrong):
        levels.append(finding.level)
        print(finding.line(), flush=True)
    print(f"{levels.count('fail')} failed, {levels.count('warn')} warnings")
    return EXIT_UNAVAILABLE if "fail" in levels else 0


def _demo(options: argparse.Namespace) -> int:
    from edge_agent.commands import demo  # noqa: PLC0415

    demo.run(stop_on_signals(), data=options.data, seconds=options.seconds, port=options.port)
    return 0


def _watch(options: argparse.Namespace) -> int:
    from edge_agent.commands.terminal import watch  # noqa: PLC0415

    watch(_broker(options), stop_on_signals())
    return 0


def _broker(options: argparse.Namespace) -> BrokerOptions:
    """Return the broker that the arguments of _add_broker name."""
    from edge_agent.mqtt.broker_options import BrokerOptions, TlsOptions  # noqa: PLC0415

    return BrokerOptions(
        host=options.host,
        port=options.port,
        username=options.username,
        password_file=options.password_file,
        tls=TlsOptions(ca_file=options.ca_file) if options.ca_file else None,
    )


def _replay(options: argparse.Namespace) -> int:
    from edge_agent.commands import replayer  # noqa: PLC0415

    print(f"{replayer.answer(options, _broker(options), stop_on_signals())} messages published")
    return 0


def _bundle(options: argparse.Namespace) -> int:
    from edge_agent.commands import bundler  # noqa: PLC0415

    print("\n".join(bundler.answer(options)))
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from edge_agent.commands.calibrating import Wanted, calibrate, forget  # noqa: PLC0415

    name, config = options.pipeline, _read(options.config)
    if options.forget:
        gone = forget(config, _state(options), name)
        print(f"{name}: {'calibration forgotten' if gone else 'was not calibrated'}")
        return 0
    wanted = Wanted(name, options.parts, options.false_reject, options.pictures)
    folder = options.config.resolve().parent
    done = calibrate(config, folder, _state(options), wanted, stop_on_signals())
    for text in done.skipped:
        print(f"{name}: skipped {text}", file=sys.stderr)
    for part in done.odd:
        print(f"{name}: {part} is unlike the others: is it good? If not, take it out and repeat")
    print(f"{name}: calibrated on {done.parts} good parts; {done.file}")
    print("It holds from the next start of the agent on.")
    return 0


def _config(options: argparse.Namespace) -> int:
    from edge_agent.commands import remote, remote_lines  # noqa: PLC0415

    logging.getLogger().setLevel(logging.WARNING)
    broker = _broker(options)
    key = (options.key[0], Path(options.key[1])) if options.key else None
    tree = remote.read_tree(options.config) if options.verb in {"set", "patch"} else {}
    with remote.Remote(remote.Target(options.device.rstrip("/"), broker, key)) as agent:
        if options.verb == "get":
            print(remote_lines.pretty(agent.reported()))
            if offline := agent.offline():
                print(f"{offline}: that is what it reported last", file=sys.stderr)
            return 0
        if options.verb == "watch":
            for text in remote_lines.watched(agent.watch(stop_on_signals())):
                print(text, flush=True)
            return 0
        if options.verb == "confirm":
            answer = remote.confirm(agent, options.rev)
        else:
            sent, lines = remote.change(agent, options, tree)
            if sent is None:
                print("nothing was changed" if lines else "that is in force already")
                return EXIT_NOT_AGREED if lines else 0
            answer = sent
    print("\n".join(remote_lines.answer_lines(answer)))
    if answer["status"] == "unconfirmed":
        print("\n".join(remote_lines.to_be_confirmed(answer["rev"], options, time.time())))
    return 0 if answer["code"] == remote.VALID else EXIT_CONFIG


def _models(options: argparse.Namespace) -> int:
    from edge_agent.commands import models  # noqa: PLC0415

    said = models.answer(options, _read, _state)
    print("\n".join(said.lines))
    return 0 if said.good else EXIT_UNAVAILABLE


def _bench(options: argparse.Namespace) -> int:
    from edge_agent.commands.benchmark import bench  # noqa: PLC0415

    logging.getLogger().setLevel(logging.WARNING)  # of brokers that come and go
    found = bench(options.bundle, options.pictures, options.seconds)
    print("\n".join(found.lines(options.rate)))
    return 0


def _tune(options: argparse.Namespace) -> int:
    from edge_agent.commands import tuning  # noqa: PLC0415

    config, folder = _read(options.config), options.config.resolve().parent
    tuning.answer(options, config, folder, _state(options), lambda text: print(text, flush=True))
    return 0


def _schema(options: argparse.Namespace) -> int:
    from edge_agent.reporting.schemas import write  # noqa: PLC0415

    write(options.folder)
    return 0


def _state(options: argparse.Namespace) -> Path:
    """Return the folder for outbox, evidence and calibration."""
    beside = options.config.resolve().parent / "state"
    return options.state or Path(os.environ.get("STATE_DIRECTORY") or beside)


def _read(path: Path) -> Config:
    from edge_agent.config_file import read_config  # noqa: PLC0415

    return read_config(path)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set."""
    stopping = threading.Event()
    heard: queue.SimpleQueue[None] = queue.SimpleQueue()

    def pass_on() -> None:
        heard.get()
        stopping.set()

    # Not from the handler itself: it may interrupt a thread that waits for the event, and holds
    # its lock, for ever. `put` may be called anywhere.
    threading.Thread(target=pass_on, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: heard.put(None))
    return stopping


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "check": _check,
    "doctor": _doctor,
    "demo": _demo,
    "watch": _watch,
    "replay": _replay,
    "bundle": _bundle,
    "calibrate": _calibrate,
    "config": _config,
    "verify": _models,
    "models": _models,
    "bench": _bench,
    "tune": _tune,
    "schema": _schema,
}
