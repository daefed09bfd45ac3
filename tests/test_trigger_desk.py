"""Every trigger is answered exactly once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import BadInput
from edge_agent.line.options import TriggerOptions
from edge_agent.line.pipeline import Identity, error_verdict
from edge_agent.line.trigger_desk import STOPPING, TriggerDesk
from tests.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.processes.wire import Trigger
    from edge_agent.types import Verdict
    from tests.conftest import WaitFor

CAMERA = Identity("camera", "qc", 1)
SLOW = TriggerOptions(topic="t", deadline_ms=600_000)
FAST = TriggerOptions(topic="t", deadline_ms=20)


class Line:
    """A desk with both its ends."""

    def __init__(self) -> None:
        self.asked: list[Trigger] = []
        self.answers: list[Verdict] = []
        self.desk = TriggerDesk(self._ask, self.answers.append, lambda _: "waiting: unplugged")

    def _ask(self, trigger: Trigger) -> bool:
        self.asked.append(trigger)
        return True

    def each_asked(self, closed: threading.Event) -> Iterator[Trigger]:
        """Yield every second one, until the desk is closed and there are no more."""
        seen = 0
        while not closed.is_set() or seen < len(self.asked):
            if seen < len(self.asked):
                yield self.asked[seen]
                seen += 2


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.desk.close()


def result(trigger: Trigger) -> Verdict:
    verdict = error_verdict(CAMERA, "", verdict_id=trigger.id, part_id=trigger.part_id)
    return replace(verdict, outcome="pass")


def test_a_result_in_time_settles_its_trigger_once(line: Line) -> None:
    line.desk.trigger(CAMERA, SLOW, b"part-7")
    verdict = result(line.asked[0])
    assert verdict.part_id == "part-7"
    assert line.desk.settle(verdict)
    assert not line.desk.settle(verdict)
    assert line.answers == []


def test_a_trigger_without_an_item_is_answered_at_its_deadline_with_the_reason(
    line: Line, wait_for: WaitFor
) -> None:
    line.desk.trigger(CAMERA, FAST, b"part-7")
    wait_for(lambda: line.answers)
    answer = line.answers[0]
    assert answer.outcome == "error"
    assert answer.part_id == "part-7"
    assert answer.id == line.asked[0].id
    assert answer.reason == "no item came within 20 ms (waiting: unplugged)"
    assert answer.latency_ns >= 20e6


def test_a_result_after_the_deadline_is_not_a_second_answer(line: Line, wait_for: WaitFor) -> None:
    line.desk.trigger(CAMERA, FAST, b"A")
    line.desk.taken(line.asked[0].id)
    wait_for(lambda: line.answers)
    assert line.answers[0].reason.startswith("the model gave no result within 20 ms")
    assert not line.desk.settle(result(line.asked[0]))


def test_a_later_trigger_with_an_earlier_deadline_is_answered_first(
    line: Line, wait_for: WaitFor
) -> None:
    line.desk.trigger(CAMERA, SLOW, b"slow")
    line.desk.trigger(CAMERA, FAST, b"fast")
    wait_for(lambda: line.answers)
    assert [answer.part_id for answer in line.answers] == ["fast"]
    assert line.desk.settle(result(line.asked[0]))


def test_what_is_open_when_the_agent_stops_is_answered() -> None:
    line = Line()
    line.desk.trigger(CAMERA, SLOW, b"A")
    line.desk.close()
    assert [answer.reason for answer in line.answers] == ["the agent is stopping"]


def test_what_is_open_when_a_stop_begins_may_be_settled_until_the_end(line: Line) -> None:
    line.desk.trigger(CAMERA, SLOW, b"A")
    line.desk.refuse_more()
    assert line.desk.settle(result(line.asked[0]))
    line.desk.close()
    assert line.answers == []


def test_a_stop_keeps_the_deadline_of_what_is_open(line: Line, wait_for: WaitFor) -> None:
    line.desk.trigger(CAMERA, FAST, b"A")
    line.desk.refuse_more()
    wait_for(lambda: line.answers)
    assert line.answers[0].reason.startswith("no item came within 20 ms")
    assert not line.desk.settle(result(line.asked[0]))


@pytest.mark.parametrize("stop", [TriggerDesk.refuse_more, TriggerDesk.close])
def test_a_trigger_during_a_stop_is_answered_at_once(
    line: Line, stop: Callable[[TriggerDesk], None]
) -> None:
    stop(line.desk)
    line.desk.trigger(CAMERA, SLOW, b"A")
    (answer,) = line.answers
    assert (answer.part_id, answer.outcome, answer.reason) == ("A", "error", STOPPING)
    assert line.asked == []  # of no worker: it has been told to stop


def test_triggers_that_come_while_results_do_and_the_desk_closes_are_each_answered_once() -> None:
    line = Line()
    closed = threading.Event()

    def ask(plc: int) -> list[bytes]:
        sent: list[bytes] = []
        last = False
        while not last:
            last = closed.is_set()  # one more after that
            sent.append(f"{plc}-{len(sent)}".encode())
            line.desk.trigger(CAMERA, SLOW, sent[-1])
        return sent

    def settle() -> list[str | None]:
        results = (result(trigger) for trigger in line.each_asked(closed))
        return [verdict.part_id for verdict in results if line.desk.settle(verdict)]

    with ThreadPoolExecutor() as pool:
        plcs = [pool.submit(ask, plc) for plc in range(3)]
        worker = pool.submit(settle)
        wait_until(lambda: len(line.asked) > 100)
        line.desk.close()
        closed.set()
        sent = Counter(part.decode() for plc in plcs for part in plc.result())
    answered = Counter(worker.result()) + Counter(answer.part_id for answer in line.answers)
    assert answered == sent


def test_the_part_id_is_found_by_its_pointer(line: Line) -> None:
    options = TriggerOptions(topic="t", part_id="/part/serial", deadline_ms=600_000)
    line.desk.trigger(CAMERA, options, b'{"part": {"serial": 4711}}')
    assert line.asked[0].part_id == "4711"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"{", "payload"),
        (b"{}", "no part id at /id"),
        (b'{"id": true}', "neither text nor a whole number"),
        (b'{"id": 1.5}', "neither text nor a whole number"),
        (b'{"id": "' + b"x" * 300 + b'"}', "longer than 256"),
        (b'{"id": ' * 100_000, "too_large"),
        (b"[" * 60_000, "payload"),
    ],
)
def test_a_trigger_without_a_usable_part_id_is_refused(
    line: Line, payload: bytes, message: str
) -> None:
    options = TriggerOptions(topic="t", part_id="/id", deadline_ms=1000)
    with pytest.raises(BadInput, match=message):
        line.desk.trigger(CAMERA, options, payload)
    assert line.asked == []
