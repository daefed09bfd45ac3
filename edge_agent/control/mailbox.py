"""Control's own connection: requests come in by topic, answers go out to whoever asked.

A connection of its own, because reading a config takes many times what a verdict may wait (ADR 3).
"""

from __future__ import annotations

import queue
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_options import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config import Config
    from edge_agent.mqtt.broker_options import Message
    from edge_agent.reporting.topics import Topics

JSON = "application/json"
# Requests that wait: they come from people. What is beyond that is counted and dropped.
WAITING_MOST = 32
ANSWERS_MOST = 100


@dataclass(frozen=True, slots=True)
class Sender:
    """Where the answer goes; `request`: the fingerprint of what it answers, once it is opened."""

    topic: str
    correlation: bytes | None = None
    request: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A request: `verb` "config", or that of a command."""

    verb: str
    topic: str
    payload: bytes
    sender: Sender


class Mailbox:
    """`get` and `answer` belong to one thread."""

    def __init__(self, config: Config, topics: Topics) -> None:
        self._topics = topics
        self._letters: queue.Queue[Letter] = queue.Queue(WAITING_MOST)
        self._unsent: deque[tuple[Sender, bytes]] = deque(maxlen=ANSWERS_MOST)
        take: list[tuple[str, Callable[[Message], None]]] = []
        if config.remote.enabled:
            asked, told = topics.config("set"), topics.config("result")
            take = [(asked, partial(self._take, "config", told))]
            result = topics.command("result")
            take += [(topics.command("+"), partial(self._take_command, result))]
        self.connection = Connection(
            config.broker,
            f"edge-agent-{topics.device}-control",
            subscriptions=[Subscription(topic, 1, taken, urgent=False) for topic, taken in take],
        )

    def get(self, timeout_s: float) -> Letter | None:
        """Return the oldest request, or None when none came within `timeout_s`."""
        self._send()
        try:
            return self._letters.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def answer(self, sender: Sender, payload: bytes) -> None:
        """Send an answer, now or once there is a connection again."""
        self._unsent.append((sender, payload))
        self._send()

    def _send(self) -> None:
        while self._unsent:
            sender, payload = self._unsent[0]
            if not self.connection.publish(
                sender.topic, payload, content_type=JSON, correlation=sender.correlation
            ):
                return
            self._unsent.popleft()

    def _take_command(self, answers: str, message: Message) -> None:
        if message.topic != answers:
            self._take(message.topic.rpartition("/")[2], answers, message)

    def _take(self, verb: str, answers: str, message: Message) -> None:
        # A retained request is an old one: it would be obeyed again at each connect.
        if message.retain:
            self.connection.counters.add("requests_retained")
            return
        asked = message.response_topic
        # Nobody may have the agent speak on its own topics for them.
        usable = asked and not asked.startswith(self._topics.root) and not set(asked) & set("+#")
        sender = Sender(asked if usable and asked else answers, message.correlation)
        if asked == answers:
            sender = Sender(answers, message.correlation)
        try:
            self._letters.put_nowait(Letter(verb, message.topic, message.payload, sender))
        except queue.Full:
            self.connection.counters.add("requests_dropped")
