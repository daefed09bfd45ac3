"""Payloads made to do damage, over MQTT, to every kind of input that a pipeline has."""

from __future__ import annotations

import math
import struct
import time
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import pytest
import simplejpeg

from tests.agents import MODELS, workers
from tests.faults.conftest import Finding, Trial
from tests.faults.judging import longest_silence_s, lost, peak_mb
from tests.faults.plant import Consumer, Gateway, camera, pictures, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FPS = 50
MOST_MB = 300
DEEP = 1_000_000
CHANNELS = ("accel_x", "accel_y")


def photo(side: int = 240) -> bytes:
    """Return a JPEG of noise."""
    rng = np.random.default_rng(3)
    return jpeg(rng.integers(0, 256, (side, side, 3), np.uint8))


def jpeg(pixels: Any) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=80, colorspace="BGR")
    return encoded


def declared_larger(picture: bytes, side: int) -> bytes:
    """Return a small JPEG whose header says that it is `side` pixels wide and high."""
    frame = picture.index(b"\xff\xc0")  # SOF0 of ITU-T T.81: length, precision, height, width
    return picture[: frame + 5] + struct.pack(">HH", side, side) + picture[frame + 9 :]


def bombs() -> dict[str, bytes]:
    """Return small files that are enormous pictures."""
    black = np.zeros((8192, 8192, 3), np.uint8)
    bombs = {
        "64-megapixel JPEG": jpeg(black),
        "JPEG that says 65,500 x 65,500": declared_larger(photo(), 65_500),
    }
    for ending in ("png", "webp", "tiff"):
        fine, encoded = cv2.imencode(f".{ending}", black)
        assert fine
        bombs[f"64-megapixel {ending.upper()}"] = encoded.tobytes()
    return bombs


def truncated(count: int) -> list[bytes]:
    whole = photo()
    return [whole[: len(whole) * i // (count + 1)] for i in range(1, count + 1)]


class Target:
    """An agent with a camera, a sensor and a trigger over MQTT, and a pipeline to be left alone."""

    def __init__(self, gateway: Callable[..., Gateway], consumer: Consumer, tmp_path: Path) -> None:
        self.consumer = consumer
        source = {"kind": "mqtt_image", "topic": "in/camera", "queue": 1000, "qos": 1}
        by_mqtt = camera(tmp_path, 1) | {"source": source}
        asked = by_mqtt | {
            "source": {"kind": "mqtt_image", "topic": "in/asked"},
            "trigger": {"topic": "in/trigger", "part_id": "/id", "deadline_ms": 1000.0},
        }
        pipelines = {
            "bystander": camera(pictures(tmp_path / "pictures"), FPS),
            "camera": by_mqtt,
            "asked": asked,
        } | {name: sensor(name) for name in ("json", "msgpack", "float32")}
        self.agent = gateway(pipelines)
        until(lambda: all(self.state(name) == "running" for name in pipelines))
        self.processes = workers(self.agent.pid)
        self.began_s = time.monotonic()

    def state(self, pipeline: str) -> str:
        return str(self.consumer.stats.get(pipeline, {}).get("state", ""))

    def counted(self, pipeline: str) -> int:
        """Return what a pipeline says that it dropped or could not inspect."""
        stats = self.consumer.stats[pipeline]
        return int(stats["dropped"] + stats["errors"])

    def send(self, topic: str, payload: bytes) -> None:
        self.consumer.publish(f"in/{topic}", payload)

    def unharmed(self) -> tuple[float, float]:
        """Check that nobody died; return the bystander's longest silence and the largest RSS."""
        ended_s = time.monotonic()
        assert self.agent.is_running()
        assert workers(self.agent.pid) == self.processes
        silence_s = longest_silence_s(self.consumer.of("bystander"), self.began_s, ended_s)
        largest_mb = max(map(peak_mb, [*self.processes.values(), self.agent.pid]))
        assert largest_mb < MOST_MB
        return silence_s, largest_mb

    def stop(self) -> int:
        """Stop the agent; return how many verdicts were lost."""
        self.agent.stop()
        return len(lost(self.consumer, self.agent))


def sensor(name: str) -> dict[str, Any]:
    columns = list(CHANNELS)
    source = {"kind": "mqtt_sensor", "topic": f"in/{name}", "format": name, "columns": columns}
    model = str(MODELS / "motor-bearing")
    # A worker of its own: one that dies of what it was sent must not hide behind another's.
    return {"family": "pdm", "model": model, "source": source, "worker": name}


@pytest.fixture
def target(gateway: Callable[..., Gateway], consumer: Consumer, tmp_path: Path) -> Target:
    return Target(gateway, consumer, tmp_path)


def test_picture_bombs_and_truncated_pictures_are_error_verdicts_and_take_no_memory(
    target: Target,
    trial: Trial,
) -> None:
    sent = [*bombs().values(), *truncated(200 if trial.full else 20)]
    for payload in sent:
        target.send("camera", payload)
    target.send("camera", photo())
    until(lambda: len(target.consumer.of("camera")) == len(sent) + 1)
    *bad, good = target.consumer.of("camera")
    until(lambda: target.counted("camera") == len(sent))
    silence_s, largest_mb = target.unharmed()
    gone = target.stop()
    trial.note(
        Finding(
            "picture bombs and truncated JPEGs over MQTT",
            len(sent),
            f"{gone} verdicts",
            remark=f"{len(sent)} counted error verdicts, then a good one; another pipeline silent"
            f" for {silence_s:.2f} s at most; largest process {largest_mb:.0f} MB",
        )
    )
    assert all(verdict.verdict == "error" and verdict.reason for verdict in bad)
    assert [v.reason.count("pixels; at most") for v in bad[:3]] == [1, 1, 1]
    assert good.verdict != "error"
    assert gone == 0


def test_hostile_samples_and_triggers_are_counted_and_take_no_memory(
    target: Target,
    trial: Trial,
) -> None:
    times = 20 if trial.full else 2
    nothing = [math.nan] * len(CHANNELS)
    hostile = {
        "json": [
            b"[" * DEEP + b"]" * 10,
            b'{"a":' * (DEEP // 6),
            msgspec.json.encode([[0.125, -0.25]] * 700_000),  # 10 MB
            msgspec.json.encode([[None] * 2] * 1000),
            b"[NaN, NaN]",
        ],
        "msgpack": [
            b"\x91" * DEEP,
            b"\xdd\xff\xff\xff\xff",
            msgspec.msgpack.encode([nothing] * 1000),
        ],
        "float32": [struct.pack("<2f", *nothing) * 100, b"\x00" * 7, b"\xff" * (10 << 20)],
        "trigger": [b"[" * 60_000, b"[" * DEEP, b'{"id":' * 10_000, b"\xff", b"{}", b'{"id": []}'],
    }
    for _ in range(times):
        for topic, payloads in hostile.items():
            for payload in payloads:
                target.send(topic, payload)
    # What cannot be read is counted, and a run of NaN is one error verdict.
    for name, count in (("json", 4), ("msgpack", 2), ("float32", 2)):
        until(lambda n=name, c=count: target.counted(n) > times * c)  # type: ignore[misc]
        (verdict, *_) = target.consumer.of(name)
        assert "not a finite number" in verdict.reason
    target.send("trigger", b'{"id": "last"}')
    # A trigger is answered in any case: with an error where it names no part, or none comes.
    answers = times * len(hostile["trigger"]) + 1
    until(lambda: len(target.consumer.of("asked")) == answers)
    assert all(verdict.reason for verdict in target.consumer.of("asked"))
    silence_s, largest_mb = target.unharmed()
    gone = target.stop()
    trial.note(
        Finding(
            "million-deep and 10 MB JSON, NaN, wrong lengths, as samples and triggers",
            times * sum(map(len, hostile.values())),
            f"{gone} verdicts",
            remark=f"all counted; another pipeline silent for {silence_s:.2f} s at most;"
            f" largest process {largest_mb:.0f} MB",
        )
    )
    assert gone == 0
