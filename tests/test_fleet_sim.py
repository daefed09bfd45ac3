"""A small fleet of simulated gateways: a bad model is halted, a good one goes through."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.slots import SlotFolder
from edge_agent.reporting.model_messages import ModelStatusMessage
from tools.fleet_sim.fleet import device, site
from tools.fleet_sim.gateway import SLOT
from tools.fleet_sim.story import (
    BAD,
    FIRST,
    GOOD,
    NotAsExpected,
    Settings,
    bad_rollout,
    erring_devices,
    heard,
    reached,
    story,
)
from tools.repo.control import SlotStatus

if TYPE_CHECKING:
    from tests.conftest import WaitFor

SMALL = Settings(gateways=20, failures=1, model_bytes=5000, processes=2)


def test_a_fleet_halts_a_bad_model_in_its_second_ring_and_takes_a_good_one(tmp_path: Path) -> None:
    said: list[str] = []
    with story(SMALL, tmp_path, said.append) as told:
        rows = {row.part: row for row in told.tell()}
    bad = bad_rollout(SMALL)
    assert [line.split(": ")[1:3] for line in said if bad.id in line] == [
        ["promote", "1 %"],
        ["halt", "25 %"],
    ]
    assert [line.split(": ")[1] for line in said if "good" in line] == ["promote"] * 3
    # No root after the pinned one, and the timestamp.
    assert rows["poll without news"].traffic.requests == 2 * SMALL.gateways
    first = rows["first model, all at once"].traffic
    assert first.sent_bytes > SMALL.gateways * SMALL.model_bytes
    for number in range(SMALL.gateways):
        record = SlotFolder(StoreLayout(tmp_path / "stores" / device(number)), SLOT).record.read()
        assert record.state == "confirmed"
        assert record.active is not None
        assert record.active.model == GOOD
        erred = device(number) in reached(bad, 1, SMALL.gateways) & erring_devices(SMALL.gateways)
        assert [why.startswith("errs: ") for why in record.quarantine.values()] == [True] * erred


def test_a_fleet_is_heard_once_it_is_known_which_model_each_has_confirmed() -> None:
    first, good = (
        ModelStatusMessage(
            ts="2026-11-30T06:00:00.000Z",
            device=device(0),
            slot=SLOT,
            state="confirmed",
            stale=False,
            pinned=False,
            from_=str(model),
        )
        for model in (FIRST, GOOD)
    )
    board = [SlotStatus("sim", site(0), "1", first)]
    assert not heard({device(0): good}, board)
    assert not heard({device(0): first, device(1): first}, board)
    assert heard({device(0): first}, board)


def test_the_same_fleet_does_without_nginx(tmp_path: Path) -> None:
    settings = dataclasses.replace(SMALL, gateways=6, processes=1, nginx=False)
    with story(settings, tmp_path, lambda _: None) as told:
        assert told.web.name == "python -m tools.repo serve"
        rows = told.tell()
    assert rows[1].traffic.requests == 2 * settings.gateways


def test_a_fleet_whose_controller_stops_nothing_is_not_as_it_should_be(tmp_path: Path) -> None:
    settings = dataclasses.replace(SMALL, gateways=6, processes=1)
    with story(settings, tmp_path, lambda _: None) as told:
        told.controller.dry_run = True
        with pytest.raises(NotAsExpected, match="polls of all: 1 %"):
            told.tell()


def test_the_bad_rollout_meets_nobody_it_errs_on_in_its_first_ring() -> None:
    settings = Settings(gateways=1000, failures=3)
    rollout, erring = bad_rollout(settings), erring_devices(settings.gateways)
    rings = [reached(rollout, stage, settings.gateways) for stage in range(3)]
    assert rollout.to == BAD
    assert len(erring) == 50
    assert rings[0] <= rings[1] <= rings[2]
    assert len(rings[0]) >= 1
    assert 200 < len(rings[1]) < 300
    assert len(rings[2]) == 1000
    assert not rings[0] & erring
    assert len(rings[1] & erring) >= 5


def test_a_fleet_too_small_for_its_rings_is_refused() -> None:
    with pytest.raises(NotAsExpected, match="too few"):
        bad_rollout(Settings(gateways=1, failures=1))


def test_a_simulation_that_is_ended_leaves_no_process_and_no_folder_behind(
    tmp_path: Path, wait_for: WaitFor
) -> None:
    command = [sys.executable, "-m", "tools.fleet_sim", "--gateways", "20", "--processes", "1"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"20 gateways in 1 processes")
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(60) == 1
    assert len(children) >= 2
    wait_for(lambda: not any(child.is_running() for child in children))
    assert list(tmp_path.iterdir()) == []
