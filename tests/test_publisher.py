"""The publisher between a real outbox and a real broker: nothing lost, live first, order kept."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import msgspec
import pytest

from edge_agent.config import Device
from edge_agent.delivery.lanes import FETCH_ROWS, LIVE_MOST, SHORT_BACKLOG, Lanes
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.outbox_types import Row
from edge_agent.delivery.outgoing import Publish
from edge_agent.delivery.publisher import Publisher
from edge_agent.delivery.sending import Answered, GapDone, Letter, RowDone, Sending
from edge_agent.mqtt.broker import BrokerOptions, Message, Subscription
from edge_agent.reporting.last_verdicts import LastVerdicts
from tests.conftest import Recorder
from tests.verdicts import AT_NS, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Mosquitto, WaitFor

    MosquittoWith: TypeAlias = Callable[[str], Mosquitto]
    Start: TypeAlias = Callable[..., tuple[Outbox, Publisher]]

DEVICE = Device(enterprise="acme", site="s1", area="a1", line="l1", cell="c1", name="gw1")
ROOT = "acme/s1/a1/l1/c1/edge/gw1"
VERDICTS = f"{ROOT}/qc/camera/verdict"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an outbox and its publisher; `stop` ends both, and so does the end of the test."""
    running: list[tuple[Outbox, Publisher]] = []

    def begin(broker: Mosquitto | FragileBroker, **rest: Any) -> tuple[Outbox, Publisher]:
        outbox = Outbox(
            tmp_path / "outbox.db", max_bytes=rest.pop("max_bytes", 10**8), max_age_s=3600
        )
        options = BrokerOptions(
            host=broker.host,
            port=broker.port,
            keepalive_s=2,
            protocol="3.1.1" if isinstance(broker, FragileBroker) else "auto",
        )
        publisher = Publisher(options, DEVICE, outbox, rng=random.Random(1), **rest)
        running.append((outbox, publisher))
        outbox.start(on_live=publisher.live)
        publisher.start()
        return outbox, publisher

    yield begin
    for outbox, publisher in running:
        stop(outbox, publisher)


def stop(outbox: Outbox, publisher: Publisher) -> None:
    publisher.stop()
    outbox.close()


def read(recorder: Recorder, topic: str = VERDICTS) -> list[dict[str, Any]]:
    return [msgspec.json.decode(payload) for payload in recorder.payloads(topic)]


def seqs(recorder: Recorder, topic: str = VERDICTS) -> list[int]:
    return [message["seq"] for message in read(recorder, topic)]


def last_run(folder: Path, count: int, max_bytes: int = 10**8) -> None:
    """Leave `count` verdicts in the outbox."""
    outbox = Outbox(folder / "outbox.db", max_bytes=max_bytes, max_age_s=3600)
    outbox.start()
    outbox.append(verdict(n) for n in range(count))
    assert outbox.flush(5)
    outbox.close()


def test_every_verdict_is_published_in_order_and_then_forgotten(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    outbox, publisher = start(mosquitto)
    wait_for(lambda: publisher.connected)
    outbox.append(verdict(n, "fail" if n % 10 == 0 else "pass") for n in range(1000))
    wait_for(lambda: len(mqtt_client.payloads(VERDICTS)) == 1000)
    assert seqs(mqtt_client) == list(range(1, 1001))
    assert seqs(mqtt_client, f"{ROOT}/qc/camera/defect") == list(range(1, 1001, 10))
    assert publisher.drain(5) == 0
    assert outbox.flush(5)
    assert outbox.pending(0, 1 << 62, 10) == []


def test_a_machines_fail_is_no_defect_and_has_no_last(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/+/+/+")
    outbox, publisher = start(mosquitto)
    outbox.append([verdict(1, "fail", family="pdm", pipeline="motor")])
    wait_for(lambda: mqtt_client.payloads(f"{ROOT}/pdm/motor/verdict"))
    assert publisher.drain(5) == 0
    mqtt_client.publish(f"{ROOT}/a/b/end", b"")
    wait_for(lambda: mqtt_client.payloads(f"{ROOT}/a/b/end"))
    assert {heard.topic for heard in mqtt_client.messages} == {
        f"{ROOT}/pdm/motor/verdict",
        f"{ROOT}/a/b/end",
    }


def test_a_verdict_carries_cloud_event_attributes_and_is_not_retained(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(VERDICTS)
    outbox, _ = start(mosquitto)
    outbox.append([verdict(7)])
    heard = wait_for(lambda: mqtt_client.messages)[0]
    assert not heard.retain
    assert heard.properties is not None
    properties: Any = heard.properties
    assert properties.ContentType == "application/json"
    assert dict(properties.UserProperty) == {
        "specversion": "1.0",
        "type": "edge-agent.verdict.v1",
        "source": ROOT,
        "id": "7",
        "time": "2026-01-02T03:04:05.698Z",
    }


def test_the_newest_verdict_is_retained_for_displays(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/qc/+/last")
    outbox, _ = start(mosquitto)
    outbox.append(verdict(n) for n in range(500))
    wait_for(lambda: seqs(mqtt_client, f"{ROOT}/qc/camera/last")[-1:] == [500])
    shown = seqs(mqtt_client, f"{ROOT}/qc/camera/last")
    assert len(shown) < 100, "a display needs no more than a few a second"
    assert all(heard.retain for heard in mqtt_client.messages)


def test_what_the_last_run_left_is_sent_as_replay_before_the_new(
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    tmp_path: Path,
    start: Start,
    wait_for: WaitFor,
) -> None:
    mqtt_client.subscribe(VERDICTS)
    last_run(tmp_path, 50)
    outbox, publisher = start(mosquitto)
    wait_for(lambda: publisher.connected)
    outbox.append(verdict(n) for n in range(50, 60))
    wait_for(lambda: len(mqtt_client.messages) >= 60)
    assert seqs(mqtt_client) == list(range(1, 61))
    assert [message["replay"] for message in read(mqtt_client)][:50] == [True] * 50
    assert publisher.drain(5) == 0


class FragileBroker:
    """A broker of MQTT 3.1.1 that keeps what it has acknowledged, and breaks `breaks` connections.

    It closes after a random number of messages, the last of them read and not acknowledged.
    """

    host = "127.0.0.1"

    def __init__(self, rng: random.Random, *, breaks: int) -> None:
        self._breaks = breaks
        self.acknowledged: list[list[bytes]] = []
        self._rng = rng
        self._server = socket.create_server((self.host, 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(60)

    def verdicts(self) -> list[list[dict[str, Any]]]:
        """Return the verdicts of each connection."""
        return [[msgspec.json.decode(text) for text in life] for life in list(self.acknowledged)]

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            life: list[bytes] = []
            self.acknowledged.append(life)
            with client, client.makefile("rb") as packets, contextlib.suppress(OSError):
                self._talk(client, packets, life)

    def _talk(self, client: socket.socket, packets: BinaryIO, life: list[bytes]) -> None:
        left, silent = self._rng.randrange(50, 300), self._rng.randrange(0, 60)
        if len(self.acknowledged) > self._breaks:
            left, silent = -1, -2
        while left and (packet := read_packet(packets)):
            kind, body = packet
            if kind >> 4 == 1:
                client.sendall(b"\x20\x02\x00\x00")
            elif kind >> 4 == 12:
                client.sendall(b"\xd0\x00")
            elif kind >> 4 == 3:
                left -= 1
                end = 2 + int.from_bytes(body[:2], "big")
                if left >= silent or silent < 0:
                    if body[2:end].decode() == VERDICTS:
                        life.append(body[end + 2 :])
                    client.sendall(b"\x40\x02" + body[end : end + 2])


def read_packet(packets: BinaryIO) -> tuple[int, bytes] | None:
    head = packets.read(1)
    if not head:
        return None
    length, shift = 0, 0
    while True:
        digit = packets.read(1)[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return head[0], packets.read(length)


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
        assert outbox.flush(10)
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
    assert publisher.drain(5) == 0
    mqtt_client.close()


def test_a_refused_verdict_is_parked_named_and_sent_after_it_is_allowed(
    tmp_path: Path, mosquitto_with: MosquittoWith, start: Start, wait_for: WaitFor
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite {ROOT}/#\ntopic deny {VERDICTS}\n")
    broker = mosquitto_with(f"allow_anonymous true\nacl_file {acl}")
    refusals: list[tuple[str, str]] = []
    outbox, publisher = start(broker, on_refused=lambda *what: refusals.append(what))
    outbox.append([verdict(0), verdict(1, family="pdm"), verdict(2)])
    wait_for(lambda: outbox.parked_depth == 2)
    assert outbox.depth == 2
    assert refusals == [(VERDICTS, "not authorized")]
    assert publisher.counters.totals()["parked"] == 2
    broker.stop()
    acl.write_text(f"topic readwrite {ROOT}/#\n")
    broker.start()
    wait_for(lambda: outbox.depth == 0)
    assert publisher.counters.totals()["parked"] == 2


def test_gap_records_are_published_until_they_are_acknowledged(
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    tmp_path: Path,
    start: Start,
    wait_for: WaitFor,
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    last_run(tmp_path, 500, max_bytes=50_000)
    outbox, _ = start(mosquitto, max_bytes=50_000)
    wait_for(lambda: outbox.depth == 0)
    wait_for(lambda: outbox.flush(1) and not outbox.pending_gaps(0, 10))
    wait_for(lambda: 500 in seqs(mqtt_client))
    records = read(mqtt_client, f"{ROOT}/gap")
    lost = {
        seq
        for record in records
        for first, last in record["ranges"]
        for seq in range(first, last + 1)
    }
    assert sum(record["count"] for record in records) == len(lost)
    assert lost | set(seqs(mqtt_client)) == set(range(1, 501))


def test_status_is_online_then_offline_and_retained(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/status")
    outbox, publisher = start(mosquitto)
    wait_for(lambda: mqtt_client.messages)
    stop(outbox, publisher)
    wait_for(lambda: read(mqtt_client, f"{ROOT}/status")[-1]["status"] == "offline")
    first, *_, last = read(mqtt_client, f"{ROOT}/status")
    assert (first["status"], first["outbox_depth"], last["reason"]) == ("online", 0, "stopped")
    assert all(heard.retain for heard in mqtt_client.messages)


def test_states_that_change_while_offline_arrive_and_only_the_newest(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mosquitto.stop()
    _, publisher = start(mosquitto)
    for number in range(10):
        publisher.state(f"{ROOT}/qc/camera/stats", b"%d" % number)
    publisher.state(f"{ROOT}/info", b"info")
    for _ in range(2):  # a broker without a disk forgets; it is told again
        mosquitto.start()
        wait_for(mqtt_client.client.is_connected)
        mqtt_client.messages.clear()
        mqtt_client.subscribe(f"{ROOT}/#")
        wait_for(lambda: mqtt_client.payloads(f"{ROOT}/info"))
        wait_for(lambda: mqtt_client.payloads(f"{ROOT}/qc/camera/stats"))
        assert set(mqtt_client.payloads(f"{ROOT}/qc/camera/stats")) == {b"9"}
        mosquitto.stop()
        wait_for(lambda: not publisher.connected)


def test_the_agents_subscriptions_ride_on_the_same_connection(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    _, publisher = start(mosquitto, subscriptions=[Subscription("trigger", 1, heard.append)])
    wait_for(lambda: publisher.connected)
    mqtt_client.publish("trigger", b"part 7")
    assert wait_for(lambda: heard)[0].payload == b"part 7"


def test_drain_returns_what_is_left_when_the_broker_is_away(
    mosquitto: Mosquitto, start: Start
) -> None:
    mosquitto.stop()
    outbox, publisher = start(mosquitto)
    outbox.append([verdict(0), verdict(1)])
    assert outbox.flush(5)
    assert publisher.drain(0.5) == 2


# ---------------------------------------------------------------- lanes


def rows(*numbers: int) -> list[Row]:
    return [Row(number, AT_NS, verdict(number)) for number in numbers]


def stored(kept: list[Row]) -> Lanes:
    def fetch(after_seq: int, up_to: int, limit: int) -> list[Row]:
        return [row for row in kept if after_seq < row.seq <= up_to][:limit]

    return Lanes(fetch)


def take_all(lanes: Lanes, *, backlog_allowed: bool = True) -> list[tuple[int, bool]]:
    taken = iter(lambda: lanes.next(backlog_allowed=backlog_allowed), None)
    return [(one.row.seq, one.replay) for one in taken if one]


def test_a_short_backlog_goes_first_so_that_the_order_is_whole() -> None:
    lanes = stored(rows(1, 2, 3))
    lanes.begin(last_seq=3, depth=3)
    lanes.live(rows(4, 5))
    assert take_all(lanes) == [(1, True), (2, True), (3, True), (4, False), (5, False)]
    assert lanes.empty()


def test_a_long_backlog_waits_for_live_rows_and_for_its_share_of_the_window() -> None:
    kept = rows(*range(1, 301))
    lanes = stored(kept)
    lanes.begin(last_seq=300, depth=SHORT_BACKLOG + 200)
    lanes.live(rows(301, 302))
    assert take_all(lanes, backlog_allowed=False) == [(301, False), (302, False)]
    assert not lanes.empty()
    assert take_all(lanes) == [(number, True) for number in range(1, 301)]


def test_a_row_that_is_backlog_already_is_not_live_too() -> None:
    lanes = stored(rows(1, 2, 3))
    lanes.begin(last_seq=3, depth=3)
    lanes.live(rows(2, 3, 4))
    assert [seq for seq, _ in take_all(lanes)] == [1, 2, 3, 4]


def test_too_many_live_rows_become_backlog_and_none_is_skipped() -> None:
    kept = rows(*range(1, LIVE_MOST + 12))
    lanes = stored(kept)
    lanes.begin(last_seq=0, depth=0)
    lanes.live(kept[:5])
    assert [seq for seq, _ in itertools.islice(take_all(lanes), 5)] == [1, 2, 3, 4, 5]
    lanes.live(kept[5 : LIVE_MOST + 10])
    lanes.live(kept[LIVE_MOST + 10 :])
    taken = take_all(lanes)
    assert sorted(seq for seq, _ in taken) == list(range(6, LIVE_MOST + 12))
    assert [seq for seq, replay in taken if replay] == list(range(6, LIVE_MOST + 11))


def test_a_disk_that_cannot_say_is_asked_again() -> None:
    answers: list[list[Row] | None] = [None, rows(1), []]
    lanes = Lanes(lambda *_: answers.pop(0))
    lanes.begin(last_seq=FETCH_ROWS, depth=1)
    assert lanes.next(backlog_allowed=True) is None
    assert not lanes.empty()
    assert take_all(lanes) == [(1, True)]
    assert lanes.empty()


# ---------------------------------------------------------------- the window


class Network:
    """Takes messages while there is `room`."""

    def __init__(self) -> None:
        self.room = 1000
        self.tokens: list[int] = []

    def send(self, _publish: Publish, token: int) -> bool:
        if len(self.tokens) >= self.room:
            return False
        self.tokens.append(token)
        return True


PUBLISH = Publish("t", b"", retain=False)


def done(answer: Answered | None) -> RowDone | GapDone | None:
    assert answer is not None
    return answer.done


def test_a_row_is_done_when_all_its_messages_are_answered() -> None:
    network = Network()
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=5), Letter(PUBLISH, seq=5), Letter(PUBLISH, gap_id=3)])
    assert sending.push(100)
    first, second, gap = network.tokens
    assert done(sending.answered(second, None)) is None
    assert done(sending.answered(gap, None)) == GapDone(3)
    assert done(sending.answered(first, None)) == RowDone(5, None)
    assert sending.empty()


def test_one_refused_message_refuses_the_row() -> None:
    network = Network()
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=5), Letter(PUBLISH, seq=5)])
    sending.push(100)
    first, second = network.tokens
    assert done(sending.answered(first, "not authorized")) is None
    assert done(sending.answered(second, None)) == RowDone(5, "not authorized")


def test_what_the_network_does_not_take_is_kept_and_sent_once() -> None:
    network = Network()
    network.room = 1
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=1), Letter(PUBLISH, seq=1)])
    assert not sending.push(100)
    network.room = 10
    assert sending.push(100)
    assert len(network.tokens) == 2


def test_the_window_is_never_exceeded_and_a_backlog_leaves_room_in_it() -> None:
    network = Network()
    sending = Sending(network.send)
    sent = 0
    while sending.push(20) and sending.backlog_allowed(20):
        sent += 1
        sending.put([Letter(PUBLISH, seq=sent, replay=True)])
    assert len(network.tokens) == 16
    sending.put(Letter(PUBLISH, seq=100 + n) for n in range(10))
    assert not sending.push(20)
    assert len(network.tokens) == 20
    sending.answered(network.tokens[0], None)
    assert sending.backlog_allowed(20)


def test_an_answer_for_an_earlier_connection_means_nothing() -> None:
    network = Network()
    sending = Sending(network.send)
    sending.put([Letter(PUBLISH, seq=1)])
    sending.push(100)
    sending.begin()
    assert sending.answered(network.tokens[0], None) is None
    assert sending.empty()


def test_a_display_gets_the_newest_row_of_each_pipeline_and_not_too_often() -> None:
    last = LastVerdicts(every_s=0.2)
    for row in rows(1, 2, 3):
        last.note(row)
    assert [row.seq for row in last.due(10.0)] == [3]
    last.note(rows(2)[0])
    assert last.due(11.0) == []
    last.note(rows(4)[0])
    last.note(Row(5, AT_NS, verdict(5, pipeline="other")))
    assert [row.seq for row in last.due(11.0)] == [4, 5]
    last.note(rows(6)[0])
    assert last.due(11.1) == []
    assert [row.seq for row in last.due(11.3)] == [6]
