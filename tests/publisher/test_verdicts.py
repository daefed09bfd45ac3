"""Verdicts on their way from the outbox to consumers."""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import TYPE_CHECKING, Any

from edge_agent.delivery import publisher as publishing
from edge_agent.delivery.refused import RefusedVerdicts
from tests.conftest import Recorder
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Mosquitto, WaitFor

from tests.publisher.conftest import ROOT, VERDICTS, MosquittoWith, Start, last_run, read, seqs


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
    assert publisher.drain(60) == 0
    assert outbox.flush(60)
    assert outbox.pending(0, 1 << 62, 10) == []


def test_a_machines_fail_is_no_defect_and_has_no_last(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/+/+/+")
    outbox, publisher = start(mosquitto)
    outbox.append([verdict(1, "fail", family="pdm", pipeline="motor")])
    wait_for(lambda: mqtt_client.payloads(f"{ROOT}/pdm/motor/verdict"))
    assert publisher.drain(60) == 0
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


def test_of_a_pipeline_that_is_gone_verdicts_still_come_and_none_is_retained(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    outbox, publisher = start(mosquitto)
    publisher.display(frozenset({"other"}))
    outbox.append([verdict(1), dataclasses.replace(verdict(2), pipeline="other")])
    wait_for(lambda: mqtt_client.payloads(f"{ROOT}/qc/other/last"))
    assert seqs(mqtt_client) == [1]
    assert not mqtt_client.payloads(f"{ROOT}/qc/camera/last")


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
    assert publisher.drain(60) == 0


def test_a_refused_verdict_is_parked_named_and_sent_after_it_is_allowed(
    tmp_path: Path,
    mosquitto_with: MosquittoWith,
    start: Start,
    wait_for: WaitFor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite {ROOT}/#\ntopic deny {VERDICTS}\n")
    broker = mosquitto_with(f"allow_anonymous true\nacl_file {acl}")
    outbox, publisher = start(broker)
    outbox.append([verdict(0), verdict(1, family="pdm"), verdict(2)])
    wait_for(lambda: outbox.parked_depth == 2)
    assert outbox.depth == 2
    refusals = [text for text in caplog.messages if "refuses" in text]
    assert refusals == [f"publisher: the broker refuses {VERDICTS}: not authorized"]
    assert publisher.counters.totals()["parked"] == 2
    broker.stop()
    acl.write_text(f"topic readwrite {ROOT}/#\n")
    broker.start()
    wait_for(lambda: outbox.depth == 0)
    assert publisher.counters.totals()["parked"] == 2


def test_refused_verdicts_come_once_the_broker_takes_others_of_their_topic(
    tmp_path: Path,
    mosquitto_with: MosquittoWith,
    start: Start,
    wait_for: WaitFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "STATUS_EVERY_S", 0.1)
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite #\ntopic deny {VERDICTS}\n")
    broker = mosquitto_with(f"allow_anonymous true\nacl_file {acl}")
    client = Recorder(broker.host, broker.port)
    client.subscribe("#")
    outbox, publisher = start(broker)
    outbox.append([verdict(0), verdict(1)])
    wait_for(lambda: outbox.parked_depth == 2)
    acl.write_text("topic readwrite #\n")
    os.kill(broker.pid, signal.SIGHUP)  # reads it again, and closes no connection
    outbox.append([verdict(2, family="pdm")])
    wait_for(lambda: outbox.depth == 2)
    assert outbox.parked_depth == 2, "that another topic is taken is no sign"
    outbox.append([verdict(3)])
    wait_for(lambda: outbox.depth == 0)
    found = {each["id"]: each["replay"] for each in read(client, VERDICTS)}
    assert found == {"0": True, "1": True, "3": False}
    assert publisher.connected
    client.close()


def test_a_verdict_that_is_refused_itself_is_offered_ever_more_seldom() -> None:
    refused = RefusedVerdicts()
    tried_s: list[int] = []
    for now_s in range(86_400):
        refused.answered("a", refused=not tried_s or tried_s[-1] == now_s - 1)
        refused.answered("a", refused=False)  # the next one of its topic is taken
        if refused.offer_again(now_s):
            tried_s.append(now_s)
    assert tried_s[:4] == [0, 5, 15, 35]
    assert len(tried_s) < 40


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
