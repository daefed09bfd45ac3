"""The power goes at a random instant: what then stands on the disk is what the agent starts from.

The agent's state lies on an ext4 in a file. What was not forced to the disk is in the memory of
the kernel and not in that file, so a copy of the file is what a power cut leaves. The next run
starts from the copy, as after a reboot, and so on: one consumer sees them all.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import Finding, Trial
from tests.faults.disk import Disk
from tests.faults.judging import (
    catch_up,
    live_again_s,
    looked_at,
    lost,
    out_of_order,
    outbox,
    without_repeats,
)
from tests.faults.plant import Broker, Consumer, Gateway, camera, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RATE_HZ = 200
CAMERAS = 2
DISK_BYTES = 48 << 20
PASS_ALL = {"kind": "threshold", "fail_at": 1.0}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    try:
        disk = Disk(tmp_path, DISK_BYTES)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    yield disk
    disk.unmount()


@pytest.mark.timeout(900)
def test_a_power_cut_loses_no_verdict_that_was_acknowledged_or_committed(
    disk: Disk,
    gateway: Callable[..., Gateway],
    broker: Broker,
    consumer: Consumer,
    tmp_path: Path,
    trial: Trial,
) -> None:
    rng = random.Random(11)
    folder = pictures(tmp_path / "pictures")
    one = camera(folder, RATE_HZ / CAMERAS, rule=PASS_ALL)
    state = disk.mounted_at / "state"
    agent = gateway({f"camera-{i}": one for i in range(CAMERAS)}, state=state)
    begun_s, backs, committed = time.time(), [], set()
    for cut in range(50 if trial.full else 3):
        backs.append(live_again_s(consumer, begun_s))
        # Every other time the broker is frozen, so that much is committed and not acknowledged.
        frozen = cut % 2 == 1
        if frozen:
            os.kill(broker.process.pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.3, 1.3))
        os.kill(agent.pid, signal.SIGSTOP)  # the copy takes some ms: let it be one instant
        disk.copy()
        agent.kill()
        if frozen:
            os.kill(broker.process.pid, signal.SIGCONT)
        disk.reboot()
        committed |= looked_at(state, tmp_path / f"look-{cut}")
        begun_s = time.time()
        agent.start()
    backs.append(live_again_s(consumer, begun_s))
    catch_up(consumer, 60)
    agent.stop()
    _, kept = outbox(state)
    came = {arrival.seq for arrival in without_repeats(consumer.arrivals)}
    gone = lost(consumer, agent) | (committed - came - kept)
    wrong = out_of_order(consumer.arrivals)
    trial.note(
        Finding(
            f"power cut at {RATE_HZ} verdicts/s",
            len(backs) - 1,
            f"{len(gone)} of {len(came | kept)} verdicts",
            f"{max(backs[1:]):.2f} s at most from start to live verdicts",
            f"{len(committed)} were on the disk alone; no seq used twice; {wrong} out of order",
        )
    )
    assert not gone
    assert wrong == 0
    assert committed
    assert len(consumer.crashes()) == len(backs) - 1
