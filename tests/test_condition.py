"""A machine's condition and its alert follow its verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_agent.line.pipeline import Identity, error_verdict
from edge_agent.reporting import condition
from edge_agent.reporting.board import Board
from edge_agent.reporting.topics import topics
from tests.test_config import good, parse

if TYPE_CHECKING:
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


def test_an_alert_is_raised_by_the_first_fail_and_cleared_by_the_next_pass() -> None:
    states = history("pass", "fail", "fail", "uncertain", "error", "pass", "pass")
    assert states[0].alert is None
    alerts = [state.alert for state in states[1:]]
    assert len({alert.id for alert in alerts if alert}) == 1
    assert [alert and alert.cleared_ns for alert in alerts] == [None, None, None, None, 5, 5]
    assert all(alert is not None and alert.raised_ns == 1 for alert in alerts)


def test_the_next_fail_after_a_clear_is_a_new_alert() -> None:
    first, _, second = (state.alert for state in history("fail", "pass", "fail"))
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert second.cleared_ns is None


def test_a_machine_that_was_never_bad_has_no_alert_to_clear() -> None:
    assert all(state.alert is None for state in history("pass", "uncertain", "pass", "error"))


def test_a_change_of_health_is_shown_at_once_and_a_score_alone_is_not() -> None:
    tree = good()
    tree["pipelines"] = {"motor": tree["pipelines"]["camera-1"] | {"family": "pdm"}}
    config, shown = parse(tree), []
    where = topics(config.device)

    def show(topic: str, payload: bytes) -> None:
        if topic == where.health("motor"):
            shown.append(json.loads(payload)["health"])

    board = Board(config, where, show, 1)
    for outcome in ("pass", "pass", "fail", "fail", "uncertain", "pass"):
        board.decided(replace(BLANK, outcome=outcome))
    assert shown == ["good", "bad", "uncertain", "good"]
