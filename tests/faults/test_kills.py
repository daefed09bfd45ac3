"""kill -9 of workers, of the agent and of the broker, under load."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.agents import workers
from tests.faults.conftest import Finding, Trial
from tests.faults.judging import (
    catch_up,
    live_again_s,
    longest_silence_s,
    looked_at,
    lost,
    out_of_order,
    outbox,
    without_repeats,
)
from tests.faults.plant import Arrival, Broker, Consumer, Gateway, camera, pictures, until

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_HZ = 500
CAMERAS = 4
BACK_WITHIN_S = 2.0
# A fail is published twice: let a verdict be one message.
PASS_ALL = {"kind": "threshold", "fail_at": 1.0}


def test_a_killed_worker_is_back_and_the_others_keep_their_rate(
    gateway: Callable[..., Gateway],
    consumer: Consumer,
    tmp_path: Path,
    trial: Trial,
) -> None:
    folder, fps = pictures(tmp_path / "pictures"), 50
    agent = gateway({name: camera(folder, fps) for name in ("bystander", *"abcd")})
    until(lambda: {arrival.pipeline for arrival in consumer.arrivals} == {"bystander", *"abcd"})
    before_hz = rate_hz(consumer, ("bystander",), 4.0 if trial.full else 1.0)
    began_s, backs = time.monotonic(), []
    # Twice each: a worker that dies ever again is rightly given longer and longer pauses.
    for victim in "abcd" * 2 if trial.full else "ab":
        killed_s = time.monotonic()
        os.kill(workers(agent.pid)[victim], signal.SIGKILL)
        backs.append(until(lambda v=victim, s=killed_s: inspects(consumer.of(v), s)))  # type: ignore[misc]
        time.sleep(1.0)
    bystander = consumer.of("bystander")
    ended_s = time.monotonic()
    count = sum(began_s <= arrival.at_s <= ended_s for arrival in bystander)
    kept = count / (ended_s - began_s) / before_hz
    silence_s = longest_silence_s(bystander, began_s, ended_s)
    agent.stop()
    gone = lost(consumer, agent)
    trial.note(
        Finding(
            "kill -9 of a worker",
            len(backs),
            f"{len(gone)} verdicts",
            f"{max(backs):.2f} s at most",
            f"another pipeline kept {kept:.1%} of its rate, silent for {silence_s:.2f} s at most",
        )
    )
    assert not gone
    assert silence_s < ended_s - began_s
    if trial.full:
        assert max(backs) < BACK_WITHIN_S
        assert kept > 0.95


def test_workers_go_on_and_are_replaced_after_a_kill_of_the_fork_server(
    gateway: Callable[..., Gateway], consumer: Consumer, tmp_path: Path, trial: Trial
) -> None:
    folder = pictures(tmp_path / "pictures")
    agent = gateway({name: camera(folder, 20) for name in ("a", "b")})
    until(lambda: {arrival.pipeline for arrival in consumer.arrivals} == {"a", "b"})
    processes = workers(agent.pid)
    # Field 4 of stat(5): the parent, which for every worker is the fork server.
    stat = Path(f"/proc/{processes['a']}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
    killed_s = time.monotonic()
    until(lambda: consumer.of("a")[-1].at_s > killed_s + 1)
    assert workers(agent.pid) == processes
    os.kill(processes["a"], signal.SIGKILL)
    again_s = until(lambda: inspects(consumer.of("a"), killed_s))
    agent.stop()
    gone = lost(consumer, agent)
    trial.note(
        Finding(
            "kill -9 of the fork server, then of a worker",
            1,
            f"{len(gone)} verdicts",
            f"{again_s:.2f} s",
            "the workers went on; a new server for the new worker",
        )
    )
    assert not gone
    if trial.full:
        assert again_s < 2 * BACK_WITHIN_S  # the libraries are loaded anew


def inspects(arrivals: list[Arrival], since_s: float) -> bool:
    """Say whether a pipeline gave a verdict on a part after its worker was said to be dead."""
    since = [arrival for arrival in arrivals if arrival.at_s > since_s]
    died = next((i for i, arrival in enumerate(since) if arrival.verdict == "error"), None)
    return died is not None and any(arrival.verdict != "error" for arrival in since[died:])


def rate_hz(consumer: Consumer, pipelines: tuple[str, ...], seconds: float) -> float:
    """Measure how many verdicts of these pipelines come in a second."""
    before, began_s = len(consumer.arrivals), time.monotonic()
    time.sleep(seconds)
    count = sum(arrival.pipeline in pipelines for arrival in consumer.arrivals[before:])
    return count / (time.monotonic() - began_s)


def test_kills_of_agent_and_broker_lose_no_verdict_and_keep_the_order(
    gateway: Callable[..., Gateway],
    broker: Broker,
    consumer: Consumer,
    tmp_path: Path,
    trial: Trial,
) -> None:
    folder = pictures(tmp_path / "pictures")
    cameras = {
        f"camera-{i}": camera(folder, RATE_HZ / CAMERAS, rule=PASS_ALL) for i in range(CAMERAS)
    }
    agent = gateway(cameras)
    until(lambda: len(consumer.arrivals) > RATE_HZ)
    backs: dict[str, list[float]] = {"agent": [], "broker": []}
    rates_hz: list[float] = []
    committed: set[int] = set()
    for victim in ("agent broker " * 3 + "agent" if trial.full else "agent broker").split():
        rates_hz.append(rate_hz(consumer, tuple(cameras), 4.0 if trial.full else 1.0))
        if victim == "agent":
            committed |= kill_agent(agent, tmp_path / "look")
        else:
            broker.kill()
            time.sleep(0.5)  # what is queued meanwhile is what a restart has to keep
        back_s = time.time()
        agent.start() if victim == "agent" else broker.process.start()
        backs[victim].append(live_again_s(consumer, back_s))
    catch_up(consumer, 60)
    agent.stop()
    _, kept = outbox(agent.state)
    came = {arrival.seq for arrival in without_repeats(consumer.arrivals)}
    gone = lost(consumer, agent) | (committed - came - kept)
    wrong = out_of_order(consumer.arrivals)
    repeats = len(consumer.arrivals) - len(came)
    for victim, times in backs.items():
        trial.note(
            Finding(
                f"kill -9 of the {victim} at {median(rates_hz):.0f} verdicts/s",
                len(times),
                f"{len(gone)} of {len(came | kept)} verdicts",
                f"{max(times):.2f} s at most",
                f"{wrong} out of order, {repeats} repeats, {len(kept)} still in the outbox",
            )
        )
    assert not gone
    assert wrong == 0
    assert len(consumer.crashes()) == len(backs["agent"])


def kill_agent(agent: Gateway, into: Path) -> set[int]:
    """Kill it; return the numbers of what it had on the disk."""
    before = list(workers(agent.pid).values())
    agent.kill()
    until(lambda: not any(alive(pid) for pid in before))  # none outlives its agent
    return looked_at(agent.state, into)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
