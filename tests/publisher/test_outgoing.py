"""What is under way on one connection, and what its answers mean."""

from __future__ import annotations

from edge_agent.delivery.outbox_types import Row
from edge_agent.delivery.outgoing import Publish
from edge_agent.delivery.sending import Answered, GapDone, Letter, RowDone, Sending
from edge_agent.reporting.last_verdicts import LastVerdicts
from tests.publisher.conftest import rows
from tests.verdicts import AT_NS, verdict


class Network:
    """Takes messages while there is `room`."""

    def __init__(self) -> None:
        self.room = 1000
        self.tokens: list[int] = []

    def send(self, _publish: Publish, token: int) -> bool:
        if len(self.tokens) >= self.room:
            return False
        self.tokens.append(token)
        return True


PUBLISH = Publish("t", b"", retain=False)


def done(answer: Answered | None) -> RowDone | GapDone | None:
    assert answer is not None
    return answer.done


def test_a_row_is_done_when_all_its_messages_are_answered() -> None:
    network = Network()
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=5), Letter(PUBLISH, seq=5), Letter(PUBLISH, gap_id=3)])
    assert sending.push(100)
    first, second, gap = network.tokens
    assert done(sending.answered(second, None)) is None
    assert done(sending.answered(gap, None)) == GapDone(3)
    assert done(sending.answered(first, None)) == RowDone(5, None)
    assert sending.empty()


def test_one_refused_message_refuses_the_row() -> None:
    network = Network()
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=5), Letter(PUBLISH, seq=5)])
    sending.push(100)
    first, second = network.tokens
    assert done(sending.answered(first, "not authorized")) is None
    assert done(sending.answered(second, None)) == RowDone(5, "not authorized")


def test_what_the_network_does_not_take_is_kept_and_sent_once() -> None:
    network = Network()
    network.room = 1
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=1), Letter(PUBLISH, seq=1)])
    assert not sending.push(100)
    network.room = 10
    assert sending.push(100)
    assert len(network.tokens) == 2


def test_the_window_is_never_exceeded_and_a_backlog_leaves_room_in_it() -> None:
    network = Network()
    sending = Sending(network.send)
    sent = 0
    while sending.push(20) and sending.backlog_allowed(20):
        sent += 1
        sending.put([Letter(PUBLISH, seq=sent, replay=True)])
    assert len(network.tokens) == 16
    sending.put(Letter(PUBLISH, seq=100 + n) for n in range(10))
    assert not sending.push(20)
    assert len(network.tokens) == 20
    sending.answered(network.tokens[0], None)
    assert sending.backlog_allowed(20)


def test_an_answer_for_an_earlier_connection_means_nothing() -> None:
    network = Network()
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=1)])
    sending.push(100)
    sending.begin()
    assert sending.answered(network.tokens[0], None) is None
    assert sending.empty()


def test_a_display_gets_the_newest_row_of_each_pipeline_and_not_too_often() -> None:
    last = LastVerdicts(every_s=0.2)
    for row in rows(1, 2, 3):
        last.note(row)
    assert [row.seq for row in last.due(10.0)] == [3]
    last.note(rows(2)[0])
    assert last.due(11.0) == []
    last.note(rows(4)[0])
    last.note(Row(5, AT_NS, verdict(5, pipeline="other")))
    assert [row.seq for row in last.due(11.0)] == [4, 5]
    last.note(rows(6)[0])
    assert last.due(11.1) == []
    assert [row.seq for row in last.due(11.3)] == [6]
