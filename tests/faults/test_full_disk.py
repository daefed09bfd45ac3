"""A state folder without room, or that became read-only: inspection goes on and is delivered."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import Finding, Trial
from tests.faults.judging import live_again_s, out_of_order, outbox, without_repeats
from tests.faults.plant import Broker, Consumer, Gateway, camera, pictures, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RATE_HZ = 200
CAMERAS = 2
PASS_ALL = {"kind": "threshold", "fail_at": 1.0}
REFUSES, WRITES_AGAIN = "verdicts wait in memory", "outbox: writes again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def start(
    small_disk: Path, gateway: Callable[..., Gateway], tmp_path: Path
) -> Callable[[], Gateway]:
    """Start an agent whose state lies on the small disk."""

    def run() -> Gateway:
        folder = pictures(tmp_path / "pictures")
        one = camera(folder, RATE_HZ / CAMERAS, rule=PASS_ALL)
        cameras = {f"camera-{i}": one for i in range(CAMERAS)}
        return gateway(cameras, state=small_disk / "state")

    return run


def test_a_full_disk_stops_no_verdict_while_the_broker_is_there(
    small_disk: Path, start: Callable[[], Gateway], consumer: Consumer, trial: Trial
) -> None:
    agent = start()
    until(lambda: len(consumer.arrivals) > RATE_HZ)
    full_s, lived_s = 10.0 if trial.full else 2.0, []
    before_hz = rate_hz(consumer, full_s)
    for _ in range(3 if trial.full else 1):
        fill(small_disk)
        lived_s.append(rate_hz(consumer, full_s))
        (small_disk / "filler").unlink()
        until(lambda: said(agent, WRITES_AGAIN) == said(agent, REFUSES))
    agent.stop()
    gone, in_gaps = unaccounted(consumer)
    gone -= outbox(agent.state)[1]
    trial.note(
        Finding(
            f"disk full (2 MB tmpfs) for {full_s:g} s, broker there",
            len(lived_s),
            f"{len(gone)} verdicts; {in_gaps} dropped, counted in gap records",
            "at once",
            f"{min(lived_s):.0f} of {before_hz:.0f} verdicts/s delivered meanwhile, "
            f"{out_of_order(consumer.arrivals)} out of order",
        )
    )
    assert not gone
    assert min(lived_s) > (before_hz / 2 if trial.full else 0)


def test_an_outbox_that_fills_its_disk_drops_counts_and_heals(
    small_disk: Path,
    start: Callable[[], Gateway],
    broker: Broker,
    consumer: Consumer,
    trial: Trial,
) -> None:
    agent = start()
    until(lambda: len(consumer.arrivals) > RATE_HZ)
    broker.kill()
    until(lambda: used(small_disk) > 0.7, 120)
    most = 0.0
    for _ in range(60 if trial.full else 20):
        time.sleep(0.5)
        most = max(most, used(small_disk))
    assert agent.is_running()
    broker.process.start()
    back_s = time.time()
    live_s = live_again_s(consumer, back_s)
    until(lambda: not unaccounted(consumer)[0])
    again_hz = rate_hz(consumer, 1.0)
    agent.stop()
    gone, in_gaps = unaccounted(consumer)
    gone -= outbox(agent.state)[1]
    trial.note(
        Finding(
            "outbox fills its disk (2 MB tmpfs), broker away",
            1,
            f"{len(gone)} verdicts; {in_gaps} dropped, counted in gap records",
            f"{live_s:.1f} s to live verdicts",
            f"{out_of_order(consumer.arrivals)} out of order; disk used to {most:.0%}",
        )
    )
    assert not gone
    assert in_gaps > 0
    assert again_hz > 0
    assert said(agent, REFUSES) == 0, "it leaves itself room"


def test_on_a_read_only_state_folder_verdicts_go_out_and_it_heals_when_writable_again(
    small_disk: Path, start: Callable[[], Gateway], consumer: Consumer, trial: Trial
) -> None:
    agent = start()
    until(lambda: len(consumer.arrivals) > RATE_HZ)
    agent.stop()
    before = max(arrival.seq for arrival in consumer.arrivals)
    remount(small_disk, "ro")
    consumer.stats.clear()
    agent.start()
    until(lambda: inspected(consumer) > RATE_HZ)
    time.sleep(30 if trial.full else 1)
    judged = inspected(consumer)

    def meanwhile() -> int:
        return sum(arrival.seq > before for arrival in list(consumer.arrivals))

    until(lambda: meanwhile() >= judged)
    remount(small_disk, "rw")
    writable_s = time.time()
    until(lambda: said(agent, WRITES_AGAIN) > 0)
    live_s = time.time() - writable_s
    until(lambda: not unaccounted(consumer)[0])
    agent.stop()
    gone, in_gaps = unaccounted(consumer)
    gone -= outbox(agent.state)[1]
    trial.note(
        Finding(
            "start on a read-only state folder, later writable",
            1,
            f"{len(gone)} verdicts; {in_gaps} numbers left out, in gap records",
            "at once",
            f"all {judged} verdicts delivered meanwhile, {out_of_order(consumer.arrivals)} out of "
            f"order; writes again after {live_s:.1f} s",
        )
    )
    assert not gone


def fill(disk: Path) -> None:
    """Take all the room that is left."""
    with (disk / "filler").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return


def used(disk: Path) -> float:
    stat = os.statvfs(disk)
    return 1 - stat.f_bavail / stat.f_blocks


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def said(agent: Gateway, words: str) -> int:
    """Count the lines of the agent's log that hold these words."""
    return sum(words in line for line in agent.log_lines())


def inspected(consumer: Consumer) -> int:
    """Return how many items all pipelines say that they have inspected since they started."""
    return sum(stats["items"] for stats in list(consumer.stats.values()))


def rate_hz(consumer: Consumer, seconds: float) -> float:
    before = len(consumer.arrivals)
    time.sleep(seconds)
    return (len(consumer.arrivals) - before) / seconds


def unaccounted(consumer: Consumer) -> tuple[set[int], int]:
    """Return the numbers that neither came nor stand in a gap record, and how many stand there."""
    came = {arrival.seq for arrival in without_repeats(list(consumer.arrivals))}
    given_up = {
        seq
        for gap in list(consumer.gaps.values())
        for first, last in gap["ranges"]
        for seq in range(first, last + 1)
    } - came
    return set(range(1, max(came) + 1)) - came - given_up, len(given_up)
