"""The whole agent: real processes, a real broker, real models."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np

from edge_agent.clock import utc_text
from tests.agents import MODELS, ROOT, AgentProcess, workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor

VERDICTS = f"{ROOT}/qc/camera/verdict"


def camera(**more: Any) -> dict[str, Any]:
    """Pictures by MQTT, to a model that this project ships."""
    source = {"kind": "mqtt_image", "topic": "pictures/camera", "queue": 100, "qos": 1}
    model = str(MODELS / "conveyor-parts")
    return {"family": "qc", "model": model, "source": source, "evidence": {"keep": []}} | more


def jpeg(size: int = 240) -> bytes:
    ok, encoded = cv2.imencode(".jpg", np.full((size, size, 3), 127, np.uint8))
    assert ok
    return encoded.tobytes()


def verdicts(client: Recorder, topic: str = VERDICTS) -> list[dict[str, Any]]:
    return [msgspec.json.decode(payload) for payload in client.payloads(topic)]


def is_running(client: Recorder, pipeline: str = "camera") -> bool:
    stats = verdicts(client, f"{ROOT}/qc/{pipeline}/stats")
    return bool(stats) and stats[-1]["state"] == "running"


def test_pictures_become_verdicts_and_broken_ones_become_errors(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    named = {"kind": "mqtt_image", "topic": "parts/+", "part_id_level": 1, "queue": 100, "qos": 1}
    start({"camera": camera(source=named)})
    wait_for(lambda: is_running(mqtt_client))
    mqtt_client.publish("parts/A", jpeg())
    mqtt_client.publish("parts/B", jpeg()[:200])
    mqtt_client.publish("parts/C", jpeg())
    wait_for(lambda: len(verdicts(mqtt_client)) == 3)
    first, second, third = verdicts(mqtt_client)
    assert [each["part_id"] for each in (first, second, third)] == ["A", "B", "C"]
    assert [first["seq"], second["seq"], third["seq"]] == [1, 2, 3]
    assert first["verdict"] == third["verdict"] != "error"
    assert second["verdict"] == "error"
    assert "truncated" in second["reason"] or "undecodable" in second["reason"]
    assert first["latency_ms"] > 0
    assert first["model"] == "conveyor-parts"


def test_everything_accepted_is_published_or_kept_when_the_agent_is_stopped(
    start: Callable[..., AgentProcess],
    mqtt_client: Recorder,
    mosquitto: Mosquitto,
    wait_for: WaitFor,
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    source = {"kind": "simulator", "scene": "conveyor", "realtime": False, "count": 300}
    agent = start({"camera": camera(source=source)})
    wait_for(lambda: len(verdicts(mqtt_client)) > 20)
    os.kill(mosquitto.pid, signal.SIGSTOP)  # from here on, nothing is acknowledged
    seen = len(verdicts(mqtt_client))
    wait_for(lambda: verdicts(mqtt_client)[-1]["seq"] >= seen)
    assert agent.stop() == 0
    os.kill(mosquitto.pid, signal.SIGCONT)
    source["count"] = 1
    restarted = utc_text(time.time_ns())
    again = start({"camera": camera(source=source)})
    wait_for(lambda: any(v["replay"] for v in verdicts(mqtt_client)))
    # The new one is live, and does not wait for a long backlog.
    newest = wait_for(lambda: [v for v in verdicts(mqtt_client) if v["ts"] > restarted])[0]
    assert not newest["replay"]
    numbers = wait_for(lambda: whole(verdicts(mqtt_client)))
    assert newest["seq"] == max(numbers)
    assert again.stop() == 0


def test_of_a_pipeline_that_left_while_the_agent_was_stopped_nothing_stays_retained(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    source = {"kind": "simulator", "scene": "conveyor", "fps": 50.0}
    two = {f"{ROOT}/qc/two/{leaf}" for leaf in ("stats", "last", "source", "drift", "shift")}
    agent = start({"one": camera(), "two": camera(source=source)})
    mqtt_client.subscribe(f"{ROOT}/#")
    wait_for(lambda: two <= {heard.topic for heard in mqtt_client.messages})
    assert agent.stop() == 0
    assert two <= retained(mqtt_client, wait_for)
    start({"one": camera()})
    wait_for(lambda: b"/two/" not in (tmp_path / "state" / "retained.json").read_bytes())
    left = retained(mqtt_client, wait_for)
    assert f"{ROOT}/qc/one/stats" in left
    assert not [topic for topic in left if "/two/" in topic]


def retained(client: Recorder, wait_for: WaitFor) -> set[str]:
    """Return the topics of the device that have a retained message now."""
    client.messages.clear()
    client.subscribe(f"{ROOT}/#")
    client.publish(f"{ROOT}/end", b"what is retained came before")
    wait_for(lambda: client.payloads(f"{ROOT}/end"))
    return {heard.topic for heard in client.messages} - {f"{ROOT}/end"}


def whole(found: list[dict[str, Any]]) -> set[int]:
    """Return the numbers if none is missing, else nothing."""
    numbers = {verdict["seq"] for verdict in found}
    return numbers if numbers == set(range(1, max(numbers) + 1)) else set()


def test_a_killed_agent_gives_no_number_again_and_names_what_may_be_missing(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    source = {"kind": "simulator", "scene": "conveyor", "fps": 50.0}
    agent = start({"camera": camera(source=source)})
    wait_for(lambda: len(verdicts(mqtt_client)) > 20)
    agent.stop(signal.SIGKILL)
    before = max(verdict["seq"] for verdict in verdicts(mqtt_client))
    start({"camera": camera(source=source)})
    wait_for(lambda: max(v["seq"] for v in verdicts(mqtt_client)) > before + 20)
    (gap,) = wait_for(lambda: mqtt_client.payloads(f"{ROOT}/gap"))
    record = msgspec.json.decode(gap)
    assert (record["reason"], record["exact"]) == ("crash", False)
    numbers = {verdict["seq"] for verdict in verdicts(mqtt_client)}
    assert set(range(1, before + 1)) <= numbers
    named = range(record["first_seq"], record["last_seq"] + 1)
    assert numbers | set(named) == set(range(1, max(numbers) + 1))
    assert len({verdict["id"] for verdict in verdicts(mqtt_client)}) == len(numbers)


def test_a_dead_worker_is_an_error_verdict_and_a_state_and_then_comes_back(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    source = {"kind": "simulator", "scene": "conveyor", "fps": 20.0}
    agent = start({"camera": camera(source=source)})
    wait_for(lambda: verdicts(mqtt_client))
    os.kill(workers(agent.pid)["camera"], signal.SIGSEGV)
    wait_for(lambda: [v for v in verdicts(mqtt_client) if "SIGSEGV" in v["reason"]])
    error = next(v for v in verdicts(mqtt_client) if v["verdict"] == "error")
    assert error["reason"] == "worker camera killed by SIGSEGV"
    wait_for(lambda: verdicts(mqtt_client)[-1]["seq"] > error["seq"] + 5)
    wait_for(lambda: verdicts(mqtt_client, f"{ROOT}/qc/camera/stats")[-1]["worker_restarts"] == 1)


def trigger(**more: Any) -> dict[str, Any]:
    return {"topic": "plc/part", "part_id": "/id", "deadline_ms": 3000.0} | more


def test_a_trigger_is_answered_with_the_next_picture(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    # Trigger and picture come over two connections: either may overtake the other a little.
    start({"camera": camera(trigger=trigger(lookback_ms=1000.0))})
    wait_for(lambda: is_running(mqtt_client))
    mqtt_client.publish("plc/part", '{"id": "A"}')
    mqtt_client.publish("pictures/camera", jpeg())
    wait_for(lambda: verdicts(mqtt_client))
    mqtt_client.publish("plc/part", '{"id": "B"}')
    wait_for(lambda: len(verdicts(mqtt_client)) == 2)
    first, second = verdicts(mqtt_client)
    assert (first["part_id"], first["verdict"] != "error") == ("A", True)
    assert (second["part_id"], second["verdict"]) == ("B", "error")
    assert second["reason"] == "no item came within 3000 ms"
    assert second["latency_ms"] >= 3000


def test_a_trigger_that_names_no_part_is_answered_too(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    start({"camera": camera(trigger=trigger())})
    wait_for(lambda: is_running(mqtt_client))
    mqtt_client.publish("plc/part", '{"other": "A"}')
    wait_for(lambda: verdicts(mqtt_client))
    (answer,) = verdicts(mqtt_client)
    assert (answer["verdict"], answer["part_id"], answer["score"]) == ("error", None, None)
    assert answer["reason"] == "trigger: no part id at /id"


def test_messages_that_do_not_fit_are_explained(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    channels = {"accel_x": {"pointer": "/x"}, "accel_y": {"pointer": "/y"}}
    source = {"kind": "mqtt_sensor", "topic": "motor", "channels": channels}
    start({"motor": {"family": "pdm", "model": str(MODELS / "motor-bearing"), "source": source}})
    stats = f"{ROOT}/pdm/motor/stats"
    wait_for(lambda: [s for s in verdicts(mqtt_client, stats) if s["state"] == "running"])
    mqtt_client.publish("motor", '{"x": [0.1, 0.2]}')
    detail = wait_for(lambda: verdicts(mqtt_client, stats)[-1]["detail"])
    assert detail.startswith("motor: ")
    assert "nothing at 'y'" in detail


def test_a_second_agent_on_the_same_state_is_refused(
    start: Callable[..., AgentProcess],
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    mqtt_client.subscribe(f"{ROOT}/status")
    first = start({})
    wait_for(lambda: verdicts(mqtt_client, f"{ROOT}/status"))
    second = AgentProcess(first.folder, mosquitto, {})
    second.start()
    assert second.wait() == 69
    assert first.stop() == 0


def test_overlapping_triggers_get_a_picture_each(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    source = {"kind": "simulator", "scene": "conveyor", "fps": 20.0, "name_parts": False}
    start({"camera": camera(source=source, trigger=trigger())})
    wait_for(lambda: is_running(mqtt_client))
    for part in ("A", "B", "C"):
        mqtt_client.publish("plc/part", f'{{"id": "{part}"}}')
    wait_for(lambda: len(verdicts(mqtt_client)) == 3)
    answers = verdicts(mqtt_client)
    assert [answer["part_id"] for answer in answers] == ["A", "B", "C"]
    assert len({answer["capture_ts"] for answer in answers}) == 3
    assert all(answer["verdict"] != "error" for answer in answers)


def test_a_model_that_is_too_slow_is_answered_for_once_at_the_deadline(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    source = {"kind": "simulator", "scene": "conveyor", "fps": 50.0, "name_parts": False}
    # Well before the worker is ended for its silence.
    agent = start({"camera": camera(source=source, trigger=trigger(deadline_ms=1500.0))})
    wait_for(lambda: is_running(mqtt_client))
    os.kill(workers(agent.pid)["camera"], signal.SIGSTOP)  # no model is slower than a stopped one
    mqtt_client.publish("plc/part", '{"id": "A"}')
    wait_for(lambda: verdicts(mqtt_client))
    os.kill(workers(agent.pid)["camera"], signal.SIGCONT)
    mqtt_client.publish("plc/part", '{"id": "B"}')
    wait_for(lambda: len(verdicts(mqtt_client)) == 2)
    first, second = verdicts(mqtt_client)
    assert (first["part_id"], first["verdict"]) == ("A", "error")
    assert (second["part_id"], second["verdict"] != "error") == ("B", True)


def test_a_trigger_while_the_camera_is_gone_says_so(
    start: Callable[..., AgentProcess], mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    source = {"kind": "folder", "path": "not-there"}
    start({"camera": camera(source=source, trigger=trigger(deadline_ms=500.0))})
    stats = f"{ROOT}/qc/camera/stats"
    wait_for(lambda: [s for s in verdicts(mqtt_client, stats) if s["state"] == "waiting"])
    mqtt_client.publish("plc/part", '{"id": 7}')
    wait_for(lambda: verdicts(mqtt_client))
    (answer,) = verdicts(mqtt_client)
    assert answer["verdict"] == "error"
    assert answer["part_id"] == "7"
    assert answer["reason"].startswith("no item came within 500 ms (waiting: ")
    assert "not-there" in answer["reason"]
