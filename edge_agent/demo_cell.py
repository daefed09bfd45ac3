"""The demo's simulated cell: a camera over a conveyor, and a motor whose vibration comes by MQTT."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from edge_agent.broker import Connection
from edge_agent.cell import motor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.broker_options import BrokerOptions

TOPIC = "demo/motor/vibration"
BLOCKS_HZ = 20.0
SEED = 7


def pipelines(models: Path, _folder: Path, _data: Path | None) -> dict[str, Any]:
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
