"""The whole agent is cut off in an update: the old or the new model decides, and it ends well.

What test_update_interrupted.py does at every operation with the updater alone, some of it again
with all that is around it: child processes that fetch and test, workers that load and compare.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import ModelError
from edge_agent.modelstore.in_force import in_force
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.manifest import load_bundle
from tests.agents import MODELS
from tests.faults.conftest import Finding, Trial
from tests.faults.disk import Disk
from tests.faults.file_operations import Answer, Desk, Operation, desk
from tests.updating import plant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Mosquitto, Recorder, WaitFor

DISK_BYTES = 128 << 20
OLD, NEW = "1.0.0", "2.0.0"


@pytest.fixture
def server(tmp_path: Path) -> plant.Server:
    """Make a repository whose owner wants a changed version of the shipped model everywhere."""
    made = plant.Server(tmp_path)
    made.publish(MODELS / "conveyor-parts", plant.changed(tmp_path, NEW))
    return made


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, tmp_path / "gateway" / "state" / "models") as made:
        yield made


@pytest.fixture
def gateway(
    tmp_path: Path,
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    server: plant.Server,
    operations: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[plant.Gateway]:
    for name, value in operations.environment.items():
        monkeypatch.setenv(name, value)
    with plant.heard_gateway(tmp_path, mosquitto, mqtt_client, server) as made:
        yield made


@pytest.fixture
def disk(tmp_path: Path, gateway: plant.Gateway) -> Iterator[Disk]:
    """Put the gateway's state on a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    try:
        disk = Disk(tmp_path, DISK_BYTES, gateway.folder / "state")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    yield disk
    gateway.agent.end()
    disk.unmount()


class Line:
    """What the recorder hears of one gateway, from one start to the next."""

    def __init__(self, gateway: plant.Gateway, recorder: Recorder, wait_for: WaitFor) -> None:
        self._gateway = gateway
        self._recorder = recorder
        self._wait_for = wait_for

    def starts(self) -> str:
        """Start the agent; return the version that decides about its first part."""
        before = len(plant.verdicts(self._recorder))
        self._gateway.start()

        def first() -> list[str]:
            heard = plant.verdicts(self._recorder)[before:]
            return [v["model_version"] for v in heard if v["model_version"]]

        return str(self._wait_for(first)[0])

    def comes_to(self, fatal: Fatal) -> None:
        """Wait for that operation, or for the end of an update without it."""
        self._wait_for(lambda: fatal.happened or self.in_force() == NEW, 90)

    def ends_well(self) -> None:
        """Wait until the new model decides for good, and let the agent end."""
        self._wait_for(lambda: self.in_force() == NEW, 90)
        now = len(plant.verdicts(self._recorder))
        later = self._wait_for(lambda: plant.verdicts(self._recorder)[now:])
        assert {v["model_version"] for v in later} == {NEW}
        assert self._gateway.agent.stop() == 0

    def in_force(self) -> str:
        """Return the version on the disk; it must be whole."""
        factory = self._gateway.folder / "models" / "conveyor-parts"
        bundle = in_force(StoreLayout(self._gateway.store), plant.SLOT, factory) or str(factory)
        try:
            return load_bundle(Path(bundle)).manifest.version
        except ModelError as error:
            return f"damaged: {error}"


@pytest.fixture
def line(gateway: plant.Gateway, mqtt_client: Recorder, wait_for: WaitFor) -> Line:
    return Line(gateway, mqtt_client, wait_for)


@pytest.mark.timeout(1800)
def test_an_agent_that_is_killed_at_an_operation_on_files_goes_on_with_a_whole_model(
    line: Line, gateway: plant.Gateway, operations: Desk, trial: Trial
) -> None:
    ran: Counter[str] = Counter()
    children = ended = 0
    for of_agent, first, step in (
        ((True, 5, 8), (False, 15, 20)) if trial.full else ((True, 30, 99),)
    ):
        for wanted in range(first, 1000, step):
            shutil.rmtree(gateway.store, ignore_errors=True)
            fatal = Fatal(gateway, wanted, of_agent=of_agent)
            operations.begin(fatal.answer)
            gateway.start()
            line.comes_to(fatal)
            operations.begin()  # where the update ended first, no later operation is fatal
            if fatal.happened and of_agent:
                assert gateway.agent.wait(60) == -signal.SIGKILL
                ran[line.in_force()] += 1
                assert line.starts() in {OLD, NEW}
            children += fatal.happened and not of_agent  # the agent goes on
            line.ends_well()
            ended += fatal.happened
            if not fatal.happened or not trial.full:
                break
    trial.note(
        Finding(
            "kill -9 of the agent, or its child that fetches, at a file operation",
            ran.total() + children,
            f"{ran.total() - ran[OLD] - ran[NEW]} models",
            "at the next start",
            f"{children} times the child; of the agent, {ran[OLD]} times the old model ran on, "
            f"{ran[NEW]} times the new one; {ended} updates came to their end afterwards",
        )
    )
    assert ran.total() > 0
    assert set(ran) <= {OLD, NEW}


@dataclass
class Fatal:
    """The `number`th operation of the agent itself, or of its children, is the last."""

    gateway: plant.Gateway
    number: int
    of_agent: bool
    happened: bool = False

    def answer(self, operation: Operation) -> Answer:
        if self.happened or (operation.pid == self.gateway.agent.pid) != self.of_agent:
            return "go"
        self.number -= 1
        self.happened = self.number == 0
        return "die" if self.happened else "go"


@pytest.mark.timeout(1800)
def test_an_agent_whose_power_fails_in_an_update_goes_on_with_a_whole_model(
    line: Line, operations: Desk, disk: Disk, tmp_path: Path, trial: Trial
) -> None:
    if not trial.full:
        pytest.skip("takes minutes: `make faults`")
    images: dict[str, Path] = {}

    def copied(operation: Operation) -> Answer:
        image = tmp_path / f"{operation.number}.img"
        if images.setdefault(disk.copy_to(image), image) != image:
            image.unlink()
        return "go"

    operations.begin(copied)
    line.starts()
    line.ends_well()
    operations.begin()
    first, *later = images.values()
    chosen = later[:: max(1, len(later) // 15)]
    ran: Counter[str] = Counter()
    ended = 0
    for image in chosen:
        disk.boot_from(image)
        on_disk = line.in_force()
        ran[on_disk] += 1
        assert line.starts() == on_disk
        line.ends_well()
        ended += 1
    trial.note(
        Finding(
            "power cut before a file operation of an update, the whole agent",
            len(chosen),
            f"{ran.total() - ran[OLD] - ran[NEW]} models",
            "at the next start",
            f"of {len(images)} different disks; {ran[OLD]} times the old model ran on, "
            f"{ran[NEW]} times the new one; {ended} updates came to their end afterwards",
        )
    )
    assert set(ran) <= {OLD, NEW}
    assert first.exists()
