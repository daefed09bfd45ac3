"""Sends the outbox to the broker, and the newest state of everything else beside it.

Theory of operation. One thread owns all that is decided here. Commits of the outbox, the broker's
answers, connects and losses reach it as events, in order, through one queue; after each batch of
events it fills the window: at most 100 publishes are unacknowledged, and a backlog may take 80 of
them, so that a live verdict never waits for more than the network. A row is done when the broker
has acknowledged all its publishes. A lost connection forgets what was in flight: it is still in the
outbox, and goes out again with `replay: true`.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from edge_agent.broker import Connection, Will
from edge_agent.lanes import Lanes
from edge_agent.last_verdicts import LastVerdicts
from edge_agent.metrics import Counters
from edge_agent.outgoing import Outgoing, Publish
from edge_agent.registry import plugin
from edge_agent.sending import WINDOW, GapDone, Letter, RowDone, Sending
from edge_agent.topics import topics

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from edge_agent.broker_options import BrokerOptions, Subscription
    from edge_agent.config import Device
    from edge_agent.outbox import Outbox
    from edge_agent.outbox_types import Row

log = logging.getLogger(__name__)

WILL_DELAY_S = 5
# A display needs no more, and each costs the broker a retained message.
LAST_EVERY_S = 0.2
STATUS_EVERY_S = 5.0
GAPS_EVERY_S = 1.0
GAPS_AT_ONCE = 20
TICK_S = 0.2
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
        on_refused: Callable[[str, str], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`on_refused(topic, reason)`: once for each kind of refusal in a connection."""
        self.topics = topics(device)
        self.counters = Counters()
        self._outgoing = Outgoing(self.topics, plugin("codecs", "json").create())
        self._outbox = outbox
        self._on_refused = on_refused or _nothing
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._connection = self._connection_to(options, subscriptions, rng)
        outbox.on_committed = lambda rows: self._events.put(partial(self._committed, rows))
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._answers: deque[tuple[int, str | None]] = deque()
        self._waits_for_room = self._draining = self._quiet = False
        # Of the publisher's thread only:
        self._open = self._offline = self._ended = False
        self._lanes = Lanes(outbox.pending)
        self._sending = Sending(self._send)
        self._last = LastVerdicts(every_s=LAST_EVERY_S)
        self._states: dict[str, Publish] = {}
        self._states_due: dict[str, Publish] = {}
        self._refusals: set[tuple[str, str]] = set()
        self._gap_id = 0
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

    def state(self, topic: str, payload: bytes) -> None:
        """Publish a retained message, the newest of its topic, now and after each reconnect."""
        self._events.put(partial(self._show, Publish(topic, payload, retain=True)))

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

    # ------------------------------------------------------------------ the publisher's thread

    def _run(self) -> None:
        while not self._ended:
            with contextlib.suppress(queue.Empty):
                self._events.get(timeout=TICK_S)()
                for _ in range(EVENTS_AT_ONCE):
                    self._events.get_nowait()()
            self._take_answers()
            if self._open:
                self._look_around(time.monotonic())
                self._fill()
            sent = self._sending.empty() and not self._states_due
            self._quiet = self._open and sent and self._lanes.empty()
            self._ended = self._ended or (self._offline and sent)

    def _look_around(self, mono_s: float) -> None:
        for row in self._last.due(mono_s):
            self._show(self._outgoing.last(row))
        if mono_s >= self._gaps_s:
            self._gaps_s = mono_s + GAPS_EVERY_S
            for gap_id, gap in self._outbox.pending_gaps(self._gap_id, GAPS_AT_ONCE):
                self._gap_id = gap_id
                self._sending.put([Letter(self._outgoing.gap(gap_id, gap), gap_id=gap_id)])
        if mono_s >= self._status_s and not self._offline:
            self._status_s = mono_s + STATUS_EVERY_S
            self._show(self._outgoing.online(self._outbox))
            if self._quiet and self._left():
                # Nothing should be left then; but a verdict must not wait for the next reconnect.
                self._begin_lanes()

    def _fill(self) -> None:
        most = min(WINDOW, self._connection.receive_maximum)
        while self._sending.push(most):
            letters = self._next(most)
            if not letters:
                break
            self._sending.put(letters)
        left = not (self._sending.all_sent() and self._lanes.empty())
        self._waits_for_room = left or self._draining
        if self._waits_for_room and self._answers:
            self._events.put(_nothing)  # they came before anybody waited for them

    def _next(self, most: int) -> list[Letter]:
        if self._states_due:
            return [Letter(self._states_due.pop(next(iter(self._states_due))))]
        if self._offline:
            return []
        one = self._lanes.next(backlog_allowed=self._sending.backlog_allowed(most))
        if one is None:
            return []
        if one.row.verdict.family == "qc":
            self._last.note(one.row)
        publishes = self._outgoing.verdict(one.row, replay=one.replay)
        return [Letter(publish, seq=one.row.seq, replay=one.replay) for publish in publishes]

    def _send(self, publish: Publish, token: int) -> bool:
        return self._connection.publish(
            publish.topic,
            publish.payload,
            retain=publish.retain,
            token=token,
            content_type=publish.content_type,
            user_properties=publish.user_properties,
        )

    # ------------------------------------------------------------------ events

    def _connected(self) -> None:
        self._open = True
        self._sending.begin()
        self._refusals.clear()
        self._gap_id = 0
        self._gaps_s = self._status_s = 0.0
        self._states_due = {self.topics.status: self._outgoing.online(self._outbox)} | self._states
        if self._outbox.parked_depth:
            # What was refused may be allowed now; and if not, it is parked again.
            self._outbox.unpark()
            self._outbox.flush(UNPARK_S)
        self._begin_lanes()

    def _lost(self) -> None:
        self._take_answers()
        self._open = False
        self._sending.begin()

    def _committed(self, rows: Sequence[Row]) -> None:
        if self._open:
            self._lanes.committed(rows)

    def _answer(self, token: int, reason: str | None) -> None:
        # In the network's thread. To wake ours for each costs more than the answer is worth.
        self._answers.append((token, reason))
        if self._waits_for_room:
            self._events.put(_nothing)

    def _take_answers(self) -> None:
        done: list[int] = []
        while self._answers:
            answered = self._sending.answered(*self._answers.popleft())
            if answered is None:
                continue
            if answered.reason is not None:
                self._note_refusal(answered.letter.publish.topic, answered.reason)
            match answered.done:
                case GapDone(gap_id):
                    self._outbox.gap_acked(gap_id)
                case RowDone(seq, None):
                    done.append(seq)
                case RowDone(seq, str(why)):
                    self.counters.add("parked")
                    self._outbox.parked(seq, why)
        if done:
            self._outbox.acked(done)

    def _note_refusal(self, topic: str, reason: str) -> None:
        if (topic, reason) not in self._refusals:
            self._refusals.add((topic, reason))
            log.warning("publisher: the broker refuses %s: %s", topic, reason)
            self._on_refused(topic, reason)

    def _show(self, publish: Publish) -> None:
        self._states[publish.topic] = publish
        self._states_due[publish.topic] = publish

    def _note_drain(self, noticed: threading.Event) -> None:
        self._quiet = False
        self._draining = True
        noticed.set()

    def _go_offline(self) -> None:
        self._offline = True
        self._show(self._outgoing.offline("stopped"))

    def _end(self) -> None:
        self._ended = True

    def _begin_lanes(self) -> None:
        self._lanes.begin(committed_seq=self._outbox.committed_seq, depth=self._outbox.depth)

    def _left(self) -> bool:
        return self._outbox.depth > self._outbox.parked_depth


def _nothing(*_: object) -> None:
    pass
