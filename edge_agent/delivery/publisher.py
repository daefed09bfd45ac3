"""Sends the outbox to the broker, and the newest state of everything else beside it.

Theory of operation. A live verdict is sent by whoever brings it, at once, when nothing is before
it: no other thread has to wake up for it. All else one thread does: connects and losses, a backlog
from the disk, states, gap records, and the broker's answers, in the order of one queue of events.
A lock keeps the two apart, and whoever brings a verdict never waits for it: then the verdict goes
through the queue, too, and so do those behind it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.delivery.delivery import Delivery
from edge_agent.delivery.outgoing import Outgoing, Publish
from edge_agent.metrics import Counters
from edge_agent.mqtt.broker import Connection, Will
from edge_agent.registry import plugin
from edge_agent.reporting.topics import topics

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from edge_agent.config import Device
    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.outbox_types import Row
    from edge_agent.metrics import Histogram
    from edge_agent.mqtt.broker_options import BrokerOptions, Subscription
    from edge_agent.reporting.messages import CheckState

WILL_DELAY_S = 5
STATUS_EVERY_S = 5.0
GAPS_EVERY_S = 1.0
TICK_S = 0.2
# While verdicts flow: answers are to be taken before the outbox loses its patience.
FLOWING_TICK_S = 0.05
EVENTS_AT_ONCE = 1000
# How long a connect waits for the disk to bring refused rows back.
UNPARK_S = 1.0
DRAIN_STEP_S = 0.01
OFFLINE_S = 1.0


class Publisher:
    """Keeps the agent's one connection; safe to use from any thread."""

    def __init__(
        self,
        options: BrokerOptions,
        device: Device,
        outbox: Outbox,
        *,
        subscriptions: Sequence[Subscription] = (),
        on_shown: Sequence[Callable[[str, bytes], None]] = (),
        rng: random.Random | None = None,
    ) -> None:
        """`on_shown`: called with topic and payload of what the broker has retained."""
        self.topics = topics(device)
        self.counters = Counters()
        self._outgoing = Outgoing(self.topics, plugin("codecs", "json").create())
        self._outbox = outbox
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._connection = self._connection_to(options, subscriptions, rng)
        self._thread = threads.thread(self._run, "publisher")
        self._answers: deque[tuple[int, str | None, int]] = deque()
        self.acked_s: float | None = None
        """When the broker last answered, on the monotonic clock."""
        self._waits_for_room = self._draining = self._quiet = False
        self._resting = False  # the thread sleeps for long: nothing flows
        # Rows that went through the queue: counted by who brings them, and by the thread.
        self._queued = self._unqueued = 0
        self._lock = threading.Lock()
        # With the lock held:
        self._open = self._offline = self._ended = False
        self._delivery = Delivery(self._connection, outbox, self._outgoing, self.counters, on_shown)
        self._gaps_s = self._status_s = 0.0

    def _connection_to(
        self,
        options: BrokerOptions,
        subscriptions: Sequence[Subscription],
        rng: random.Random | None,
    ) -> Connection:
        will = self._outgoing.offline("connection lost")
        return Connection(
            options,
            f"edge-agent-{self.topics.device}",
            subscriptions=subscriptions,
            will=Will(will.topic, will.payload, WILL_DELAY_S),
            on_connected=lambda: self._events.put(self._connected),
            on_lost=lambda: self._events.put(self._lost),
            on_acked=self._answer,
            rng=rng,
            counters=self.counters,
        )

    def start(self) -> None:
        """Begin to connect and to send."""
        self._thread.start()
        self._connection.start()

    @property
    def alive(self) -> bool:
        """Whether the publisher's thread runs: if not, a bug ended it, and nothing is sent."""
        return self._thread.is_alive()

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._connection.connected

    @property
    def detail(self) -> str:
        """What is wrong with the connection, or with what is shown on it; or ""."""
        refused = self._delivery.refused
        return self._connection.detail or (f"refused: {min(refused)}" if refused else "")

    @property
    def published(self) -> dict[str, Histogram]:
        """Return how long live verdicts took from decision to acknowledgement, by pipeline."""
        return dict(self._delivery.published)

    def note_checks(self, checks: tuple[CheckState, ...]) -> None:
        """Publish what health says, with the status."""
        self._events.put(partial(self._checked, checks))

    def live(self, rows: Sequence[Row]) -> None:
        """Publish new verdicts. Not from two threads at a time: the outbox sees to that."""
        if self._queued == self._unqueued and self._lock.acquire(blocking=False):
            try:
                self._send_live(rows)
            finally:
                self._lock.release()
        else:
            self._queued += 1
            self._events.put(partial(self._came, rows))

    def state(self, topic: str, payload: bytes) -> None:
        """Publish a retained message, the newest of its topic, now and after each reconnect."""
        self._events.put(partial(self._delivery.show, Publish(topic, payload, retain=True)))

    def display(self, pipelines: frozenset[str]) -> None:
        """Retain the newest verdict of these pipelines from now on, and of no others."""
        self._events.put(partial(setattr, self._delivery, "displayed", pipelines))

    def resubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Receive these from now on; what stays subscribed misses nothing."""
        self._connection.resubscribe(subscriptions)

    def drain(self, timeout_s: float) -> int:
        """Wait until the broker has all of it; return how many verdicts it has not."""
        deadline_s = time.monotonic() + timeout_s
        noticed = threading.Event()
        self._events.put(partial(self._note_drain, noticed))
        while time.monotonic() < deadline_s and self.connected:
            if noticed.is_set() and self._quiet and not self._left():
                break
            time.sleep(DRAIN_STEP_S)
        return self._outbox.depth

    def stop(self, timeout_s: float = 3.0) -> None:
        """Say that the agent is offline, and disconnect."""
        if self._thread.is_alive():
            self._events.put(self._go_offline)
            self._thread.join(OFFLINE_S if self.connected else 0)
            self._events.put(self._end)
            self._thread.join(OFFLINE_S)
        self._connection.stop(timeout_s)

    # ------------------------------------------------------------------ whoever brings a verdict

    def _send_live(self, rows: Sequence[Row]) -> None:
        if self._open:
            self._take_answers()
            self._delivery.live(rows)
            self._fill(disk=False)
            if self._resting:
                self._resting = False
                self._events.put(_nothing)

    # ------------------------------------------------------------------ the publisher's thread

    def _run(self) -> None:
        flowed = False
        while not self._ended:
            self._resting = not flowed
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=FLOWING_TICK_S if flowed else TICK_S)
                self._resting = False
                with self._lock:
                    event()
                    for _ in range(EVENTS_AT_ONCE):
                        self._events.get_nowait()()
            with self._lock:
                flowed = self._open and not self._delivery.all_sent
                self._step()

    def _step(self) -> None:
        self._take_answers()
        if self._open:
            self._look_around(time.monotonic())
            self._fill()
        # An answer may have brought the next message: it is among the events.
        self._quiet = self._open and self._delivery.quiet and self._events.empty()
        self._ended = self._ended or (self._offline and self._delivery.all_sent)

    def _look_around(self, mono_s: float) -> None:
        # In this order: whoever brings a verdict puts it down first, and then hands it over.
        due = mono_s >= self._status_s and not self._offline
        stranded = due and self._left() and self._delivery.quiet and self._events.empty()
        self._delivery.show_last(mono_s)
        if mono_s >= self._gaps_s:
            self._gaps_s = mono_s + GAPS_EVERY_S
            self._delivery.gaps()
        if due:
            self._status_s = mono_s + STATUS_EVERY_S
            self._delivery.show(self._outgoing.online(self._outbox))
            self._delivery.show_refused()
            if self._delivery.refused_verdicts.offer_again(mono_s):
                self._outbox.unpark()  # found as stranded at the next status
            if stranded:
                # Nothing should be left then; but a verdict must not wait for the next reconnect.
                self._delivery.begin_lanes()

    def _fill(self, *, disk: bool = True) -> None:
        self._waits_for_room = not self._delivery.fill(disk=disk) or self._draining
        if self._waits_for_room and self._answers:
            self._events.put(_nothing)  # they came before anybody waited for them

    def _take_answers(self) -> None:
        if self._answers:
            answers = [self._answers.popleft() for _ in range(len(self._answers))]
            self.acked_s = time.monotonic()
            self._delivery.answered(answers)

    # ------------------------------------------------------------------ events

    def _connected(self) -> None:
        self._open = True
        self._outbox.patient(patient=True)
        self._gaps_s = self._status_s = 0.0
        if self._outbox.parked_depth:
            # What was refused may be allowed now; and if not, it is parked again.
            self._outbox.unpark()
            self._outbox.flush(UNPARK_S)
        self._delivery.begin(self._outgoing.online(self._outbox))

    def _checked(self, checks: tuple[CheckState, ...]) -> None:
        before = {(check.name, check.pipeline): check.state for check in self._outgoing.checks}
        self._outgoing.checks = checks
        if {(check.name, check.pipeline): check.state for check in checks} != before:
            self._status_s = 0.0  # a change of state at once, of words with the next status

    def _lost(self) -> None:
        self._take_answers()
        self._open = False
        self._outbox.patient(patient=False)
        self._delivery.end()

    def _came(self, rows: Sequence[Row]) -> None:
        self._unqueued += 1
        if self._open:
            self._delivery.live(rows)

    def _answer(self, token: int, reason: str | None) -> None:
        # In the network's thread. To wake ours for each costs more than the answer is worth.
        self._answers.append((token, reason, time.time_ns()))
        if self._waits_for_room:
            self._events.put(_nothing)

    def _note_drain(self, noticed: threading.Event) -> None:
        self._quiet = False
        self._draining = True
        noticed.set()

    def _go_offline(self) -> None:
        self._offline = self._delivery.closing = True
        self._delivery.show(self._outgoing.offline("stopped"))

    def _end(self) -> None:
        self._ended = True

    def _left(self) -> bool:
        return self._outbox.depth > self._outbox.parked_depth


def _nothing(*_: object) -> None:
    pass
