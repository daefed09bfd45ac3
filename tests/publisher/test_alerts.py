"""Alerts on a real connection: what was not told is told once there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.reporting.alerts import Alerts, Said
from edge_agent.reporting.subjects import Subject
from edge_agent.reporting.topics import topics
from tests.publisher.conftest import DEVICE, ROOT, Start, read, stop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor

TOPIC = f"{ROOT}/qc/camera/alert"
DRIFT, PRODUCT = Subject("qc", "camera", "drift"), Subject("qc", "camera", "product")
SO = Said("so")


def opened(folder: Path) -> Alerts:
    alerts = Alerts(topics(DEVICE), folder / "alerts.json")
    alerts.watch(frozenset({DRIFT, PRODUCT}))
    return alerts


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
