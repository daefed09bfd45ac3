"""Brokers that do not speak MQTT 5, or nothing at all."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edge_agent.mqtt.broker import (
    BrokerOptions,
    Message,
    Subscription,
)
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import WaitFor

from tests.broker.conftest import CONNACK_5, CONNACK_311, Connect, Scripted


def test_a_broker_that_speaks_only_3_1_1_is_spoken_to_in_it(
    connect: Connect, wait_for: WaitFor
) -> None:
    pytest.importorskip("amqtt")
    port = free_port()
    program = """
import asyncio, sys
from amqtt.broker import Broker
async def main():
    broker = Broker({
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    })
    await broker.start()
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        heard: list[Message] = []
        connection, trace = connect(
            BrokerOptions(port=port), subscriptions=[Subscription("a", 1, heard.append)]
        )
        wait_for(lambda: connection.connected)
        connection.publish("a", b"x", token=1, content_type="text/plain")
        wait_for(lambda: heard and trace.acks == [(1, None)])
        connection.stop()
        process.kill()


def test_an_unsupported_protocol_is_followed_by_3_1_1_at_the_next_attempt(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(bytes.fromhex("20 02 00 01"), CONNACK_311, keep_open=True)
    connection, _ = connect(BrokerOptions(port=server.port))
    wait_for(lambda: connection.connected)
    assert server.levels == [5, 4]


def test_a_broker_that_closes_once_before_it_answers_may_still_speak_5(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(b"", CONNACK_5, keep_open=False)
    _, trace = connect(BrokerOptions(port=server.port))
    wait_for(lambda: trace.events)
    assert server.levels[:2] == [5, 5]


def test_a_broker_that_closes_twice_before_it_answers_is_tried_with_3_1_1(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(b"", b"", CONNACK_311)
    _, trace = connect(BrokerOptions(port=server.port))
    wait_for(lambda: trace.events)
    assert server.levels[:3] == [5, 5, 4]


def test_a_protocol_that_is_set_is_the_only_one_tried(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(b"")
    connect(BrokerOptions(port=server.port, protocol="5"))
    wait_for(lambda: len(server.levels) >= 4)
    assert set(server.levels) == {5}


def test_a_server_that_never_answers_is_given_up_and_tried_again(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(None, CONNACK_5)
    connection, trace = connect(BrokerOptions(port=server.port, connect_timeout_s=0.3))
    wait_for(lambda: "no answer within" in connection.detail)
    wait_for(lambda: trace.events)


@pytest.mark.parametrize(
    "answer",
    ["20 02 00 09", "20", "20 ff ff ff ff 7f", "ff 00", "30 05 00 01 ff 00 00", "20 00", "00"],
)
def test_garbage_instead_of_an_answer_ends_the_attempt_and_not_the_connection(
    answer: str, scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(bytes.fromhex(answer), bytes.fromhex(answer), CONNACK_5)
    _, trace = connect(BrokerOptions(port=server.port, protocol="5"))
    wait_for(lambda: trace.events)
