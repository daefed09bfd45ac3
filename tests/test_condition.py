"""A machine's condition and its alert follow its verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edge_agent.line.pipeline import Identity, error_verdict
from edge_agent.reporting import condition
from edge_agent.reporting.board import Board
from edge_agent.reporting.topics import topics
from tests.alerts import Told, about
from tests.test_config import good, parse

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.reporting.condition import Condition
    from edge_agent.types import Outcome

BLANK = error_verdict(Identity("motor", "pdm", 1), "")


def history(*outcomes: Outcome) -> list[Condition]:
    states: list[Condition] = []
    for second, outcome in enumerate(outcomes):
        verdict = replace(BLANK, outcome=outcome, decided_ns=second)
        states.append(condition.after(verdict, states[-1] if states else None))
    return states


def test_each_outcome_is_a_health() -> None:
    states = history("pass", "uncertain", "fail", "error")
    assert [state.health for state in states] == ["good", "uncertain", "bad", "unknown"]


def test_since_is_when_the_health_began() -> None:
    assert [state.since_ns for state in history("pass", "pass", "fail", "fail")] == [0, 0, 2, 2]


class Machine:
    """A board with one machine, what it shows of its health and tells of its alert."""

    def __init__(self, folder: Path) -> None:
        tree = good()
        tree["pipelines"] = {"motor": tree["pipelines"]["camera-1"] | {"family": "pdm"}}
        config = parse(tree)
        where = topics(config.device)
        self.healths: list[str] = []
        self.told = Told(folder, about("condition", "motor", machine=True))

        def show(topic: str, payload: bytes) -> None:
            if topic == where.health("motor"):
                self.healths.append(json.loads(payload)["health"])

        self._board = Board(config, where, show, 1, self.told.alerts)

    def is_judged(self, *outcomes: Outcome) -> None:
        for second, outcome in enumerate(outcomes):
            self._board.decided(replace(BLANK, outcome=outcome, decided_ns=second * 10**9))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_alert_is_raised_by_the_first_fail_and_cleared_by_the_next_pass(
    machine: Machine,
) -> None:
    machine.is_judged("pass", "fail", "fail", "uncertain", "error", "pass", "pass")
    raised, cleared = machine.told.heard()
    assert (raised["id"], raised["alert"], raised["raised_ts"][17:19]) == (
        cleared["id"],
        "raised",
        "01",
    )
    assert (cleared["alert"], cleared["cleared_ts"][17:19]) == ("cleared", "05")


def test_the_next_fail_after_a_clear_is_a_new_alert(machine: Machine) -> None:
    machine.is_judged("fail", "pass", "fail")
    first, _, second = machine.told.heard()
    assert first["id"] != second["id"]
    assert second["cleared_ts"] is None


def test_a_machine_that_was_never_bad_has_no_alert_to_clear(machine: Machine) -> None:
    machine.is_judged("pass", "uncertain", "pass", "error")
    assert machine.told.heard() == []


def test_an_alert_of_before_a_restart_is_cleared_by_the_first_pass_after_it(
    tmp_path: Path, machine: Machine
) -> None:
    machine.is_judged("fail")
    (raised,) = machine.told.heard()
    machine.told.alerts.close()
    again = Machine(tmp_path)
    again.is_judged("error", "pass")
    assert again.told.heard()[-1]["alert"] == "cleared"
    assert {each["id"] for each in again.told.heard()} == {raised["id"]}


def test_a_change_of_health_is_shown_at_once_and_a_score_alone_is_not(machine: Machine) -> None:
    machine.is_judged("pass", "pass", "fail", "fail", "uncertain", "pass")
    assert machine.healths == ["good", "bad", "uncertain", "good"]
