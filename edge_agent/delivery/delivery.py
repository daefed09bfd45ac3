"""What goes to the broker next, and what has become of it: one window over all kinds of messages.

At most 100 publishes are unacknowledged, and a backlog may take 80 of them, so that a live verdict
never waits for more than the network. A row is done when the broker has acknowledged all its
publishes. A lost connection forgets what was in flight: it is still in the outbox, and goes out
again with `replay: true`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_agent.delivery.lanes import Lanes
from edge_agent.delivery.refused import RefusedVerdicts
from edge_agent.delivery.sending import WINDOW, GapDone, Letter, RowDone, Sending
from edge_agent.metrics import Histogram
from edge_agent.reporting.last_verdicts import LastVerdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.outbox_types import Row
    from edge_agent.delivery.outgoing import Outgoing, Publish
    from edge_agent.metrics import Counters
    from edge_agent.mqtt.broker import Connection

log = logging.getLogger(__name__)

# A display needs no more, and each costs the broker a retained message.
LAST_EVERY_S = 0.2
GAPS_AT_ONCE = 20


class Delivery:
    """Not safe for threads: the publisher holds a lock around each call."""

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        outgoing: Outgoing,
        counters: Counters,
        on_shown: Sequence[Callable[[str, bytes], None]],
    ) -> None:
        self.closing = False
        """Only states go out any more."""
        self.displayed: frozenset[str] | None = None
        """The pipelines whose newest verdict is retained; None: all."""
        self.published: dict[str, Histogram] = {}
        """By pipeline: from decision to the broker's word, of what was sent live."""
        self.refused: frozenset[str] = frozenset()
        """The topics of states that the broker does not take; they are sent again now and then."""
        self.refused_verdicts = RefusedVerdicts()
        self._connection = connection
        self._outbox = outbox
        self._outgoing = outgoing
        self._counters = counters
        self._on_shown = on_shown
        self._lanes = Lanes(outbox.pending)
        self._sending = Sending(self._send)
        self._last = LastVerdicts(every_s=LAST_EVERY_S)
        self._states: dict[str, Publish] = {}
        self._states_due: dict[str, Publish] = {}
        self._refusals: set[tuple[str, str]] = set()
        self._gap_id = 0

    # ------------------------------------------------------------------ connections

    def begin(self, status: Publish) -> None:
        """Begin a connection: tell all states, and what the outbox holds."""
        self._sending.begin()
        self._refusals.clear()
        self.refused_verdicts = RefusedVerdicts()
        self.refused = frozenset()
        self._gap_id = 0
        self._states_due = {status.topic: status} | self._states
        self.begin_lanes()

    def begin_lanes(self) -> None:
        """Take all that the outbox holds by now as backlog."""
        self._lanes.begin(last_seq=self._outbox.last_seq, depth=self._outbox.depth)

    def end(self) -> None:
        """Forget what was in flight: the connection is lost."""
        self._sending.begin()

    # ------------------------------------------------------------------ what is to go

    def live(self, rows: Sequence[Row]) -> None:
        """Take new verdicts."""
        self._lanes.live(rows)

    def show(self, publish: Publish) -> None:
        """Take the newest of a retained topic."""
        self._states[publish.topic] = publish
        self._states_due[publish.topic] = publish

    def show_refused(self) -> None:
        """Send once more what the broker refused: it may allow it by now."""
        self._states_due |= {topic: self._states[topic] for topic in self.refused}

    def show_last(self, mono_s: float) -> None:
        """Take the newest verdict of each pipeline, not too often."""
        for row in self._last.due(mono_s):
            # Of a pipeline that is gone verdicts may still come; its topics were cleared.
            if self.displayed is None or row.verdict.pipeline in self.displayed:
                self.show(self._outgoing.last(row))

    def gaps(self) -> None:
        """Take gap records that were not sent yet."""
        for gap_id, gap in self._outbox.pending_gaps(self._gap_id, GAPS_AT_ONCE):
            self._gap_id = gap_id
            self._sending.put([Letter(self._outgoing.gap(gap_id, gap), gap_id=gap_id)])

    def fill(self, *, disk: bool = True) -> bool:
        """Send what the window has room for; False when something waits for room.

        Without `disk` nothing is read from it: a backlog is left for another time.
        """
        most = min(WINDOW, self._connection.receive_maximum)
        while self._sending.push(most):
            letters = self._next(most, disk=disk)
            if not letters:
                break
            self._sending.put(letters)
        return self._sending.all_sent() and self._lanes.empty()

    @property
    def all_sent(self) -> bool:
        """Whether nothing waits, and nothing is unanswered, of what does not come from the disk."""
        return self._sending.empty() and not self._states_due

    @property
    def quiet(self) -> bool:
        """Whether the broker has all that is known here."""
        return self.all_sent and self._lanes.empty()

    def _next(self, most: int, *, disk: bool) -> list[Letter]:
        if self._states_due:
            return [Letter(self._states_due.pop(next(iter(self._states_due))))]
        if self.closing:
            return []
        allowed = self._sending.backlog_allowed(most)
        one = self._lanes.next(backlog_allowed=allowed) if disk else self._lanes.next_live()
        if one is None:
            return []
        if one.row.verdict.family == "qc":
            self._last.note(one.row)
        publishes = self._outgoing.verdict(one.row, replay=one.replay)
        live = None if one.replay else one.row.verdict
        return [Letter(publish, one.row.seq, 0, one.replay, live) for publish in publishes]

    def _send(self, publish: Publish, token: int) -> bool:
        return self._connection.publish(
            publish.topic,
            publish.payload,
            retain=publish.retain,
            token=token,
            content_type=publish.content_type,
            user_properties=publish.user_properties,
        )

    # ------------------------------------------------------------------ what has become of it

    def answered(self, answers: Sequence[tuple[int, str | None, int]]) -> None:
        """Take the broker's word on publishes: token, why not or None, and when (UTC ns)."""
        done: list[int] = []
        for token, reason, at_ns in answers:
            answered = self._sending.answered(token, reason)
            if answered is None:
                continue
            self._take_word(answered.letter.publish, answered.reason)
            if answered.letter.seq:
                topic, refused = answered.letter.publish.topic, answered.reason is not None
                self.refused_verdicts.answered(topic, refused=refused)
            match answered.done:
                case GapDone(gap_id):
                    self._outbox.gap_acked(gap_id)
                case RowDone(seq, None):
                    done.append(seq)
                    self._time(answered.letter, at_ns)
                case RowDone(seq, str(why)):
                    self._counters.add("parked")
                    self._outbox.parked(seq, why)
        if done:
            self._outbox.acked(done)

    def _take_word(self, publish: Publish, refusal: str | None) -> None:
        topic = publish.topic
        if refusal is not None:
            self._note_refusal(topic, refusal)
            if self._states.get(topic) is publish:
                self.refused |= {topic}
        elif publish.retain:
            self.refused -= {topic}
            for take in self._on_shown:
                take(topic, publish.payload)

    def _time(self, letter: Letter, at_ns: int) -> None:
        if letter.live is not None:
            histogram = self.published.setdefault(letter.live.pipeline, Histogram())
            histogram.observe_ns(max(0, at_ns - letter.live.decided_ns))

    def _note_refusal(self, topic: str, reason: str) -> None:
        if (topic, reason) not in self._refusals:
            self._refusals.add((topic, reason))
            log.warning("publisher: the broker refuses %s: %s", topic, reason)
