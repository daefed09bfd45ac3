"""A connection to an MQTT broker that opens again by itself.

Theory of operation. A connection is a row of lives. A life is one paho client in one thread: TCP
and TLS, CONNECT, SUBSCRIBE, then traffic until something breaks. Its client is then thrown away
with everything it still held, and after a while (full jitter) the next life begins. Nothing is
ever sent twice by this module: whoever published sends again what was not acknowledged.

- Callbacks and handlers run in the life's thread, one at a time; they must not block.
- A handler that meets an expected error (EdgeAgentError) costs its message, which is counted. Any
  other exception ends the life: its traceback is reported, the connection opens again.
"""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from edge_agent import threads
from edge_agent.backoff import full_jitter
from edge_agent.errors import NotConnected
from edge_agent.metrics import Counters
from edge_agent.mqtt.broker_options import (
    BrokerOptions,
    Message,
    Plan,
    Subscription,
    TlsOptions,
    Will,
)
from edge_agent.mqtt.client import NO_RECEIVE_MAXIMUM, Life
from edge_agent.mqtt.packets import publish_properties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["BrokerOptions", "Connection", "Message", "Subscription", "TlsOptions", "Will"]

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 5.0
# A life at least this long was a good one: the next attempt follows at once.
GOOD_LIFE_S = 5.0
# What a broker does with MQTT 5 that cannot speak it: it says so, closes, or waits for ever for
# what it takes for the rest. Closing once proves nothing: it may just be restarted.
UNANSWERED_BEFORE_FALLBACK = 2


class Connection:
    """Keeps one connection open from `start` to `stop`; safe to use from any thread.

    `on_connected`: the subscriptions are in force. `on_lost`: follows each `on_connected`.
    `on_acked(token, reason)`: the broker's word on a publish; reason None: accepted, else why not.
    It must not publish.
    What was published and not acknowledged before `on_lost` may or may not have arrived.
    """

    def __init__(  # noqa: PLR0913  all but two are named and have defaults
        self,
        options: BrokerOptions,
        client_id: str,
        *,
        subscriptions: Sequence[Subscription] = (),
        will: Will | None = None,
        on_connected: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        on_acked: Callable[[Any, str | None], None] | None = None,
        session_expiry_s: int = 0,
        rng: random.Random | None = None,
        counters: Counters | None = None,
    ) -> None:
        """Keep the arguments; `session_expiry_s` > 0: the broker queues for us while away."""
        self._plan = Plan(options, client_id, tuple(subscriptions), will, session_expiry_s)
        self._on_connected = on_connected or _nothing
        self._on_lost = on_lost or _nothing
        self._on_acked = on_acked or _nothing
        self._rng = rng or random.Random()  # noqa: S311  jitter is no secret
        self.counters = counters or Counters()
        self.detail = "not started"
        self._life: Life | None = None
        self._open_life: Life | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._spoken = ""
        self._unanswered = 0

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self.detail = "connecting"
        self._thread = threads.thread(self._run, f"mqtt-{self._plan.client_id}")
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Say goodbye to the broker (it then drops the will) and end within `timeout_s`."""
        self._stopping.set()
        if life := self._life:
            life.finish()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def resubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Receive these from now on; what stays subscribed misses nothing."""
        self._plan = replace(self._plan, subscriptions=tuple(subscriptions))
        if life := self._life:
            life.resubscribe(self._plan.subscriptions)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and our subscriptions."""
        return self._open_life is not None

    @property
    def protocol(self) -> str:
        """Return the version of MQTT that is spoken, "5" or "3.1.1"; "" without a connection."""
        life = self._open_life
        return ("5" if life.speaks_5 else "3.1.1") if life else ""

    @property
    def receive_maximum(self) -> int:
        """How many unacknowledged publishes the broker takes at a time; 65535 says no limit."""
        life = self._open_life
        return life.receive_maximum if life else NO_RECEIVE_MAXIMUM

    def publish(  # noqa: PLR0913  the fields of a PUBLISH
        self,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 1,
        retain: bool = False,
        token: Any = None,  # noqa: ANN401  whatever the caller tells its messages apart by
        content_type: str = "",
        user_properties: Iterable[tuple[str, str]] = (),
        correlation: bytes | None = None,
    ) -> bool:
        """Hand a message to the network; False: no connection, or the broker has enough for now.

        Never blocks and keeps nothing. `on_acked(token, ...)` follows unless the connection is
        lost before; for a message that is too large it is called from within. Properties are sent
        on MQTT 5 only.
        """
        life = self._open_life
        if life is None:
            return False
        if len(payload) + len(topic) + 64 > life.most_bytes:
            self.counters.add("publish_too_large")
            self._on_acked(token, f"larger than {life.most_bytes} bytes")
            return True
        properties = (
            publish_properties(content_type, user_properties, correlation) if life.speaks_5 else b""
        )
        return life.publish(topic, payload, qos, retain, properties, token)

    # ------------------------------------------------------------------ the connection's thread

    def _run(self) -> None:
        waits_s = full_jitter(BACKOFF_FIRST_S, BACKOFF_MOST_S, self._rng)
        while not self._stopping.is_set():
            began_s = time.monotonic()
            # A life has a thread of its own so that an unexpected exception can end only that.
            life = threads.thread(self._live, "network")
            life.start()
            life.join()
            # paho's client and those it calls hold each other, with all that it still held: left to
            # itself that stays until Python next looks for such, which may be a quarter of an hour.
            gc.collect()
            if time.monotonic() - began_s >= GOOD_LIFE_S:
                waits_s = full_jitter(BACKOFF_FIRST_S, BACKOFF_MOST_S, self._rng)
            self._stopping.wait(next(waits_s))
        self.detail = "stopped"

    def _live(self) -> None:
        detail = "stopped by an unexpected exception"
        life = Life(self._plan_of_next_life(), self._opened, self._on_acked, self.counters)
        self._life = life
        life.resubscribe(self._plan.subscriptions)  # which may be others by now
        try:
            if not self._stopping.is_set():
                detail = life.run(self._stopping)
        except (NotConnected, OSError) as error:
            words = error.strerror if isinstance(error, OSError) else ""
            detail = words or str(error) or type(error).__name__
        finally:
            was_open, self._open_life, self._life = self._open_life is life, None, None
            self._learn(life, was_open=was_open)
            self._log_once(detail)
            if was_open:
                self._on_lost()

    def _plan_of_next_life(self) -> Plan:
        options = self._plan.options
        older = self._spoken == "3.1.1" or self._unanswered >= UNANSWERED_BEFORE_FALLBACK
        if options.protocol == "auto" and older:
            return replace(self._plan, options=options.model_copy(update={"protocol": "3.1.1"}))
        return self._plan

    def _learn(self, life: Life, *, was_open: bool) -> None:
        if was_open:
            self._spoken = "5" if life.speaks_5 else "3.1.1"
            self._unanswered = 0
        elif life.refused_protocol:
            self._spoken = ""
            self._unanswered = UNANSWERED_BEFORE_FALLBACK
        elif self._spoken != "5":  # a broker that spoke it is only away
            self._spoken = ""
            self._unanswered = self._unanswered + life.unanswered if life.speaks_5 else 0

    def _opened(self, life: Life, refused: str) -> None:
        is_new, self._open_life = self._open_life is not life, life
        self._log_once(refused)
        if is_new:  # else another subscription is refused, or none any more
            self._on_connected()

    def _log_once(self, detail: str) -> None:
        if detail == self.detail:
            return
        self.detail = detail
        # Several connections of one agent would say the same.
        where = f"{self._plan.options.host}:{self._plan.options.port} ({self._plan.client_id})"
        if self._stopping.is_set():
            log.info("broker %s: disconnected", where)
        elif self.connected and not detail:
            log.info("broker %s: connected", where)
        else:
            log.warning("broker %s: %s", where, detail)


def _nothing(*_: object) -> None:
    pass
