"""A publisher whose broker breaks off, freezes or stays away."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

from tests.conftest import Recorder
from tests.verdicts import verdict

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, WaitFor

from tests.publisher.conftest import (
    ROOT,
    VERDICTS,
    FragileBroker,
    MosquittoWith,
    Start,
    read,
    seqs,
)


def test_nothing_is_lost_and_the_order_holds_when_the_connection_breaks_again_and_again(
    start: Start, wait_for: WaitFor
) -> None:
    broker = FragileBroker(random.Random(3), breaks=6)
    outbox, publisher = start(broker)
    number = 0
    while len(broker.acknowledged) <= 6:
        if outbox.depth < 500:
            outbox.append(verdict(number + n) for n in range(20))
            number += 20
        assert outbox.flush(60)
    wait_for(lambda: outbox.depth == 0)
    publisher.stop()
    broker.close()
    heard = [message for life in broker.verdicts() for message in life]
    assert {message["seq"]: message["id"] for message in heard} == {
        n + 1: str(n) for n in range(number)
    }
    for life in broker.verdicts():
        for replay in (True, False):
            lane = [message["seq"] for message in life if message["replay"] is replay]
            assert lane == sorted(set(lane))


def test_a_frozen_broker_costs_nothing_and_live_verdicts_flow_beside_the_backlog(
    mosquitto_with: MosquittoWith, start: Start, wait_for: WaitFor
) -> None:
    # By default mosquitto drops what waits for a subscriber beyond 1000 messages.
    mosquitto = mosquitto_with("allow_anonymous true\nmax_queued_messages 0")
    mqtt_client = Recorder(mosquitto.host, mosquitto.port)
    mqtt_client.subscribe(VERDICTS)
    outbox, publisher = start(mosquitto)
    wait_for(lambda: publisher.connected)
    os.kill(mosquitto.pid, signal.SIGSTOP)
    for first in range(0, 20_000, 1000):
        outbox.append(verdict(first + n) for n in range(1000))
        assert outbox.flush(20)
    wait_for(lambda: not publisher.connected)
    assert outbox.depth == 20_000
    os.kill(mosquitto.pid, signal.SIGCONT)
    wait_for(lambda: publisher.connected)
    wait_for(lambda: len(mqtt_client.messages) > 100)
    outbox.append([verdict(20_000)])
    wait_for(lambda: outbox.depth == 0)
    wait_for(lambda: len(mqtt_client.messages) >= 20_001)
    arrived = seqs(mqtt_client)
    assert set(arrived) == set(range(1, 20_002))
    assert arrived.index(20_001) < 20_000, "the live one waited for the backlog"
    replayed = [message["seq"] for message in read(mqtt_client) if message["replay"]]
    assert replayed == sorted(replayed)
    assert publisher.drain(60) == 0
    mqtt_client.close()


def test_a_verdict_that_the_broker_is_slow_to_take_is_not_sent_again_with_the_next_status(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    outbox, publisher = start(mosquitto)
    wait_for(lambda: publisher._quiet)
    known = len(mqtt_client.payloads(f"{ROOT}/status"))
    os.kill(mosquitto.pid, signal.SIGSTOP)
    publisher._status_s = 0.0  # it is due when the verdict's thread wakes the publisher's
    outbox.append([verdict(0)])
    wait_for(lambda: publisher._status_s > 0)
    os.kill(mosquitto.pid, signal.SIGCONT)
    wait_for(lambda: len(mqtt_client.payloads(f"{ROOT}/status")) > known)
    wait_for(lambda: outbox.depth == 0)
    outbox.append([verdict(1)])
    wait_for(lambda: 2 in seqs(mqtt_client))
    assert [(message["seq"], message["replay"]) for message in read(mqtt_client)] == [
        (1, False),
        (2, False),
    ]


def test_drain_returns_what_is_left_when_the_broker_is_away(
    mosquitto: Mosquitto, start: Start
) -> None:
    mosquitto.stop()
    outbox, publisher = start(mosquitto)
    outbox.append([verdict(0), verdict(1)])
    assert outbox.flush(60)
    assert publisher.drain(0.5) == 2
