"""Alerts on a real connection: what was not told is told once there is one."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from edge_agent.delivery import publisher as publishing
from edge_agent.reporting.alerts import Alerts, Said
from edge_agent.reporting.subjects import Subject
from edge_agent.reporting.topics import topics
from tests.conftest import Recorder
from tests.publisher.conftest import DEVICE, ROOT, MosquittoWith, Start, read, stop

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Mosquitto, WaitFor

TOPIC = f"{ROOT}/qc/camera/alert"
DRIFT, PRODUCT = Subject("qc", "camera", "drift"), Subject("qc", "camera", "product")
SO = Said("so")


def opened(folder: Path) -> Alerts:
    alerts = Alerts(topics(DEVICE), folder / "alerts.json")
    alerts.watch(frozenset({DRIFT, PRODUCT}))
    return alerts


def test_what_the_broker_refuses_is_told_of_and_sent_again_while_connected(
    tmp_path: Path,
    mosquitto_with: MosquittoWith,
    start: Start,
    wait_for: WaitFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "STATUS_EVERY_S", 0.1)
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite #\ntopic deny {TOPIC}\n")
    broker = mosquitto_with(f"allow_anonymous true\nacl_file {acl}")
    alerts = opened(tmp_path)
    _, publisher = start(broker, on_shown=[alerts.taken])
    alerts.start(publisher.state)
    alerts.raise_(DRIFT, SO)
    wait_for(lambda: publisher.detail == f"refused: {TOPIC}")
    alerts.clear(DRIFT, SO)  # waits behind it
    acl.write_text("topic readwrite #\n")
    client = Recorder(broker.host, broker.port)
    client.subscribe("#")
    os.kill(broker.pid, signal.SIGHUP)  # reads it again, and closes no connection
    wait_for(lambda: len(client.payloads(TOPIC)) == 2)
    assert [each["alert"] for each in read(client, TOPIC)] == ["raised", "cleared"]
    wait_for(lambda: publisher.detail == "")
    alerts.close()
    client.close()


def test_changes_without_a_connection_come_in_order_once_there_is_one(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(TOPIC)

    def heard() -> list[tuple[str, str]]:
        return [(each["kind"], each["alert"]) for each in read(mqtt_client, TOPIC)]

    alerts = opened(tmp_path)
    outbox, publisher = start(mosquitto, on_shown=[alerts.taken])
    alerts.start(publisher.state)
    alerts.raise_(DRIFT, SO)
    wait_for(lambda: heard() == [("drift", "raised")])
    publisher.drain(60)
    stop(outbox, publisher)
    alerts.clear(DRIFT, SO)
    alerts.raise_(PRODUCT, SO)
    alerts.raise_(DRIFT, SO)
    alerts.close()
    alerts = opened(tmp_path)
    _, publisher = start(mosquitto, on_shown=[alerts.taken])
    alerts.start(publisher.state)
    news = [("drift", "cleared"), ("product", "raised"), ("drift", "raised")]
    wait_for(lambda: heard()[1:] == news)
    assert len({each["id"] for each in read(mqtt_client, TOPIC)}) == 3
    alerts.close()
