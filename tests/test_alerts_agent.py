"""A real agent: each alert that is raised is cleared once, whatever becomes of its reason."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tests.agents import ROOT, AgentProcess
from tests.control import Desk, every_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import WaitFor

PLC = "plc/line2/product"
ALERTS = f"{ROOT}/qc/one/alert"
# The first ten parts are the baseline of a chart whose points are single parts.
CHART = {"parts": 1, "baseline": 10}


def pipeline(**more: Any) -> dict[str, Any]:
    recipes = {"P-2": {"model": every_picture()["model"]}}
    product = {"topic": PLC, "codes": {"P-1": ""}}
    return every_picture(recipes=recipes, product=product, **more)


def picture(light: int) -> bytes:
    ok, found = cv2.imencode(".jpg", np.full((240, 240, 3), light, np.uint8))
    assert ok
    return found.tobytes()


class Listener:
    """What a consumer knows of the alerts by listening."""

    def __init__(self, desk: Desk, wait_for: WaitFor) -> None:
        self._desk, self._wait_for = desk, wait_for

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self._desk.client.payloads(ALERTS) if text]

    def say(self, code: bytes) -> None:
        self._desk.client.publish(PLC, code)

    def until_raised(self, kind: str, words: str = "") -> str:
        """Return the id of an alert once it is heard of."""

        def found() -> list[str]:
            raised = [each for each in self.heard() if each["alert"] == "raised"]
            return [a["id"] for a in raised if a["kind"] == kind and words in a["message"]]

        return self._wait_for(found)[-1]

    def until_cleared(self, *ids: str) -> None:
        """Return once these are cleared; whatever is cleared, is so once."""
        self._wait_for(lambda: set(ids) <= set(self._cleared()))
        assert set(self._cleared().values()) == {1}

    def _cleared(self) -> Counter[str]:
        return Counter(each["id"] for each in self.heard() if each["alert"] == "cleared")


@pytest.fixture
def listener(desk: Desk, wait_for: WaitFor) -> Listener:
    return Listener(desk, wait_for)


def test_each_of_several_wrong_codes_in_a_row_is_cleared(
    start: Callable[..., AgentProcess], desk: Desk, listener: Listener
) -> None:
    start({"one": pipeline()})
    desk.until_running("one")
    ids = []
    for code in (b"P-7", b"P-8", b"P-9"):
        listener.say(code)
        ids.append(listener.until_raised("product", code.decode()))
    assert len(set(ids)) == 3
    listener.say(b"P-2")
    listener.until_cleared(*ids)


def test_an_alert_is_cleared_while_a_chart_has_one_that_stands(
    start: Callable[..., AgentProcess], desk: Desk, listener: Listener, wait_for: WaitFor
) -> None:
    start({"one": pipeline(line={"score_chart": CHART}, camera={"on": False})})
    desk.until_running("one")
    for light in [127] * CHART["baseline"] + [30]:
        desk.client.publish("pictures/one", picture(light))
    chart = listener.until_raised("chart")
    listener.say(b"P-9")
    product = listener.until_raised("product")
    listener.say(b"P-2")
    listener.until_cleared(product)
    # What is retained says that something is wrong.
    wait_for(lambda: listener.heard()[-1]["id"] == chart)
    # The chart leaves the config, and its alert with it.
    assert desk.change(patch={"pipelines": {"one": {"line": None}}})["status"] == "applied"
    listener.until_cleared(product, chart)


def test_an_alert_of_a_pipeline_that_leaves_the_config_is_cleared_before_its_topic_is_emptied(
    start: Callable[..., AgentProcess], desk: Desk, listener: Listener, wait_for: WaitFor
) -> None:
    start({"one": pipeline(), "two": every_picture()})
    desk.until_running("one", "two")
    listener.say(b"P-9")
    raised = listener.until_raised("product")
    assert desk.change(patch={"pipelines": {"one": None}})["status"] == "applied"
    wait_for(lambda: desk.client.payloads(ALERTS)[-1] == b"")
    listener.until_cleared(raised)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_an_alert_keeps_its_id_through_a_restart_and_ends_with_its_rule(
    start: Callable[..., AgentProcess],
    desk: Desk,
    listener: Listener,
    wait_for: WaitFor,
    end: signal.Signals,
) -> None:
    agent = start({"one": pipeline()})
    desk.until_running("one")
    listener.say(b"P-9")
    raised = listener.until_raised("product")
    kept = agent.folder / "state/alerts.json"
    wait_for(lambda: kept.exists() and raised.encode() in kept.read_bytes())
    agent.stop(end)
    desk.client.messages.clear()
    agent.start()
    assert listener.until_raised("product") == raised, "it is told again, and still stands"
    agent.stop(end)
    tree = json.loads(agent.config.read_text())
    del tree["pipelines"]["one"]["product"]
    agent.config.write_text(json.dumps(tree))
    agent.start()
    listener.until_cleared(raised)
