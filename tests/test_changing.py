"""Changes of the config, nothing around them: a disk that refuses, and what was chosen since."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.control.asker import Asker
from edge_agent.control.changing import Changing, Ports
from edge_agent.control.ledger import FILE, Ledger
from edge_agent.control.mailbox import Sender
from edge_agent.control.recipes import Choice, Recipes
from edge_agent.control.requests import ConfigRequest
from edge_agent.reporting.standing import Standing
from tests.agents import MODELS
from tests.alerts import TOPICS
from tests.control import camera
from tests.test_config import good, parse

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config

RECIPES = {name: {"model": str(MODELS / "conveyor-parts")} for name in ("P-2", "P-3")}


class Gateway:
    """A gateway whose one pipeline does what the config says at once."""

    def __init__(self, folder: Path) -> None:
        self.answers: list[dict[str, Any]] = []
        self.rev = 1
        tree = good() | {"pipelines": {"one": camera(recipes=RECIPES)}}
        self.ledger = Ledger(folder, parse(tree))
        self.applied = self.ledger.good.config
        self.recipes = Recipes({}, lambda: None)
        ports = Ports(
            apply=self._apply,
            standings=lambda: {"one": Standing("running", "", 0, self.rev)},
            show=lambda *_: None,
            answer=lambda _sender, _id, answer: self.answers.append(json.loads(answer)),
            recipes=self.recipes,
            folder=folder,
            topics=TOPICS,
        )
        self.changing = Changing(self.ledger, ports)

    @property
    def recipe(self) -> str:
        """By which it inspects."""
        return self.applied.pipelines["one"].recipe

    def change(self, **one: Any) -> None:
        """Have another config wait for its confirmation."""
        request = ConfigRequest(
            id="change",
            base_rev=self.changing.rev,
            patch={"pipelines": {"one": one}},
            confirm_within_s=60.0,
        )
        assert self.changing.ask(request, Asker(Sender("answers"))) is None
        for after_s in (0, 100):
            self.changing.watch(time.monotonic() + after_s)
        assert self.answers[-1]["status"] == "unconfirmed"

    def confirm(self) -> tuple[str, int, int]:
        request = ConfigRequest(id="yes", base_rev=self.changing.rev, confirm=True)
        result = self.changing.ask(request, Asker(Sender("answers")))
        assert result is not None
        return result.status, result.code, result.rev

    def expire(self) -> None:
        self.changing.watch(time.monotonic() + 1000)
        assert self.answers[-1]["status"] == "rolled_back"

    def choose(self, code: str) -> None:
        """Choose a recipe beside the config of now, as a PLC or a person does."""
        self.recipes.choose("one", Choice(code, self.changing.config.pipelines["one"].recipe))
        self._apply(self.changing.config, self.rev)

    def _apply(self, config: Config, rev: int) -> None:
        self.applied, self.rev = self.recipes.of(config), rev


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def test_a_confirmation_that_the_disk_refuses_is_answered_so(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.change(threads=2)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()  # no file can take its place
    assert gateway.confirm() == ("rolled_back", 500, 1)
    assert gateway.answers[-1]["status"] == "rolled_back"
    assert gateway.applied.pipelines["one"].threads == 1
    (tmp_path / FILE).rmdir()
    gateway.change(threads=2)
    assert gateway.confirm() == ("applied", 200, 3)
    assert gateway.applied.pipelines["one"].threads == 2


@pytest.mark.parametrize("before", ["", "P-2"])
def test_what_was_chosen_while_a_change_waited_stays_when_that_is_taken_back(
    gateway: Gateway, before: str
) -> None:
    if before:
        gateway.choose(before)
    gateway.change(recipe="P-3")
    assert gateway.recipe == "P-3", "whoever writes a recipe wants that"
    gateway.choose("P-2")
    assert gateway.recipe == "P-2"
    gateway.expire()
    assert gateway.recipe == "P-2"


def test_what_was_chosen_before_a_change_holds_again_when_that_is_taken_back(
    gateway: Gateway,
) -> None:
    gateway.choose("P-2")
    gateway.change(recipe="P-3")
    gateway.expire()
    assert gateway.recipe == "P-2"


def test_whoever_asked_for_what_was_cut_short_is_told_also_once_the_file_says_more(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.change(threads=2)
    after = Gateway(tmp_path)  # it was killed, and begins anew
    new = after.ledger.file_config.model_copy(update={"stats_every_s": 7.0})
    after.changing.reload(new)  # before the broker is there
    told: list[tuple[str, str]] = []
    after.changing.start(lambda trial, result: told.append((trial.request_id, result.status)))
    assert told == [("change", "rolled_back")]
    assert after.applied.stats_every_s == 7.0
    after.change(threads=2)
    assert after.confirm()[0] == "applied"
