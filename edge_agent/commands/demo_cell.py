"""The demo's simulated cell: a camera over a conveyor, and a motor that vibrates over MQTT."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from edge_agent.cell import motor
from edge_agent.mqtt.broker import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.mqtt.broker_options import BrokerOptions

TOPIC = "demo/motor/vibration"
RATE_HZ = 8192.0
BLOCK_S = 0.05
SEED = 7
# A bearing that is worn out within a minute, so that nobody waits long to see it.
LIFE = motor.Life(length_s=45.0, onset_s=12.0)


def pipelines(models: Path) -> dict[str, Any]:
    """Return the demo's pipelines as they stand in a config file."""
    return {
        "conveyor": {
            "family": "qc",
            "model": str(models / "conveyor-parts"),
            "source": {"kind": "simulator", "scene": "conveyor", "fps": 5.0, "seed": SEED},
        },
        "motor": {
            "family": "pdm",
            "model": str(models / "motor-bearing"),
            "source": {
                "kind": "mqtt_sensor",
                "topic": TOPIC,
                "format": "float32",
                "columns": list(motor.CHANNELS),
            },
        },
    }


@contextlib.contextmanager
def sensors(broker: BrokerOptions) -> Iterator[None]:
    """Publish the motor's vibration, as a sensor on the machine would."""
    stopping = threading.Event()
    connection = Connection(broker, "demo-motor")
    thread = threading.Thread(target=_vibrate, args=(connection, stopping), daemon=True)
    connection.start()
    thread.start()
    yield
    stopping.set()
    thread.join()
    connection.stop()


def _vibrate(connection: Connection, stopping: threading.Event) -> None:
    machine = motor.Motor(SEED, RATE_HZ, life=LIFE)
    due_s = time.monotonic()
    samples = int(RATE_HZ * BLOCK_S)
    while not stopping.wait(max(0.0, due_s - time.monotonic())):
        block = machine.block(samples)
        connection.publish(TOPIC, block.samples.astype("<f4").tobytes(), qos=0)
        due_s += samples / RATE_HZ
