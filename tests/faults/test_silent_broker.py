"""A broker that says nothing: frozen, or behind a line that swallows every packet."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import Finding, Trial
from tests.faults.judging import catch_up, live_again_s, lost, out_of_order, outbox
from tests.faults.plant import KEEPALIVE_S, Broker, Consumer, Gateway, camera, pictures, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FPS = 50
SEEN_WITHIN_S = 2 * KEEPALIVE_S + 2
LIVE_WITHIN_S = 10


def test_a_frozen_broker_is_seen_and_its_return_loses_nothing(
    gateway: Callable[..., Gateway],
    broker: Broker,
    consumer: Consumer,
    tmp_path: Path,
    trial: Trial,
) -> None:
    agent = gateway({"camera": camera(pictures(tmp_path / "pictures"), FPS)})
    line = Line(agent, consumer, trial)
    line.silence(
        "broker frozen by SIGSTOP",
        60 if trial.full else 1,
        lambda: os.kill(broker.process.pid, signal.SIGSTOP),
        lambda: os.kill(broker.process.pid, signal.SIGCONT),
    )


@pytest.mark.usefixtures("own_network")
def test_a_line_that_swallows_every_packet_is_seen_and_its_return_loses_nothing(
    gateway: Callable[..., Gateway],
    broker: Broker,
    consumer: Consumer,
    tmp_path: Path,
    trial: Trial,
) -> None:
    agent = gateway({"camera": camera(pictures(tmp_path / "pictures"), FPS)})
    line = Line(agent, consumer, trial)
    line.silence(
        "broker half-open by iptables DROP, both ways",
        60 if trial.full else 1,
        lambda: drop_packets("-A", broker.port),
        lambda: drop_packets("-D", broker.port),
    )


def drop_packets(what: str, port: int) -> None:
    """Begin (-A) or cease (-D) to drop all packets to and from the gateway's port."""
    for direction in ("--dport", "--sport"):
        rule = ["iptables", what, "INPUT", "-p", "tcp", direction, str(port), "-j", "DROP"]
        subprocess.run(rule, check=True)


class Line:
    """An agent that publishes, and what its consumer saw of a silence."""

    def __init__(self, agent: Gateway, consumer: Consumer, trial: Trial) -> None:
        self._agent = agent
        self._consumer = consumer
        self._trial = trial

    def silence(
        self,
        fault: str,
        seconds: float,
        begin: Callable[[], object],
        end: Callable[[], object],
    ) -> None:
        """Silence the broker for a while, and judge what became of it."""
        agent, consumer = self._agent, self._consumer
        until(lambda: len(consumer.arrivals) > FPS)
        # A busy machine may have had one before.
        warnings = self._warnings()
        begin()
        try:
            began_s = time.monotonic()
            until(lambda: self._warnings() > warnings)
            seen_s = time.monotonic() - began_s
            time.sleep(max(1.0, began_s + seconds - time.monotonic()))
            silent_s = time.monotonic() - began_s
        finally:
            returned_s = time.time()
            end()
        live_s = live_again_s(consumer, returned_s)
        returned_mono_s = time.monotonic() - live_s
        catch_up(consumer, 60)
        caught_up_s = time.monotonic() - returned_mono_s
        agent.stop()
        last_seq, _ = outbox(agent.state)
        gone = lost(consumer, agent)
        wrong = out_of_order(consumer.arrivals)
        replayed = sum(arrival.replay for arrival in consumer.arrivals)
        self._trial.note(
            Finding(
                f"{fault} for {silent_s:.0f} s",
                1,
                f"{len(gone)} of {last_seq} verdicts",
                f"{live_s:.1f} s to live verdicts",
                f"seen after {seen_s:.1f} s; {replayed} replayed, all there after"
                f" {caught_up_s:.1f} s; {wrong} out of order",
            )
        )
        assert not gone
        assert wrong == 0
        assert replayed > FPS
        if self._trial.full:
            assert seen_s <= SEEN_WITHIN_S
            assert live_s <= LIVE_WITHIN_S

    def _warnings(self) -> int:
        # Of the connection that verdicts go over; control has one of its own.
        return len(
            re.findall(r"WARNING broker \S+ \(edge-agent-gw-01\)", self._agent.log.read_text())
        )
