"""A real agent: each trigger is answered exactly once, whatever changes or ends meanwhile.

What is under way when that happens is a queue of large pictures, seconds of work.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tests.agents import ROOT, AgentProcess
from tests.test_agent import VERDICTS, camera, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Recorder, WaitFor
    from tests.control import Desk

PARTS = [f"part-{number}" for number in range(30)]
LATER = "later"
REFUSED = "trigger: no part id at /id"
STOPPING = "the agent is stopping"


def trigger(deadline_ms: float) -> dict[str, Any]:
    times = {"deadline_ms": deadline_ms, "lookback_ms": 10_000.0}
    return {"topic": "plc/part", "part_id": "/id"} | times


def ask(client: Recorder, part: str, topic: str = "plc/part") -> None:
    client.publish(topic, f'{{"id": "{part}"}}')


def ask_for_all(client: Recorder, wait_for: WaitFor) -> None:
    """Send a trigger for each part; return once the agent has them."""
    for part in PARTS:
        ask(client, part)
    client.publish("plc/part", "{}")  # refused at once: those before it are in
    wait_for(lambda: [v for v in verdicts(client) if v["reason"] == REFUSED])


def show_all(client: Recorder, wait_for: WaitFor) -> None:
    """Send a picture for each part, 0.2 s of work or more; return once its worker has them."""
    ok, encoded = cv2.imencode(".png", np.full((4000, 4000, 3), 127, np.uint8))
    assert ok
    for _ in PARTS:
        client.publish("pictures/camera", encoded.tobytes())
    client.publish("pictures/camera", b"")  # dropped on arrival: those before it are in
    wait_for(lambda: verdicts(client, f"{ROOT}/qc/camera/stats")[-1]["dropped"])


@pytest.fixture
def busy(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, desk: Desk, wait_for: WaitFor
) -> AgentProcess:
    """Return an agent with a trigger and a picture for each part, and seconds of work to do."""
    agent = start({"camera": camera(trigger=trigger(60_000.0))}, stop_timeout_s=60.0)
    desk.until_running("camera")
    ask_for_all(mqtt_client, wait_for)
    show_all(mqtt_client, wait_for)
    return agent


def answers(client: Recorder, topic: str = VERDICTS) -> Counter[str]:
    return Counter(v["part_id"] for v in verdicts(client, topic) if v["part_id"])


def test_what_was_accepted_before_a_pipeline_had_a_trigger_is_published(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, desk: Desk, wait_for: WaitFor
) -> None:
    start({"camera": camera()}, stop_timeout_s=60.0)
    desk.until_running("camera")
    show_all(mqtt_client, wait_for)
    answer = desk.change(patch={"pipelines": {"camera": {"trigger": trigger(60_000.0)}}})
    assert answer["status"] == "applied"
    wait_for(lambda: len(verdicts(mqtt_client)) == len(PARTS))
    assert "error" not in {verdict["verdict"] for verdict in verdicts(mqtt_client)}


@pytest.mark.parametrize("left", [{"trigger": None}, None], ids=["untriggered", "removed"])
def test_triggers_of_a_pipeline_that_has_none_any_more_are_answered_once(
    start: Callable[..., AgentProcess],
    mqtt_client: Recorder,
    desk: Desk,
    wait_for: WaitFor,
    left: dict[str, Any] | None,
) -> None:
    blind = camera(
        source={"kind": "folder", "path": "not-there"},
        trigger=trigger(10_000.0) | {"topic": "plc/blind"},
    )
    one = camera(trigger=trigger(10_000.0))
    start({"camera": one, "blind": blind}, stop_timeout_s=60.0)
    desk.until_running("camera")
    ask_for_all(mqtt_client, wait_for)
    ask(mqtt_client, LATER, "plc/blind")
    show_all(mqtt_client, wait_for)
    assert desk.change(patch={"pipelines": {"camera": left}})["status"] == "applied"
    wait_for(lambda: answers(mqtt_client) >= Counter(PARTS))
    # Deadlines are kept in their order: when this one was, those of all others were.
    wait_for(lambda: answers(mqtt_client, f"{ROOT}/qc/blind/verdict")[LATER])
    assert answers(mqtt_client) == Counter(PARTS)


def test_what_is_under_way_at_a_stop_answers_its_triggers(
    busy: AgentProcess, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    assert busy.stop() == 0
    wait_for(lambda: answers(mqtt_client) >= Counter(PARTS))
    assert answers(mqtt_client) == Counter(PARTS)
    assert {v["reason"] for v in verdicts(mqtt_client) if v["verdict"] == "error"} == {REFUSED}


def test_a_trigger_that_comes_during_a_stop_is_answered_at_once(
    busy: AgentProcess, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    asked = list(PARTS)

    def one_more_is_refused() -> bool:
        asked.append(f"late-{len(asked)}")
        ask(mqtt_client, asked[-1])
        return STOPPING in {v["reason"] for v in verdicts(mqtt_client)}

    os.kill(busy.pid, signal.SIGTERM)
    wait_for(one_more_is_refused)
    ask(mqtt_client, LATER)
    wait_for(lambda: answers(mqtt_client)[LATER])
    assert busy.wait() == 0
    wait_for(lambda: answers(mqtt_client) >= Counter([*asked, LATER]))
    assert answers(mqtt_client) == Counter([*asked, LATER])
    errors = {v["part_id"]: v["reason"] for v in verdicts(mqtt_client) if v["verdict"] == "error"}
    assert errors.pop(None) == REFUSED
    assert set(errors.values()) == {STOPPING}
    assert not errors.keys() & set(PARTS)
