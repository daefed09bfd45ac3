"""The broker: whether it answers, which MQTT it speaks, and what the agent may do there."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from edge_agent.commands.doctor_findings import Finding
from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_advice import advice, is_final
from edge_agent.mqtt.broker_options import Subscription
from edge_agent.reporting.topics import topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.commands.doctor_findings import Gateway
    from edge_agent.config import Config
    from edge_agent.reporting.topics import Topics

ANSWER_S = 5.0


def check_broker(gateway: Gateway) -> Iterator[Finding]:
    """Connect as the agent does, with a name of its own; subscribe and publish as it does."""
    config = gateway.config
    if config is None:
        return
    answers: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
    opened = threading.Event()
    connection = Connection(
        config.broker,
        f"edge-agent-{config.device.name}-doctor-{uuid.uuid4().hex[:6]}",
        subscriptions=[Subscription(topic, 1, _ignore) for topic in _received(config)],
        on_connected=opened.set,
        on_acked=lambda topic, reason: answers.put((topic, reason)),
    )
    began_s = time.monotonic()
    connection.start()
    try:
        if _opens(connection, opened, config):
            yield from _connected(connection, config, time.monotonic() - began_s)
            yield from _publishes(connection, gateway, config, answers)
        else:
            where = f"{config.broker.host}:{config.broker.port}"
            detail = connection.detail
            yield Finding("fail", "broker", f"{where}: {detail}", advice(detail))
    finally:
        connection.stop()


def _opens(connection: Connection, opened: threading.Event, config: Config) -> bool:
    """Wait for the broker; not for long once it is known what is wrong."""
    # A broker that is silent to MQTT 5 is tried with 3.1.1 in the end.
    deadline_s = time.monotonic() + 2 * config.broker.connect_timeout_s + ANSWER_S
    while not opened.wait(0.1) and time.monotonic() < deadline_s:
        if is_final(connection.detail):
            return False
    return opened.is_set()


def _connected(connection: Connection, config: Config, took_s: float) -> Iterator[Finding]:
    where = f"{config.broker.host}:{config.broker.port}"
    secured = "TLS" if config.broker.tls else "no TLS"
    text = f"{where} answers after {took_s * 1e3:.0f} ms: MQTT {connection.protocol}, {secured}"
    if connection.protocol == "5":
        yield Finding("ok", "broker", text)
    else:
        todo = "let it speak MQTT 5: before that it does not say when it refuses a message"
        yield Finding("warn", "broker", text, todo)
    if connection.detail:
        todo = "let the broker's access list allow this user to read there"
        yield Finding("fail", "broker", connection.detail, todo)
    elif received := _received(config):
        yield Finding("ok", "broker", f"may subscribe to {', '.join(received)}")


def _publishes(
    connection: Connection,
    gateway: Gateway,
    config: Config,
    answers: queue.SimpleQueue[tuple[str, str | None]],
) -> Iterator[Finding]:
    own = topics(config.device)
    probed = _published(own, config) if gateway.every_topic else [own.doctor]
    for topic in probed:
        connection.publish(topic, b"", qos=1, token=topic)
    refused, silent = [], set(probed)
    deadline_s = time.monotonic() + ANSWER_S
    while silent and (left_s := deadline_s - time.monotonic()) > 0:
        topic, reason = _next(answers, left_s)
        silent.discard(topic)
        if reason is not None:
            refused.append(f"{topic} ({reason})")
    if refused:
        advice = f"let the broker's access list allow this user to write to {own.root}/#"
        yield Finding("fail", "broker", f"may not publish to {', '.join(refused)}", advice)
    if silent - {""}:
        advice = "look into the broker's log"
        text = f"no answer to a message to {', '.join(sorted(silent))}"
        yield Finding("fail", "broker", text, advice)
    if not refused and not silent and connection.protocol == "5":
        yield Finding("ok", "broker", f"may publish to {', '.join(probed)}")


def _next(
    answers: queue.SimpleQueue[tuple[str, str | None]], timeout_s: float
) -> tuple[str, str | None]:
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        return "", None


def _published(own: Topics, config: Config) -> list[str]:
    found = [own.status, own.info, own.gap]
    for name, pipeline in config.pipelines.items():
        found += [own.verdict(pipeline.family, name), own.stats(pipeline.family, name)]
        found += (
            [own.defect(name), own.last(name)]
            if pipeline.family == "qc"
            else [own.health(name), own.alerts("pdm", name)]
        )
    return found


def _received(config: Config) -> list[str]:
    """Return the topics that the config tells the agent and its sources to listen to, sorted."""
    found: set[str] = set()
    for pipeline in config.pipelines.values():
        _collect(pipeline.model_dump(include={"source", "trigger"}), found)
    return sorted(found)


def _collect(tree: Any, into: set[str]) -> None:  # noqa: ANN401  part of a config
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        if key == "topic" and value:
            into.add(value)
        else:
            _collect(value, into)


def _ignore(_: object) -> None:
    pass
