"""The demo on real recordings: photos of ball screws, and turbofan engines near their end.

Both are of positions and engines that the shipped models were not trained on (docs/models.md).
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.commands.replayer import Replay, replay
from edge_agent.errors import EdgeAgentError
from edge_agent.sensing.recordings import RecordingLayout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.mqtt.broker_options import BrokerOptions

PHOTOS = Path("bsdata/images")
# Kept out of training by tools/datasets/ballscrew.py: every third position.
POSITIONS = ("395000_270", "437500_315", "560000_000")
ENGINES = Path("cmapss/test_FD001.txt")
# Test engines whose recording ends at most 20 cycles before their failure (RUL_FD001.txt).
WORN_OUT = frozenset({20, 24, 31, 34, 35, 36, 41, 42, 56, 66, 68, 76, 81, 82, 92, 100})
COLUMNS = ("unit", "cycle", "setting1", "setting2", "setting3", *(f"s{n}" for n in range(1, 22)))
SENSORS = tuple(f"s{n}" for n in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21))
TOPIC = "demo/engines/cycle"
PHOTOS_FPS = 3.0
CYCLES_HZ = 20.0


def pipelines(models: Path, folder: Path, data: Path) -> dict[str, Any]:
    """Return the demo's pipelines as they stand in a config file. Raises EdgeAgentError."""
    photos = folder / "ball-screw"
    photos.mkdir()
    for position in POSITIONS:
        for path in sorted((data / PHOTOS).glob(f"01_*_{position}_crop_*.jpg")):
            _, taken, *_ = path.name.split("_")
            (photos / f"{position}-{taken}.jpg").symlink_to(path.resolve())
    if not any(photos.iterdir()):
        raise EdgeAgentError(f"no photos of ball screws in {data / PHOTOS}")
    return {
        "ball-screw": {
            "family": "qc",
            "model": str(models / "ballscrew-pitting"),
            "source": {
                "kind": "folder",
                "path": str(photos),
                "fps": PHOTOS_FPS,
                "loop": True,
                "part_id": r"(?P<part_id>\d+_\d+-\d+)",
            },
        },
        "turbofan": {
            "family": "pdm",
            "model": str(models / "turbofan-rul"),
            "source": {
                "kind": "mqtt_sensor",
                "topic": TOPIC,
                "channels": {sensor: {"pointer": f"/{sensor}"} for sensor in SENSORS},
                "clock": "index",
                "part_id": "/unit",
                "queue": 64,
            },
        },
    }


@contextlib.contextmanager
def sensors(broker: BrokerOptions, folder: Path, data: Path) -> Iterator[None]:
    """Publish the engines' cycles, one message each, one engine after the other."""
    lines = (data / ENGINES).read_text().splitlines(keepends=True)
    recording = folder / "engines.txt"
    recording.write_text("".join(line for line in lines if int(line.split()[0]) in WORN_OUT))
    options = Replay(
        file=recording,
        topic=TOPIC,
        layout=RecordingLayout(columns=COLUMNS, delimiter=" ", unit="unit"),
        columns=SENSORS,
        rate_hz=CYCLES_HZ,
        loop=True,
    )
    stopping = threading.Event()
    thread = threading.Thread(target=replay, args=(options, broker, stopping), daemon=True)
    thread.start()
    yield
    stopping.set()
    thread.join()
