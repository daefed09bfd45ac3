"""`edge-agent config`: looks at an agent's config and changes it, over MQTT, from any machine."""

from __future__ import annotations

import queue
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec

from edge_agent.commands.remote_lines import change_lines, warning_lines
from edge_agent.config import strict_json
from edge_agent.control.signature import sign
from edge_agent.control.trees import merged
from edge_agent.errors import ConfigError, EdgeAgentError, FieldError
from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_advice import advice, is_final
from edge_agent.mqtt.broker_options import BrokerOptions, Subscription

if TYPE_CHECKING:
    import argparse
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.mqtt.broker_options import Message

CONNECT_S = 10.0
REPORTED_S = 5.0
# Retained, as what is reported is: it comes with it, where it may be read.
STATUS_S = 1.0
# Longer than this and a person wonders whether anything was sent.
WORD_S = 1.0
# Longer than any trial (control/trial.py).
ANSWER_S = 90.0
POLL_S = 0.2
LOST = "connection lost"
TRIAL = "trial"
# What is reported has these, and no config has.
ENVELOPE = {"rev", "config"}
WHOLE = "this is what `config get` printed: `config set` takes it; a patch has only what changes"
PART = "a file that has only what changes is for `config patch`; `config set` takes all of it\n"
VALID = 200  # as in HTTP


@dataclass(frozen=True, slots=True)
class Target:
    """Which agent, by the root of its topics, on which broker; `key`: name and file, to sign."""

    root: str
    broker: BrokerOptions
    key: tuple[str, Path] | None = None


class Remote:
    """A connection to one agent; use it in a `with`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._seen: dict[str, dict[str, Any]] = {}
        leaves = ("status", "config/reported", "config/result")
        topics = [f"{target.root}/{leaf}" for leaf in leaves]
        # Answers come on a topic that every broker's access list has anyway.
        self._connection = Connection(
            target.broker,
            f"edge-agent-config-{uuid.uuid4().hex[:8]}",
            subscriptions=[Subscription(topic, 1, self._heard.put) for topic in topics],
        )

    def __enter__(self) -> Self:
        self._connection.start()
        connection = self._connection
        _within(CONNECT_S, lambda: connection.connected or is_final(connection.detail))
        if not connection.connected:
            options, detail = self._target.broker, connection.detail
            connection.stop()
            where = f"broker {options.host}:{options.port}"
            raise EdgeAgentError(f"{where}: {detail}; {advice(detail)}")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.stop()

    def reported(self) -> dict[str, Any]:
        """Return the config in force as the agent reports it. Raises EdgeAgentError."""
        found = self._latest("reported", REPORTED_S)
        if found is None:
            root = self._target.root
            hint = "" if "/edge/" in root else "; a gateway's topics have `edge` before its name"
            raise EdgeAgentError(f"no agent reports its config on {root}/config/reported{hint}")
        return found

    def offline(self) -> str:
        """Return that the agent is offline, since when and why; "" where it does not say so."""
        status = self._latest("status", STATUS_S)
        if status is None or status["status"] == "online":
            return ""
        if status["reason"] == LOST:  # the broker says so, with what it was told at the start
            return (
                f"{status['device']} is offline ({LOST}); it was started at {status['started_ts']}"
            )
        return f"{status['device']} is offline since {status['ts']} ({status['reason']})"

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request. Raises EdgeAgentError when none comes."""
        topic = f"{self._target.root}/config/set"
        payload = msgspec.json.encode(request)
        if self._target.key is not None:
            name, file = self._target.key
            payload = sign(request, topic, time.time(), name, file.read_bytes())
        if offline := self.offline():
            raise EdgeAgentError(f"{offline}; nothing was sent")
        if not self._connection.publish(topic, payload):
            raise EdgeAgentError("the connection was lost before the request could be sent")
        answer = self._answer(request["id"], WORD_S)
        if answer is None:
            if self._seen.get("reported", {}).get("status") != TRIAL:
                sys.stderr.write(f"sent; waiting up to {ANSWER_S:g} s for the agent's answer\n")
            answer = self._answer(request["id"], ANSWER_S)
        if answer is None:
            raise EdgeAgentError(f"no answer within {ANSWER_S:g} s")
        return answer

    def watch(self, stopping: threading.Event) -> Iterator[dict[str, Any]]:
        """Yield what is reported, as it changes; say when the agent goes or comes."""
        away = ""
        while not stopping.is_set():
            for leaf, found in self._messages(POLL_S):
                if leaf == "reported":
                    yield found
                elif leaf == "status" and (offline := self.offline()) != away:
                    sys.stderr.write(f"{offline or found['device'] + ' is online'}\n")
                    away = offline

    def _answer(self, request_id: str, timeout_s: float) -> dict[str, Any] | None:
        for leaf, found in self._messages(timeout_s):
            if leaf == "result" and found["id"] in {request_id, ""}:
                return found
            if leaf == "reported" and found["status"] == TRIAL:
                sys.stderr.write(f"revision {found['rev']} is on trial: do its pipelines run?\n")
        return None

    def _latest(self, leaf: str, timeout_s: float) -> dict[str, Any] | None:
        """Return what was retained on a topic, or came after; None where nothing is."""
        if leaf not in self._seen:
            any(heard == leaf for heard, _ in self._messages(timeout_s))
        return self._seen.get(leaf)

    def _messages(self, timeout_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
        until_s = time.monotonic() + timeout_s
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                message = self._heard.get(timeout=left_s)
            except queue.Empty:
                return
            if message.payload:
                leaf = message.topic.rsplit("/", 1)[1]
                self._seen[leaf] = msgspec.json.decode(message.payload)
                yield leaf, self._seen[leaf]


def change(
    remote: Remote, options: argparse.Namespace, tree: dict[str, Any]
) -> tuple[dict[str, Any] | None, list[str]]:
    """Send a whole config (`set`) or a patch; return the answer, and what differs, in lines.

    A whole config may be what was reported, too: it is then based on the revision that says so.
    Whoever is asked sees the difference, and what the agent says of it, which is the answer where
    it refuses; if they say no, nothing is changed and there is no answer.
    """
    base_rev = options.base_rev
    if tree.keys() >= ENVELOPE:
        if options.verb == "patch":
            raise ConfigError([FieldError("", "type", WHOLE)])
        base_rev = tree["rev"] if base_rev is None else base_rev
        tree = tree["config"]
    if offline := remote.offline():
        raise EdgeAgentError(f"{offline}; nothing was sent")
    reported = remote.reported()
    after = tree if options.verb == "set" else merged(reported["config"], tree)
    lines = change_lines(reported["config"], after)
    if not lines:
        return None, lines
    _show(lines)
    request = {
        "v": 1,
        "id": str(uuid.uuid4()),
        "base_rev": reported["rev"] if base_rev is None else base_rev,
        "config" if options.verb == "set" else "patch": tree,
        "confirm_within_s": options.confirm_within,
    }
    # A trial may take long: what is doubtful is said before it.
    answer = remote.ask(request | {"id": str(uuid.uuid4()), "dry_run": True})
    if answer["code"] == VALID and not options.dry_run:
        _show(warning_lines(answer))
        if not (options.yes or _agreed()):
            return None, lines
        said = answer.get("warnings", [])
        answer = remote.ask(request)
        answer["warnings"] = [each for each in answer.get("warnings", []) if each not in said]
    if answer["code"] != VALID and options.verb == "set" and "device" not in tree:
        sys.stderr.write(PART)
    return answer, lines


def confirm(remote: Remote, rev: int) -> dict[str, Any]:
    """Say that a change is as it should be; return the answer."""
    return remote.ask({"v": 1, "id": str(uuid.uuid4()), "base_rev": rev, "confirm": True})


def read_tree(file: Path) -> dict[str, Any]:
    """Return the JSON or TOML in a file, "-": JSON from standard input. Raises ConfigError."""
    if file.suffix == ".toml":
        import tomllib  # noqa: PLC0415  only here

        try:
            tree: object = tomllib.loads(file.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([FieldError("", "toml", f"not TOML: {error}")]) from None
    else:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        tree = strict_json(text)
    if not isinstance(tree, dict):
        raise ConfigError([FieldError("", "type", "must be a table")])
    return tree


def _within(timeout_s: float, true: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        if true():
            return True
        time.sleep(0.01)
    return False


def _show(lines: list[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _agreed() -> bool:
    """Ask whoever sits there whether to go on."""
    try:
        return input("Change it so? [y/N] ").strip().lower() in {"y", "yes"}
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        return False
    except EOFError:  # from cron, or ssh without a terminal
        sys.stderr.write("nobody is there to agree: with --yes nobody is asked\n")
        return False
