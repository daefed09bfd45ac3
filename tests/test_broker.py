"""The broker connection, against real mosquitto, amqtt, and brokers that misbehave byte by byte."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import paho.mqtt.properties as mqtt_properties
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from pydantic import SecretStr

from edge_agent.errors import BadInput
from edge_agent.mqtt.broker import (
    BrokerOptions,
    Connection,
    Message,
    Subscription,
    TlsOptions,
    Will,
)
from edge_agent.mqtt.properties import publish_properties
from edge_agent.mqtt.routes import matches
from tests.conftest import Mosquitto, Recorder, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import WaitFor


class Trace:
    """What a connection told its owner, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.acks: list[tuple[Any, str | None]] = []

    def connected(self) -> None:
        self.events.append("connected")

    def lost(self) -> None:
        self.events.append("lost")

    def acked(self, token: Any, reason: str | None) -> None:
        self.acks.append((token, reason))


MosquittoWith: TypeAlias = "Callable[[str], Mosquitto]"
Connect: TypeAlias = "Callable[..., tuple[Connection, Trace]]"


@pytest.fixture
def connect() -> Iterator[Callable[..., tuple[Connection, Trace]]]:
    """Open connections; each is stopped at the end of the test."""
    opened: list[Connection] = []

    def start(options: BrokerOptions, **rest: Any) -> tuple[Connection, Trace]:
        trace = Trace()
        connection = Connection(
            options,
            f"client-{len(opened)}",
            on_connected=trace.connected,
            on_lost=trace.lost,
            on_acked=trace.acked,
            rng=random.Random(0),
            **rest,
        )
        opened.append(connection)
        connection.start()
        return connection, trace

    yield start
    for connection in opened:
        connection.stop()


def at(broker: Mosquitto, **rest: Any) -> BrokerOptions:
    return BrokerOptions(host=broker.host, port=broker.port, **rest)


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


def test_received_messages_go_to_every_handler_whose_topic_matches(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    exact: list[Message] = []
    wild: list[Message] = []
    connection, _ = connect(
        at(mosquitto),
        subscriptions=[
            Subscription("in/1", 1, exact.append),
            Subscription("in/2", 0, wild.append),
            Subscription("in/1", 0, wild.append),
        ],
    )
    wait_for(lambda: connection.connected)
    properties = mqtt_properties.Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "answer"
    properties.CorrelationData = b"42"
    mqtt_client.publish("in/1", b"x", properties=properties)
    mqtt_client.publish("in/2", b"y")
    wait_for(lambda: len(wild) == 2)
    assert exact == [
        Message("in/1", b"x", retain=False, response_topic="answer", correlation=b"42")
    ]
    assert [message.topic for message in wild] == ["in/1", "in/2"]


def test_a_retained_message_is_marked_as_such(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    mqtt_client.publish("cmd", b"old", retain=True)
    heard: list[Message] = []
    connect(at(mosquitto), subscriptions=[Subscription("#", 1, heard.append)])
    assert wait_for(lambda: heard)[0].retain


def test_a_killed_broker_is_reported_at_once_and_the_connection_comes_back(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    connection, trace = connect(at(mosquitto), subscriptions=[Subscription("in", 1, heard.append)])
    wait_for(lambda: connection.connected)
    mosquitto.stop(signal.SIGKILL)
    wait_for(lambda: trace.events == ["connected", "lost"])
    assert not connection.connected
    assert connection.detail
    mosquitto.start()
    wait_for(lambda: trace.events == ["connected", "lost", "connected"])
    assert connection.publish("in", b"to myself")
    assert wait_for(lambda: heard)[0].payload == b"to myself"


def test_what_a_lost_connection_held_is_not_sent_again_behind_our_back(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    connection, trace = connect(at(mosquitto))
    wait_for(lambda: connection.connected)
    os.kill(mosquitto.pid, signal.SIGSTOP)
    assert connection.publish("a", b"held", token=1)
    mosquitto.stop(signal.SIGKILL)
    wait_for(lambda: trace.events == ["connected", "lost"])
    mosquitto.start()
    recorder = Recorder(mosquitto.host, mosquitto.port)
    recorder.subscribe("a")
    wait_for(lambda: connection.connected)
    connection.publish("a", b"new", token=2)
    wait_for(lambda: recorder.messages)
    recorder.close()
    assert recorder.payloads("a") == [b"new"]
    wait_for(lambda: trace.acks)
    assert trace.acks == [(2, None)]


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


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_received_message_over_the_limit_never_fills_memory(
    protocol: str, mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    connection, trace = connect(
        at(mosquitto, protocol=protocol, max_packet_bytes=100_000),
        subscriptions=[Subscription("in", 1, heard.append)],
    )
    wait_for(lambda: connection.connected)
    mqtt_client.publish("in", b"x" * 30_000_000)
    if protocol == "3.1.1":  # MQTT 5 brokers know the limit and do not send it
        wait_for(lambda: trace.events == ["connected", "lost", "connected"])
        assert connection.counters.totals() == {"received_too_large": 1}
    mqtt_client.publish("in", b"small")
    wait_for(lambda: heard)
    assert [message.payload for message in heard] == [b"small"]


def test_a_frozen_broker_is_seen(mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor) -> None:
    connection, trace = connect(at(mosquitto, keepalive_s=2))
    wait_for(lambda: connection.connected)
    os.kill(mosquitto.pid, signal.SIGSTOP)
    wait_for(lambda: trace.events == ["connected", "lost"])
    os.kill(mosquitto.pid, signal.SIGCONT)
    wait_for(lambda: connection.connected)


def test_a_frozen_broker_is_seen_while_we_publish_too(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    connection, trace = connect(at(mosquitto, keepalive_s=2))
    wait_for(lambda: connection.connected)
    os.kill(mosquitto.pid, signal.SIGSTOP)

    def lost_while_publishing() -> bool:
        connection.publish("a", b"x" * 1000, qos=0)
        return trace.events == ["connected", "lost"]

    wait_for(lost_while_publishing)


def test_a_handler_that_meets_bad_input_costs_only_that_message(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    heard: list[bytes] = []

    def handle(message: Message) -> None:
        if message.payload == b"bad":
            raise BadInput("truncated")
        heard.append(message.payload)

    connection, trace = connect(at(mosquitto), subscriptions=[Subscription("in", 1, handle)])
    wait_for(lambda: connection.connected)
    mqtt_client.publish("in", b"bad")
    mqtt_client.publish("in", b"good")
    wait_for(lambda: heard == [b"good"])
    assert trace.events == ["connected"]
    assert connection.counters.totals() == {"handler_refused": 1}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_handler_is_reported_and_the_connection_opens_again(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    heard: list[bytes] = []

    def handle(message: Message) -> None:
        heard.append(message.payload)
        if message.payload == b"bug":
            raise KeyError("bug")

    connection, trace = connect(at(mosquitto), subscriptions=[Subscription("in", 0, handle)])
    wait_for(lambda: connection.connected)
    mqtt_client.publish("in", b"bug", qos=0)
    wait_for(lambda: trace.events == ["connected", "lost", "connected"])
    mqtt_client.publish("in", b"good")
    wait_for(lambda: heard == [b"bug", b"good"])


def test_the_will_is_published_when_the_process_vanishes(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("status")
    program = """
import sys, time
from edge_agent.mqtt.broker import BrokerOptions, Connection, Will
connection = Connection(
    BrokerOptions(port=int(sys.argv[1])), "mortal", will=Will("status", b"offline"),
    on_connected=lambda: print("up", flush=True),
)
connection.start()
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(mosquitto.port)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    wait_for(lambda: mqtt_client.payloads("status") == [b"offline"])


def test_a_clean_stop_flushes_what_was_published_and_sends_no_will(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("#")
    connection, trace = connect(at(mosquitto), will=Will("status", b"will"))
    wait_for(lambda: connection.connected)
    for index in range(10):
        connection.publish("a", b"%d" % index)
    connection.stop()
    wait_for(lambda: len(mqtt_client.messages) == 10)
    mqtt_client.publish("end", b"")
    wait_for(lambda: mqtt_client.messages[-1].topic == "end")
    assert mqtt_client.payloads("status") == []
    assert trace.events == ["connected", "lost"]
    assert connection.detail == "stopped"


def test_a_session_that_outlives_the_connection_keeps_messages_for_us(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    subscriptions = [Subscription("cmd", 1, heard.append)]
    options = at(mosquitto)
    first = Connection(options, "same", subscriptions=subscriptions, session_expiry_s=60)
    first.start()
    wait_for(lambda: first.connected)
    first.stop()
    mqtt_client.publish("cmd", b"while away")
    second = Connection(options, "same", subscriptions=subscriptions, session_expiry_s=60)
    second.start()
    wait_for(lambda: heard)
    second.stop()
    assert heard[0].payload == b"while away"


def test_a_wrong_password_is_told_apart_from_an_absent_broker(
    tmp_path: Path, mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    broker = mosquitto_with(f"password_file {password_file_of_broker(tmp_path)}")
    wrong, _ = connect(at(broker, username="agent", password=SecretStr("guess")))
    absent, _ = connect(BrokerOptions(port=free_port()))
    wait_for(lambda: "not authorized" in wrong.detail)
    wait_for(lambda: "refused" in absent.detail)
    assert not wrong.connected


def test_a_password_file_is_read_again_at_each_attempt(
    tmp_path: Path, mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    broker = mosquitto_with(f"password_file {password_file_of_broker(tmp_path)}")
    secret = tmp_path / "secret"
    connection, _ = connect(at(broker, username="agent", password_file=secret))
    wait_for(lambda: "No such file" in connection.detail)
    secret.write_text("guess\n")
    wait_for(lambda: "not authorized" in connection.detail)
    secret.write_text("right\n")
    wait_for(lambda: connection.connected)


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_client_certificates_both_ways(
    tmp_path: Path, mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    make_certificates(tmp_path)
    broker = mosquitto_with(
        f"allow_anonymous true\ncafile {tmp_path}/ca.crt\ncertfile {tmp_path}/broker.crt\n"
        f"keyfile {tmp_path}/broker.key\nrequire_certificate true"
    )
    ours = {"cert_file": tmp_path / "agent.crt", "key_file": tmp_path / "agent.key"}
    good, _ = connect(at(broker, tls=TlsOptions(ca_file=tmp_path / "ca.crt", **ours)))
    wait_for(lambda: good.connected)
    without, _ = connect(at(broker, tls=TlsOptions(ca_file=tmp_path / "ca.crt")))
    stranger, _ = connect(at(broker, tls=TlsOptions(**ours)))
    missing, _ = connect(at(broker, tls=TlsOptions(ca_file=tmp_path / "absent.crt")))
    wait_for(lambda: "certificate verify failed" in stranger.detail)
    wait_for(lambda: "absent.crt" in missing.detail)
    wait_for(lambda: without.detail not in {"", "connecting"})
    assert not without.connected
    assert not stranger.connected


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


# ---------------------------------------------------------------- brokers that misbehave


CONNACK_5 = bytes.fromhex("20 03 00 00 00")
CONNACK_311 = bytes.fromhex("20 02 00 00")


class Scripted:
    """A TCP server that answers the n-th connection's first packet with the n-th script's bytes.

    A script None never answers; after b"" the connection is closed. The last script repeats.
    """

    def __init__(self, *scripts: bytes | None, keep_open: bool = False) -> None:
        self.levels: list[int] = []
        self._scripts = list(scripts)
        self._keep_open = keep_open
        self._held: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()
        for held in self._held:
            held.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            packet = client.recv(4096)
            self.levels.append(packet[packet.index(b"MQTT") + 4])
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            if script:
                client.sendall(script)
            if script is None or self._keep_open:
                self._held.append(client)
            else:
                client.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    servers: list[Scripted] = []

    def start(*scripts: bytes | None, keep_open: bool = False) -> Scripted:
        servers.append(Scripted(*scripts, keep_open=keep_open))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


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
        assert not life.publish("a", b"x", qos=0, retain=False, properties=None, token=None)
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
    assert not life.publish("a", b"x", qos=0, retain=False, properties=None, token=None)
    wait_for(lambda: "lost" in trace.events)


def test_a_refused_subscription_is_named_while_the_rest_works(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    suback = bytes.fromhex("90 04 00 01 01 80")
    server = scripted(CONNACK_311 + suback, keep_open=True)
    subscriptions = [Subscription(topic, 1, lambda _: None) for topic in ("mine", "secret")]
    connection, _ = connect(
        BrokerOptions(port=server.port, protocol="3.1.1"), subscriptions=subscriptions
    )
    wait_for(lambda: connection.connected)
    assert connection.detail == "not allowed to subscribe to secret"


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


def test_stop_returns_in_time_while_a_broker_stays_silent(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(None)
    connection, _ = connect(BrokerOptions(port=server.port))
    wait_for(lambda: server.levels)
    connection.stop(timeout_s=60)
    assert connection.detail == "stopped"


# ---------------------------------------------------------------- the pure parts


@pytest.mark.parametrize(
    ("pattern", "topic", "match"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("+/b", "/b", True),
        ("#", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/b/#", "a", False),
    ],
)
def test_wildcards_match_as_the_specification_says(
    pattern: str, topic: str, *, match: bool
) -> None:
    assert matches(pattern, topic) is match


PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)


@given(content_type=PLAIN, pairs=st.lists(st.tuples(PLAIN, PLAIN), max_size=8))
def test_packed_properties_are_read_back_by_paho(
    content_type: str, pairs: list[tuple[str, str]]
) -> None:
    packed = publish_properties(content_type, pairs)
    if packed is None:
        assert not content_type
        assert not pairs
        return
    read = mqtt_properties.Properties(PacketTypes.PUBLISH)
    read.unpack(packed.pack())
    assert getattr(read, "ContentType", "") == content_type
    assert getattr(read, "UserProperty", []) == pairs


def test_text_that_a_broker_would_close_over_is_cleaned() -> None:
    packed = publish_properties("a\x00b", [("\ud800", "x")])
    assert packed is not None
    assert packed.pack() == b"\x0c\x03\x00\x02ab\x26\x00\x01?\x00\x01x"


@pytest.mark.parametrize(
    "wrong", [{"port": 0}, {"keepalive_s": 61}, {"protocol": "4"}, {"user": "x"}, {"host": ""}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BrokerOptions(**wrong)


def password_file_of_broker(folder: Path) -> Path:
    path = folder / "passwords"
    path.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(path), "agent", "right"], check=True)
    return path


def make_certificates(folder: Path) -> None:
    """Make a CA, and certificates by it for the broker and the agent."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl(
        folder, "req", "-x509", *key, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt"
    )
    for name in ("broker", "agent"):
        sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
        openssl(folder, "req", "-x509", *key, *sign, "-subj", f"/CN={name}", *files)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
