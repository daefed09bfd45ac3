"""What the gateways of a fleet say of their slots, as it stands on a broker.

The topics are retained: whoever subscribes is told all of it at once, so that nothing must be kept
here, and a restart forgets nothing.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import msgspec

from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_options import Subscription
from edge_agent.reporting.model_messages import ModelStatusMessage
from tools.repo.control import SlotStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from edge_agent.mqtt.broker_options import BrokerOptions, Message

# Enterprise, site, area, line, cell; the device; the slot.
TOPIC = "+/+/+/+/+/edge/+/model/+/status"
SITE, LINE, ROOT_PARTS = 1, 3, 7


class StatusBoard:
    """Listens between `with` and its end.

    `settle_s`: so long after the last retained message all are known. `received` and `malformed`
    count messages.
    """

    def __init__(
        self,
        broker: BrokerOptions,
        client_id: str,
        *,
        settle_s: float = 3.0,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settle_s = settle_s
        self._mono_s = mono_s
        self._lock = threading.Lock()
        self._slots: dict[str, SlotStatus] = {}
        self._last_s: float | None = None
        self.received = self.malformed = 0
        self._connection = Connection(
            broker,
            client_id,
            subscriptions=[Subscription(TOPIC, 1, self.take, urgent=False)],
            on_connected=self._connected,
            on_lost=self._lost,
        )

    def __enter__(self) -> Self:
        self._connection.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.stop()

    @property
    def detail(self) -> str:
        """Return what is wrong with the connection, or ""."""
        return "" if self._connection.connected else self._connection.detail

    @property
    def complete(self) -> bool:
        """Whether all that the broker keeps has been heard."""
        with self._lock:
            last_s = self._last_s
        return last_s is not None and self._mono_s() - last_s >= self._settle_s

    def slots(self) -> list[SlotStatus]:
        """Return the newest status of every slot."""
        with self._lock:
            return list(self._slots.values())

    def take(self, message: Message) -> None:
        """Take a status; an empty one takes the slot away."""
        try:
            status = (
                msgspec.json.decode(message.payload, type=ModelStatusMessage)
                if message.payload
                else None
            )
        except msgspec.DecodeError:
            self.malformed += 1
            return
        with self._lock:
            self.received += 1
            if message.retain and self._last_s is not None:
                self._last_s = self._mono_s()
            if status is None:
                self._slots.pop(message.topic, None)
                return
            parts = message.topic.split("/")
            root = "/".join(parts[:ROOT_PARTS])
            self._slots[message.topic] = SlotStatus(root, parts[SITE], parts[LINE], status)

    def _connected(self) -> None:
        with self._lock:
            self._last_s = self._mono_s()

    def _lost(self) -> None:
        with self._lock:
            # What is taken away meanwhile is not told again.
            self._last_s = None
            self._slots.clear()
