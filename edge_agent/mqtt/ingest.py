"""What every source over MQTT shares: a connection of its own, and a queue that it fills."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Generic, TypeVar

from edge_agent.errors import EdgeAgentError, NotConnected
from edge_agent.leaky import LeakyQueue
from edge_agent.mqtt.broker import Connection, Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from edge_agent.mqtt.broker import Message
    from edge_agent.sources.base import SourceContext

T = TypeVar("T")

# The connection opens again by itself; this is only how long `connect` waits for it, and how long
# a stop may have to wait for `connect`.
CONNECT_WAIT_S = 2.0


class Ingest(Generic[T]):
    """Receives on the network's thread and hands out to one reader.

    A connection of its own, apart from the one for verdicts: a slow handler on a shared one moved
    a verdict's round trip from 0.3 to 12 ms. `handlers` run on the network's thread and call `put`;
    `on_lost` does, too.
    """

    def __init__(
        self,
        context: SourceContext,
        handlers: Mapping[str, Callable[[Message], None]],
        *,
        qos: Literal[0, 1],
        depth: int,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._queue: LeakyQueue[T | EdgeAgentError] = LeakyQueue(
            depth, lambda dropped: context.counters.add("dropped_overtaken", dropped)
        )
        self._changed = threading.Event()
        self._closed = False
        self._started = False
        self._connection = Connection(
            context.broker,
            # Unique: a broker closes the older of two connections with the same name, and two
            # agents would throw each other out for ever.
            f"{context.device}-{context.pipeline}-{uuid.uuid4().hex[:8]}",
            subscriptions=[Subscription(topic, qos, take) for topic, take in handlers.items()],
            on_connected=self._changed.set,
            on_lost=on_lost,
            counters=context.counters,
        )

    def connect(self) -> None:
        """Start on the first call; wait a while for the broker. Raises NotConnected."""
        if self._closed:
            return
        if not self._started:
            self._started = True
            self._connection.start()
        if not self._connection.connected:
            self._changed.clear()
            if not self._connection.connected and not self._closed:
                self._changed.wait(CONNECT_WAIT_S)
        self._check()

    def put(self, entry: T | EdgeAgentError) -> None:
        """Hand over an item, or an error that `read` shall raise; the oldest makes room."""
        self._queue.put(entry)

    def read(self, timeout_s: float) -> T | None:
        """Return the next item or None. Raises NotConnected, EndOfStream and what was put."""
        entry = self._queue.get(timeout_s)
        if isinstance(entry, EdgeAgentError):
            raise entry
        if entry is None:
            self._check()
        return entry

    def close(self) -> None:
        """Receive nothing more; what was received is still handed out."""
        self._closed = True
        self._changed.set()
        if self._started:
            self._connection.stop()
        self._queue.close()

    def _check(self) -> None:
        # A connection that is open and still has something to say was refused a subscription.
        if not self._closed and (self._connection.detail or not self._connection.connected):
            raise NotConnected(f"broker: {self._connection.detail}")
