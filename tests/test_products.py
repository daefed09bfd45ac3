"""A product code straight from a PLC's topic: the recipe follows, or an alert says why not."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.control.products import Products
from edge_agent.control.recipes import Choice, Recipes
from edge_agent.mqtt.broker_options import Message
from tests.agents import ROOT, AgentProcess
from tests.alerts import Told, about
from tests.control import Belt, Desk, every_picture, inspected
from tests.test_config import good, parse, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Mosquitto, WaitFor

PLC = "plc/line2/product"
OWN, STRICT = 0.7, 0.011  # limits that show in every verdict which variant it is by
ALERTS = f"{ROOT}/qc/one/alert"


@pytest.fixture
def start_with(start: Callable[..., AgentProcess]) -> Callable[..., AgentProcess]:
    def begin(*recipes: str, **product: Any) -> AgentProcess:
        one = every_picture(recipes={name: variant() for name in recipes})
        one["product"] = {"topic": PLC, "codes": {"P-1": ""}} | product
        return start({"one": one})

    return begin


def variant() -> dict[str, Any]:
    rule = {"kind": "threshold", "fail_at": STRICT}
    return {"model": every_picture()["model"], "rule": rule}


def limits(desk: Desk) -> list[float]:
    return [v["threshold"] for v in desk.verdicts("one") if v["verdict"] != "error"]


def alerts(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in desk.client.payloads(ALERTS) if payload]


def test_a_product_code_changes_the_recipe_and_misses_no_picture(
    start_with: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    start_with("P-2")
    desk.until_running("one")
    codes = ((b"P-2", STRICT), (b"P-1", OWN)) * 3
    with Belt(mosquitto) as belt:
        wait_for(lambda: limits(desk))
        for code, limit in codes:
            desk.client.publish(PLC, code)
            wait_for(lambda limit=limit: limits(desk)[-1] == limit)  # type: ignore[misc]
    wait_for(lambda: inspected(desk) == belt.sent)
    changes = [limit for limit, _ in groupby(limits(desk))]
    assert changes == [OWN, *(limit for _, limit in codes)], "none goes back by itself"


def test_what_is_retained_on_the_topic_holds_from_the_start_on(
    start_with: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    desk.client.publish(PLC, b'{"order": 7, "product": "P-2"}', retain=True)
    agent = start_with("P-2", code="/product")
    desk.until_running("one")
    wait_for(lambda: desk.stats("one")["recipe"] == "P-2")
    with Belt(mosquitto):
        wait_for(lambda: limits(desk))
    assert set(limits(desk)) == {STRICT}
    # It is kept on the disk, too, for a PLC that does not retain.
    kept = agent.folder / "state/config/control.json"
    wait_for(lambda: kept.exists() and b'"P-2"' in kept.read_bytes().partition(b"choices")[2])
    desk.client.publish(PLC, b"", retain=True)
    assert agent.stop() == 0
    desk.client.messages.clear()
    agent.start()
    desk.until_running("one")
    wait_for(lambda: desk.stats("one")["recipe"] == "P-2")


def test_an_unknown_code_raises_an_alert_and_changes_nothing_until_its_recipe_is_there(
    start_with: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    start_with("P-2")
    desk.until_running("one")
    with Belt(mosquitto):
        desk.client.publish(PLC, b"P-2")
        wait_for(lambda: STRICT in limits(desk))
        desk.client.publish(PLC, b"P-9")
        wait_for(lambda: alerts(desk) and alerts(desk)[-1]["kind"] == "product")
        raised = alerts(desk)[-1]
        assert raised["alert"] == "raised"
        assert "no such product code: 'P-9'; there are: P-1, P-2" in raised["message"]
        seen = len(limits(desk))
        wait_for(lambda: len(limits(desk)) > seen + 3)
        assert set(limits(desk)[seen:]) == {STRICT}
        patch = {"pipelines": {"one": {"recipes": {"P-9": variant()}}}}
        assert desk.change(patch=patch)["status"] == "applied"
        wait_for(lambda: alerts(desk)[-1]["alert"] == "cleared")
        assert alerts(desk)[-1]["id"] == raised["id"]
        wait_for(lambda: desk.stats("one")["recipe"] == "P-9")


def with_product(recipes: dict[str, Any], **product: Any) -> dict[str, Any]:
    tree = good()
    tree["pipelines"]["camera-1"] |= {"product": {"topic": PLC} | product, "recipes": recipes}
    return tree


class Line:
    """A pipeline with two recipes, its product topic, and what became of what was said there."""

    def __init__(self, folder: Path, **product: Any) -> None:
        recipes = {name: {"model": "m"} for name in ("P-2", "P-3")}
        self.config = parse(with_product(recipes=recipes, **product))
        self.told = Told(folder, about("product", "camera-1"))
        self.recipes = Recipes({}, lambda: None)
        self.products = Products(self.recipes, self.told.alerts)

    def go_over(self, **product: Any) -> None:
        """Take another config into force."""
        recipes = {name: {"model": "m"} for name in ("P-2", "P-3")}
        self.config = parse(with_product(recipes, **product))
        self.products.configure(self.config)

    def say(self, payload: bytes, *, retain: bool = False) -> None:
        for subscription in self.products.subscriptions(self.config):
            subscription.handler(Message(PLC, payload, retain))

    @property
    def recipe(self) -> str:
        (pipeline,) = self.recipes.of(self.config).pipelines.values()
        return pipeline.recipe


@pytest.mark.parametrize(
    ("pointer", "payload", "recipe"),
    [
        ("", b"P-2", "P-2"),
        ("", b"P-2\0\0\0\0", "P-2"),  # a PLC's string of fixed length
        ("", b"  P-2\r\n", "P-2"),
        ("", b"4711.02/A", "P-3"),
        ("/order/product", b'{"order": {"product": "P-2"}}', "P-2"),
        ("/product", b'{"product": 4711}', "P-3"),
    ],
)
def test_a_code_is_text_or_a_number_in_json(
    tmp_path: Path, pointer: str, payload: bytes, recipe: str
) -> None:
    line = Line(tmp_path, code=pointer, codes={"4711": "P-3", "4711.02/A": "P-3"})
    line.say(payload)
    assert line.recipe == recipe
    assert not line.told.heard()


@pytest.mark.parametrize(
    ("pointer", "payload", "said"),
    [
        ("", b"P-9", "no such product code: 'P-9'; there are: P-2, P-3"),
        ("", b"\xff\xfe", "is no text"),
        ("", b"x" * 100_000, "100000 bytes"),
        ("/product", b"P-2", "what is said on plc/line2/product is not JSON"),
        ("/product", b'{"order": 1}', "no product code at /product"),
        ("/product", b'{"product": true}', "neither text nor a whole number"),
        ("/product", b"[" * 60_000, "what is said on plc/line2/product is not JSON"),
    ],
)
def test_what_is_no_known_code_is_told_once_and_changes_nothing(
    tmp_path: Path, pointer: str, payload: bytes, said: str
) -> None:
    line = Line(tmp_path, code=pointer)
    line.say(b'{"product": "P-2"}' if pointer else b"P-2")
    for _ in range(3):
        line.say(payload)
    assert line.recipe == "P-2"
    (alert,) = line.told.heard()
    assert said in alert["message"]
    line.say(b'{"product": "P-3"}' if pointer else b"P-3")
    assert line.told.changes() == [("product", "raised"), ("product", "cleared")]
    assert line.recipe == "P-3"


def test_a_code_that_the_config_gives_another_recipe_is_followed_anew(tmp_path: Path) -> None:
    line = Line(tmp_path, codes={"4711": "P-2"})
    line.say(b"4711", retain=True)
    assert line.recipe == "P-2"
    line.go_over(codes={"4711": "P-3"})
    assert line.recipe == "P-3"


def test_a_config_that_gives_the_code_the_same_recipe_leaves_a_persons_choice(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path, codes={"4711": "P-2"})
    line.say(b"4711")
    line.recipes.choose("camera-1", Choice("P-3", ""))
    line.go_over(codes={"4711": "P-2", "4712": "P-3"})
    assert line.recipe == "P-3"


@pytest.mark.parametrize(
    ("code", "told"), [(b"P-2", []), (b"P-9", [("product", "raised"), ("product", "cleared")])]
)
def test_what_was_said_on_another_topic_says_nothing_on_this_one(
    tmp_path: Path, code: bytes, told: list[tuple[str, str]]
) -> None:
    line = Line(tmp_path)
    line.say(code)
    line.recipes.choose("camera-1", Choice("", ""))
    line.go_over(topic="plc/line3/product", code="/product")
    assert line.recipe == ""
    assert line.told.changes() == told


def test_what_was_said_holds_for_a_pipeline_that_listens_there_from_now_on(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.say(b"P-2", retain=True)
    tree = with_product({name: {"model": "m"} for name in ("P-2", "P-3")})
    old = tree["pipelines"]["camera-1"]
    for names in (("camera-1", "camera-2"), ("camera-2",), ("camera-3",), ("camera-3", "camera-1")):
        # A broker says what it retains to whoever subscribes, and this agent has, long since.
        config = parse(tree | {"pipelines": dict.fromkeys(names, old)})
        line.products.configure(config)
        found = line.recipes.of(config).pipelines
        assert {name: options.recipe for name, options in found.items()} == dict.fromkeys(
            names, "P-2"
        )


def test_another_wrong_code_ends_the_alert_of_the_one_before(tmp_path: Path) -> None:
    line = Line(tmp_path)
    for code in (b"P-8", b"P-9"):
        line.say(code)
        line.told.heard()
    first, cleared, second = line.told.heard()
    assert (cleared["id"], cleared["alert"]) == (first["id"], "cleared")
    assert (second["id"] != first["id"], second["alert"]) == (True, "raised")
    line.told.alerts.close()
    # After a restart the same is said again, and the alert is the same.
    line = Line(tmp_path)
    line.say(b"P-9", retain=True)
    assert [each["id"] for each in line.told.heard()] == [second["id"]]


def test_what_was_retained_comes_again_after_a_reconnect_and_overrules_nobody(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path)
    line.say(b"P-2", retain=True)
    line.recipes.choose("camera-1", Choice("P-3", ""))  # a person's command
    line.say(b"P-2", retain=True)
    assert line.recipe == "P-3"
    line.say(b"P-2")
    assert line.recipe == "P-2"


def test_a_choice_ends_when_the_config_itself_says_another_recipe(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.say(b"P-2")
    (options,) = line.config.pipelines.values()
    other = options.model_copy(update={"recipe": "P-3"})
    line.config = line.config.model_copy(update={"pipelines": {"camera-1": other}})
    assert line.recipe == "P-3"


@pytest.mark.parametrize(
    ("product", "path", "message"),
    [
        (
            {"codes": {"7": "P-9"}},
            "/pipelines/camera-1/product",
            "of product code '7': no such recipe: 'P-9'",
        ),
        ({"code": "product"}, "/pipelines/camera-1/product", "a JSON pointer begins with /"),
        ({"topic": "plc/+/product"}, "/pipelines/camera-1/product/topic", "must be a topic"),
    ],
)
def test_a_wrong_product_option_is_refused_with_its_place(
    product: dict[str, Any], path: str, message: str
) -> None:
    found = refused(with_product({"P-2": {"model": "m"}}, **product))
    assert message in found[path]
