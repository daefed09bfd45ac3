"""An update is cut off at each of its operations on files: what runs is the old or the new model.

Whole it is in either case, it runs on, and the update comes to its end afterwards. The operations
are found by running: one more each time, until an update comes through untouched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import update_plant
from tests.faults.conftest import Finding, Trial
from tests.faults.disk import Disk
from tests.faults.file_operations import Answer, Desk, Operation, desk
from tests.faults.lone_updater import LoneUpdater
from tests.faults.update_plant import BEFORE, NEW, OLD, Plant, damage, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLED = -signal.SIGKILL
# The store leaves 64 MB of it to others.
DISK_BYTES = 128 << 20
# By the fourth start that ends so, the model in force itself gives way to the one before it.
MOST_STARTS = 6
MOST_LOADS = 3
# What a disk without room, or a quota, refuses.
NEEDS_ROOM = {"open", "write", "fsync", "mkdir", "link", "rename", "symlink"}


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in memory, where there is one: what a kill leaves is the same on any disk."""
    shared = Path("/dev/shm")  # noqa: S108  a folder of its own in it
    folder = shared if shared.is_dir() else tmp_path_factory.mktemp("memory")
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def watched(memory: Path) -> Path:
    """Return the folder in which each operation is asked for."""
    folder = memory / "watched"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def operations(memory: Path, watched: Path) -> Iterator[Desk]:
    with desk(memory, watched) as made:
        yield made


@pytest.fixture(scope="module")
def plant(memory: Path, operations: Desk) -> Iterator[Plant]:
    updater = LoneUpdater(operations.environment)
    try:
        (memory / "plant").mkdir()
        yield update_plant.make(memory / "plant", updater)
    finally:
        updater.end()


@pytest.fixture
def disk(memory: Path, watched: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    try:
        disk = Disk(memory, DISK_BYTES, watched / "disk")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    yield disk
    disk.unmount()


def at(numbers: range, answer: Answer) -> Callable[[Operation], Answer]:
    """Answer so at these operations, as far as it makes sense."""

    def answers(operation: Operation) -> Answer:
        meant = operation.number in numbers and (answer == "die" or operation.verb in NEEDS_ROOM)
        return answer if meant else "go"

    return answers


@pytest.mark.timeout(900)
def test_a_kill_at_any_file_operation_leaves_a_whole_model_and_the_update_ends_well(
    plant: Plant, operations: Desk, watched: Path, trial: Trial
) -> None:
    wrong: list[str] = []
    ran: Counter[str] = Counter()
    ended = 0
    number, step = 1, 1 if trial.full else 9
    while True:
        store = plant.copy_to(watched / "store")
        operations.begin(at(range(number, number + 1), "die"))
        if (code := plant.run(store)) == 0:
            break
        assert code == KILLED
        here = operations.seen[-1]
        wrong += [f"{here}: {why}" for why in [damage(plant, store)] if why]
        ran[str(getattr(record(store).active, "model", "-"))] += 1
        operations.begin()
        code = plant.run(store)
        if why := damage(plant, store, [NEW]):
            wrong.append(f"{here}: afterwards {code}, {why}")
        ended += not code
        number += step
    trial.note(
        Finding(
            "kill -9 at each file operation of an update"
            + ("" if trial.full else f", one in {step}"),
            ran.total(),
            f"{len(wrong)} models",
            "at the next start",
            f"{ran[OLD]} times the old model ran on, {ran[NEW]} times the new one; "
            f"{ended} updates came to their end afterwards",
        )
    )
    assert not wrong
    assert ended == ran.total()
    assert set(ran) == {OLD, NEW}


@pytest.mark.timeout(900)
def test_a_kill_at_the_same_operation_of_every_start_loads_the_model_three_times_at_most(
    plant: Plant, operations: Desk, watched: Path, trial: Trial
) -> None:
    wrong: list[str] = []
    ends: Counter[str] = Counter()
    kills, number, step = 0, 1, 1 if trial.full else 23
    while True:
        store = plant.copy_to(watched / "store")
        codes: list[int] = []
        while len(codes) < MOST_STARTS and 0 not in codes:
            operations.begin(at(range(number, number + 1), "die"))
            codes.append(plant.run(store))
            if why := damage(plant, store, [BEFORE, OLD, NEW]):
                wrong.append(f"{number}, start {len(codes)}: {why}")
        if codes == [0]:
            break
        kills += codes.count(KILLED)
        loads = sum(bundle.endswith("/4") for bundle in plant.said("load"))
        if loads > MOST_LOADS:
            wrong.append(f"{number}: loaded {loads} times")
        operations.begin()
        assert plant.run(store) == 0, number
        error = record(store).error
        ends[error.code if error else str(getattr(record(store).active, "model", "-"))] += 1
        number += step
    trial.note(
        Finding(
            "the same, at every start again" + ("" if trial.full else f", one in {step}"),
            kills,
            f"{len(wrong)} models",
            "at the next start",
            f"in the end {ends[NEW]} times the new model, {ends['interrupted']} times given up "
            f"after {MOST_LOADS} attempts",
        )
    )
    assert not wrong
    assert set(ends) <= {NEW, "interrupted"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("lasting", [1, 8], ids=["once", "for a while"])
def test_a_disk_that_is_full_at_any_operation_ends_nothing_that_runs(
    lasting: int, plant: Plant, operations: Desk, watched: Path, trial: Trial
) -> None:
    wrong: list[str] = []
    refused, right, number, step = 0, 0, 1, 1 if trial.full else 8 + 3 * lasting
    while True:
        store = plant.copy_to(watched / "store")
        operations.begin(at(range(number, number + lasting), "full"))
        code = plant.run(store, poll_s=0.2)
        seen = operations.seen
        assert code == 0, f"operations from {seen[number - 1]} on"
        if number > len(seen):
            break
        refused += sum(each.verb in NEEDS_ROOM for each in seen[number - 1 :][:lasting])
        ran = [bundle.rpartition("/")[2] for bundle in plant.said("runs")]
        why = damage(plant, store, [NEW])
        if ran == ["3", "4"] and not why:
            right += 1
        else:
            wrong.append(f"{seen[number - 1]}: ran {ran}; {why}")
        number += step
    trial.note(
        Finding(
            f"disk full at each file operation of an update, {lasting} in a row"
            + ("" if trial.full else f", one in {step}"),
            refused,
            f"{len(wrong)} models",
            "once there is room",
            f"{right} times the old model ran on, then the new one came",
        )
    )
    assert not wrong


@pytest.mark.timeout(900)
def test_a_power_cut_at_any_file_operation_leaves_a_whole_model_on_the_disk(
    plant: Plant, operations: Desk, disk: Disk, memory: Path, trial: Trial
) -> None:
    store = plant.copy_to(disk.mounted_at / "store")
    subprocess.run(["sync", "--file-system", str(store)], check=True)
    images: dict[str, tuple[Path, Operation]] = {}

    def copied(operation: Operation) -> Answer:
        image = memory / f"{operation.number}.img"
        if images.setdefault(disk.copy_to(image), (image, operation))[0] != image:
            image.unlink()  # nothing has been forced to the disk since
        return "go"

    operations.begin(copied)
    assert plant.run(store) == 0
    cuts = len(operations.seen)
    wrong: list[str] = []
    ran: Counter[str] = Counter()
    ended = 0
    operations.begin()
    for image, operation in list(images.values())[:: -1 if trial.full else -8]:
        disk.boot_from(image)
        if why := damage(plant, store):
            wrong.append(f"{operation}: {why}")
        ran[str(getattr(record(store).active, "model", "-"))] += 1
        code = plant.run(store)
        if why := damage(plant, store, [NEW]):
            wrong.append(f"{operation}: afterwards {code}, {why}")
        ended += not code
    trial.note(
        Finding(
            "power cut before each file operation of an update",
            cuts if trial.full else ran.total(),
            f"{len(wrong)} models",
            "at the next start",
            f"{len(images)} different disks, {ran.total()} of them started from: {ran[OLD]} times "
            f"the old model ran on, {ran[NEW]} times the new one; {ended} updates came to their "
            "end afterwards",
        )
    )
    assert not wrong
    assert ended == ran.total()
    assert set(ran) == {OLD, NEW}
