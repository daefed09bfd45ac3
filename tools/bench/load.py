"""Drives a line with pictures over MQTT, in one thread, and hears what it answers."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from tools.bench.mqtt_socket import MqttSocket, packet
from tools.bench.processes import HOST, TOPIC_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FIRST_ANSWER_S = 60.0
ASK_EVERY_S = 0.01
QUIET_S = 0.5
NUMBERS = 2000  # pictures are told apart by a number in their topic, which begins anew


class _Answer(msgspec.Struct):
    part_id: str | None
    verdict: str
    seq: int = 0
    """0: from the script, which does not count."""


class _Stats(msgspec.Struct):
    items: int
    dropped: int


@dataclass
class Run:
    """What one run of a load found; latencies in ms from before the send to the verdict's read."""

    seconds: float = 0.0
    sent: int = 0
    answered: int = 0
    cpu_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds for a thousand answers."""
        return 1e3 * self.cpu_s / max(1, self.answered)


def picture_topic(pipeline: str) -> str:
    """Return what a pipeline subscribes to; the last level numbers the picture."""
    return f"pictures/{pipeline}/+"


def verdict_topic(pipeline: str) -> str:
    """Return where an agent's pipeline publishes."""
    return f"{TOPIC_ROOT}/qc/{pipeline}/verdict"


class Camera:
    """Publishes pictures to one or several lines, and collects their verdicts."""

    def __init__(self, port: int, pictures: Sequence[Path], lines: dict[str, str]) -> None:
        """`lines`: for each pipeline the topic of its answers."""
        self._socket = MqttSocket(HOST, port, "bench-camera")
        self._pipelines = list(lines)
        self._by_topic = {topic: pipeline for pipeline, topic in lines.items()}
        self._stats: dict[str, _Stats] = {}
        self._socket.subscribe(*self._by_topic, f"{TOPIC_ROOT}/qc/+/stats")
        self._payloads = itertools.cycle([path.read_bytes() for path in pictures])
        self._numbers = itertools.cycle(range(NUMBERS))
        self._sent_at: dict[str, float] = {}
        self._heard: set[int] = set()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def wake(self) -> float:
        """Publish until every line has answered; return how long that took, in seconds."""
        began_s = time.perf_counter()
        silent = set(self._pipelines)
        while silent:
            if time.perf_counter() - began_s > FIRST_ANSWER_S:
                raise TimeoutError(f"no answer from {', '.join(silent)}")
            for pipeline in silent:
                self._send(pipeline)
            silent -= {pipeline for pipeline, _, _ in self._receive(ASK_EVERY_S)}
        took_s = time.perf_counter() - began_s
        self._drain(Run())
        return took_s

    def saturate(self, seconds: float, window: int, cpu_s: Callable[[], float]) -> Run:
        """Keep `window` pictures before each line, for `seconds` after a second to settle."""
        run = Run()
        for pipeline in self._pipelines * window:
            self._send(pipeline)
        self._answer_each(Run(), 1.0)
        cpu_before_s, began_s = cpu_s(), time.perf_counter()
        self._answer_each(run, seconds)
        run.seconds = time.perf_counter() - began_s
        run.cpu_s = cpu_s() - cpu_before_s
        self._drain(Run())
        return run

    def pace(self, fps: float, count: int, cpu_s: Callable[[], float]) -> Run:
        """Publish `count` pictures at `fps` a second, to the lines in turn."""
        run = Run()
        cpu_before_s, began_s = cpu_s(), time.perf_counter()
        lines = itertools.cycle(self._pipelines)
        for number in range(count):
            due_s = began_s + number / fps
            while (left_s := due_s - time.perf_counter()) > 0:
                self._take(run, left_s)
            self._send(next(lines))
            run.sent += 1
        self._drain(run)
        run.seconds = count / fps
        run.cpu_s = cpu_s() - cpu_before_s
        return run

    def totals(self, at_least: int) -> tuple[int, int]:
        """Wait until the lines' own figures count `at_least` items; return items and drops."""
        deadline_s = time.perf_counter() + 5.0
        items = dropped = 0
        while time.perf_counter() < deadline_s:
            self._receive(0.1)
            items = sum(stats.items for stats in self._stats.values())
            dropped = sum(stats.dropped for stats in self._stats.values())
            if items + dropped >= at_least:
                break
        return items, dropped

    def _answer_each(self, run: Run, seconds: float) -> None:
        deadline_s = time.perf_counter() + seconds
        while time.perf_counter() < deadline_s:
            for pipeline, latency_ms, _ in self._receive(0.1):
                run.answered += 1
                run.latencies_ms.append(latency_ms)
                self._send(pipeline)

    def _take(self, run: Run, timeout_s: float) -> int:
        answers = self._receive(timeout_s)
        run.answered += len(answers)
        run.latencies_ms += [latency_ms for _, latency_ms, _ in answers]
        return len(answers)

    def _drain(self, run: Run) -> None:
        heard_s = time.perf_counter()
        while time.perf_counter() - heard_s < QUIET_S:
            if self._take(run, QUIET_S):
                heard_s = time.perf_counter()

    def _send(self, pipeline: str) -> None:
        number = str(next(self._numbers))
        message = packet(f"pictures/{pipeline}/{number}", next(self._payloads))
        self._sent_at[number] = time.perf_counter()
        self._socket.send(message)

    def _receive(self, timeout_s: float) -> list[tuple[str, float, str]]:
        """Return pipeline, latency in ms and outcome of the verdicts that have come."""
        answers = []
        for received in self._socket.receive(timeout_s):
            pipeline = self._by_topic.get(received.topic)
            if pipeline is None:
                stats = msgspec.json.decode(received.payload, type=_Stats)
                self._stats[received.topic] = stats
                continue
            answer = msgspec.json.decode(received.payload, type=_Answer)
            # One that the broker was slow to take comes twice, as every consumer must expect.
            repeated = answer.seq > 0 and answer.seq in self._heard
            self._heard.add(answer.seq)
            if answer.part_id is not None and not repeated:
                latency_ms = 1e3 * (received.at_s - self._sent_at[answer.part_id])
                answers.append((pipeline, latency_ms, answer.verdict))
        return answers
