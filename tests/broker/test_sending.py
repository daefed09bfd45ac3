"""What is published over a connection: it arrives, it is answered, and there is a limit."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.metrics import Counters
from edge_agent.mqtt.broker import BrokerOptions, Connection
from edge_agent.mqtt.broker_options import Plan
from edge_agent.mqtt.client import Life

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mosquitto, Recorder, WaitFor

from tests.broker.conftest import CONNACK_5, Connect, MosquittoWith, Scripted, at


def test_a_published_message_arrives_and_is_acknowledged(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("a/b")
    connection, trace = connect(at(mosquitto))
    wait_for(lambda: connection.connected)
    assert connection.publish("a/b", b"hello", token=7)
    wait_for(lambda: trace.acks)
    wait_for(lambda: mqtt_client.messages)
    assert trace.acks == [(7, None)]
    assert mqtt_client.payloads("a/b") == [b"hello"]
    assert connection.detail == ""


def test_content_type_and_user_properties_reach_a_consumer_on_mqtt_5(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("a")
    connection, _ = connect(at(mosquitto))
    wait_for(lambda: connection.connected)
    properties = [("id", "1"), ("source", "ü" * 100)]
    connection.publish("a", b"x", content_type="application/json", user_properties=properties)
    heard: Any = wait_for(lambda: mqtt_client.messages)[0].properties
    assert heard.ContentType == "application/json"
    assert heard.UserProperty == properties


def test_publish_without_a_connection_says_so_and_keeps_nothing(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("a")
    connection = Connection(at(mosquitto), "later")
    assert not connection.publish("a", b"too early")
    connection.start()
    wait_for(lambda: connection.connected)
    connection.publish("a", b"in time")
    wait_for(lambda: mqtt_client.messages)
    connection.stop()
    assert mqtt_client.payloads("a") == [b"in time"]
    assert not connection.publish("a", b"too late")


def test_a_publish_that_the_broker_refuses_is_reported_with_its_reason(
    tmp_path: Path, mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite allowed/#\n")
    broker = mosquitto_with(f"allow_anonymous true\nacl_file {acl}")
    connection, trace = connect(at(broker))
    wait_for(lambda: connection.connected)
    connection.publish("forbidden", b"x", token="forbidden")
    connection.publish("allowed/1", b"x", token="allowed")
    wait_for(lambda: len(trace.acks) == 2)
    assert dict(trace.acks) == {"forbidden": "not authorized", "allowed": None}
    assert connection.counters.totals() == {"publish_refused": 1}


def test_each_answer_is_taken_for_its_message_and_no_other(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    broker = scripted(CONNACK_5, keep_open=True)
    connection, trace = connect(BrokerOptions(port=broker.port, protocol="5"))
    wait_for(lambda: connection.connected)
    for number in (1, 2, 3, 4):
        connection.publish("a", b"x", token=number)
    broker.say("40 02 00 09")  # nobody has this number
    broker.say("40 03 00 02 fe 40 04 00 01 10 00 40 03 00 03 97 40 02 00 03")
    broker.say("40 02 00 04")
    wait_for(lambda: (4, None) in trace.acks)
    answers = [(2, "reason code 0xfe"), (1, None), (3, "quota exceeded"), (4, None)]
    assert trace.acks == answers
    broker.say("40 01 00")
    wait_for(lambda: trace.events == ["connected", "lost"])


def test_what_a_socket_takes_in_parts_arrives_whole_and_in_order(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("a/#")
    connection, trace = connect(at(mosquitto))
    wait_for(lambda: connection.connected)
    life = connection._open_life
    assert life is not None
    # Ten that are more than the kernel keeps for a connection at both of its ends.
    limits = [Path(f"/proc/sys/net/ipv4/tcp_{end}mem").read_text().split()[2] for end in "rw"]
    size = sum(map(int, limits)) // 10 + 1_000_000
    sent = [[bytes([50 * sender + number]) * size for number in range(5)] for sender in (0, 1)]

    def publish(sender: int) -> None:
        for number, payload in enumerate(sent[sender]):
            assert connection.publish(f"a/{sender}", payload, token=(sender, number))

    os.kill(mosquitto.pid, signal.SIGSTOP)
    senders = [threading.Thread(target=publish, args=(sender,)) for sender in (0, 1)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    assert life._client._out_packet, "the socket has taken all of it"
    os.kill(mosquitto.pid, signal.SIGCONT)
    wait_for(lambda: len(mqtt_client.messages) == 10)
    assert [mqtt_client.payloads(f"a/{sender}") for sender in (0, 1)] == sent
    wait_for(lambda: len(trace.acks) == 10)


def test_a_message_larger_than_the_broker_takes_is_refused_here(
    mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    broker = mosquitto_with("allow_anonymous true\nmax_packet_size 2000")
    connection, trace = connect(at(broker))
    wait_for(lambda: connection.connected)
    assert connection.publish("a", b"x" * 5000, token=1)
    assert trace.acks == [(1, "larger than 2000 bytes")]
    assert connection.connected


def test_no_more_is_handed_over_than_the_broker_takes_unacknowledged(
    mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    broker = mosquitto_with("allow_anonymous true\nmax_inflight_messages 7")
    connection, trace = connect(at(broker))
    wait_for(lambda: connection.connected)
    assert connection.receive_maximum == 7
    os.kill(broker.pid, signal.SIGSTOP)
    taken = [connection.publish("a", b"x", token=index) for index in range(9)]
    os.kill(broker.pid, signal.SIGCONT)
    assert taken == [True] * 7 + [False] * 2
    wait_for(lambda: len(trace.acks) == 7)
    assert connection.publish("a", b"x", token=9)


def test_a_publish_at_the_very_moment_of_a_loss_is_refused_and_never_raises(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    for _ in range(60):
        connection, trace = connect(at(mosquitto))
        wait_for(lambda c=connection: c.connected)  # type: ignore[misc]
        life = connection._open_life
        assert life is not None
        sock = life._client.socket()
        assert isinstance(sock, socket.socket)
        loser = threading.Thread(target=sock.shutdown, args=(socket.SHUT_RDWR,))
        loser.start()
        while "lost" not in trace.events:
            connection.publish("a", b"x", qos=0)
        assert not life.publish("a", b"x", qos=0, retain=False, properties=b"", token=None)
        loser.join()
        connection.stop()


def test_nothing_is_published_after_the_goodbye(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    connection, trace = connect(at(mosquitto))
    wait_for(lambda: connection.connected)
    life = connection._open_life
    assert life is not None
    life.finish()
    assert not life.publish("a", b"x", qos=0, retain=False, properties=b"", token=None)
    wait_for(lambda: "lost" in trace.events)


def test_nothing_gets_into_a_packet_of_which_a_part_is_written(mosquitto: Mosquitto) -> None:
    life = Life(
        Plan(at(mosquitto), "part", (), None, 0),
        lambda *_: None,
        lambda *_: None,
        counters=Counters(),
    )
    queue = life._sending._queue

    class FullSocket:
        """Takes two bytes; meanwhile the loop's thread has a PINGREQ to send."""

        def send(self, packet: bytes) -> int:
            queue(0xC0, b"\xc0\x00", 0, 0)
            return len(packet[:2])

    life._client.socket = FullSocket  # type: ignore[method-assign,assignment]
    assert life._sending.publish(b"\x30\x04\x00\x01ax")
    sent = [packet["packet"][packet["pos"] :] for packet in life._client._out_packet]
    assert sent == [b"\x00\x01ax", b"\xc0\x00"]
