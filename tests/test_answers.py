"""A request that comes again, and an id that comes again with another one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_agent.control.answers import HELD_S, MOST, Answers, fingerprint
from edge_agent.control.ledger import FILE, Ledger
from edge_agent.control.requests import Refused
from tests.control import Desk, camera
from tests.test_config import good, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.agents import AgentProcess

USED = "this id was used for another request: give each request an id of its own"


def test_a_command_that_comes_again_is_answered_as_before_and_not_obeyed_again(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    request = {"v": 1, "id": "same", "pipeline": "one"}
    first = desk.ask("cmd/snapshot", request)
    assert first["repeated"] is False
    assert desk.ask("cmd/snapshot", request) == first | {"repeated": True}


def test_an_id_that_was_used_for_another_request_is_refused_and_does_nothing(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    start({"one": camera(), "two": camera()})
    desk.until_running("one", "two")
    request = {"v": 1, "id": "same", "pipeline": "one"}
    first = desk.ask("cmd/restart", request)
    change = {"v": 1, "id": "same", "base_rev": 1, "patch": {"stats_every_s": 1.0}}
    for topic, other in (
        ("cmd/snapshot", request),
        ("cmd/restart", request | {"pipeline": "two"}),
        ("config/set", change),
    ):
        answer = desk.ask(topic, other)
        assert (answer["id"], answer["status"], answer["code"]) == ("same", "refused", 409)
        assert answer["errors"] == [{"path": "/id", "type": "used", "msg": USED}]
    assert desk.reported()["rev"] == 1
    assert desk.ask("cmd/restart", request) == first | {"repeated": True}


def test_an_id_whose_request_is_under_way_is_not_taken_for_another(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    patch = {"pipelines": {"one": {"source": {"fps": 10.0}}}}
    request = {"v": 1, "id": "same", "base_rev": 1, "patch": patch}
    asked = desk.send("config/set", request)
    desk.until_reported(status="trial")
    other = desk.ask("cmd/logs", {"v": 1, "id": "same"})
    assert (other["status"], other["code"]) == ("refused", 409)
    assert not desk.answers(asked)
    desk.until_reported(rev=2, status="applied")


# ---------------------------------------------------------------------- the parts


class Clocks:
    """UTC and a clock that only runs; a test sets both."""

    def __init__(self) -> None:
        self.utc_s, self.mono_s = 1_000_000.0, 50.0

    def answers(self, folder: Path, signed_within_s: float = 60.0) -> Answers:
        """Return the answers as an agent that starts now has them."""
        ledger = Ledger(folder, parse(good()))
        return Answers(ledger, signed_within_s, lambda: self.utc_s, lambda: self.mono_s)

    def pass_s(self, seconds: float) -> None:
        self.utc_s += seconds
        self.mono_s += seconds


def answered(answers: Answers, request_id: str = "a", request: str = "f") -> bytes | None:
    return answers.of(request_id, request)


def noted(answers: Answers, request_id: str = "a", request: str = "f") -> None:
    assert answers.begin(request_id, request)
    answers.note(request_id, request, b'{"id":"a","code":200}')


REPEATED = {"id": "a", "code": 200, "repeated": True}


def test_an_answer_is_given_again_for_some_minutes_also_after_a_restart(tmp_path: Path) -> None:
    clocks = Clocks()
    answers = clocks.answers(tmp_path)
    noted(answers)
    clocks.pass_s(HELD_S - 1)
    for each in (answers, clocks.answers(tmp_path)):
        assert msgspec.json.decode(answered(each) or b"") == REPEATED
    clocks.pass_s(2)
    for each in (answers, clocks.answers(tmp_path)):
        assert answered(each) is None
        assert answered(each, request="other") is None, "and the id is free again"


def test_a_clock_that_jumps_makes_no_answer_older_or_eternal(tmp_path: Path) -> None:
    clocks = Clocks()
    answers = clocks.answers(tmp_path)
    noted(answers)
    clocks.utc_s += 86_400  # set by NTP while the agent runs
    assert answered(answers)
    clocks.utc_s -= 20 * 86_400  # a gateway without a battery, after a power cut
    again = clocks.answers(tmp_path)
    assert answered(again)
    clocks.pass_s(HELD_S + 1)
    assert answered(again) is None


def test_a_signed_request_is_known_for_as_long_as_its_signature_may_hold(tmp_path: Path) -> None:
    """From `signed_within_s` ahead of the gateway's clock to as much behind it."""
    clocks = Clocks()
    answers = clocks.answers(tmp_path, signed_within_s=3600.0)
    noted(answers)
    clocks.pass_s(2 * 3600.0 - 1)
    assert answered(answers)
    assert answered(clocks.answers(tmp_path, signed_within_s=3600.0))


def test_a_request_under_way_is_begun_once(tmp_path: Path) -> None:
    answers = Clocks().answers(tmp_path)
    assert answers.begin("a", "f")
    assert not answers.begin("a", "f")
    with pytest.raises(Refused, match=USED):
        answers.of("a", "other")
    answers.note("a", "f", b"{}")
    answers.note("a", "f", b'{"status":"applied"}')  # the second answer, once it is confirmed
    assert answered(answers) == b'{"status":"applied","repeated":true}'


def test_requests_without_an_id_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    answers = Clocks().answers(tmp_path)
    noted(answers, request_id="")
    assert answered(answers, request_id="") is None
    assert answered(answers, request_id="", request="other") is None


def test_the_file_keeps_the_latest_answers_and_those_alone(tmp_path: Path) -> None:
    clocks = Clocks()
    answers = clocks.answers(tmp_path)
    noted(answers, "old")
    clocks.pass_s(HELD_S + 1)
    for number in range(MOST + 1):
        noted(answers, f"n{number}")
    kept = json.loads((tmp_path / FILE).read_text())["answered"]
    assert list(kept) == [f"n{number}" for number in range(1, MOST + 1)]


def test_the_file_of_an_earlier_version_is_read_and_its_answers_are_let_go(tmp_path: Path) -> None:
    """They say neither what was asked nor when."""
    ledger = Ledger(tmp_path, parse(good()))
    ledger.note_recipes({})
    kept: dict[str, Any] = json.loads((tmp_path / FILE).read_text())
    del kept["answered"]
    (tmp_path / FILE).write_text(json.dumps(kept | {"highest_rev": 7, "answers": {"a": "e30="}}))
    assert Ledger(tmp_path, parse(good())).document.highest_rev == 7
    assert answered(Clocks().answers(tmp_path)) is None


def test_the_same_words_on_another_topic_are_another_request() -> None:
    assert fingerprint("U/cmd/restart", b"{}") == fingerprint("U/cmd/restart", b"{}")
    assert fingerprint("U/cmd/restart", b"{}") != fingerprint("U/cmd/snapshot", b"{}")
    assert fingerprint("U/cmd/restart", b"{}") != fingerprint("U/cmd/restart", b"{ }")
