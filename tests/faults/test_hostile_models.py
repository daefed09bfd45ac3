"""Models that were damaged, or made to do damage: each in its own worker, beside a good one."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.agents import MODELS, workers
from tests.bundles import write_bundle
from tests.faults.conftest import Finding, Trial
from tests.faults.judging import longest_silence_s, lost, peak_mb
from tests.faults.plant import Consumer, Gateway, camera, pictures, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FPS = 50
AT_ONCE = 20
SILENCE_MOST_S = 2.0
GOOD = MODELS / "conveyor-parts"
CLASSIFY = {"kind": "classify", "preprocess": {"kind": "image", "mean": [0], "std": [255]}}


def test_every_malformed_model_is_refused_by_name_and_nothing_else_notices(
    gateway: Callable[..., Gateway],
    consumer: Consumer,
    shared_data: Path,
    tmp_path: Path,
    trial: Trial,
) -> None:
    bundles: dict[str, Path] = {}
    for file in sorted((shared_data / "malformed_models").glob("*.tflite")):
        name = f"hostile-{len(bundles)}"
        rule = {"kind": "threshold", "fail_at": 0.5}
        bundles[name] = write_bundle(
            tmp_path / name, file.read_bytes(), task=CLASSIFY, rule=rule, labels="a\nb\n"
        )
    bench = Bench(gateway, consumer, tmp_path)
    became = bench.run(bundles)
    silence_s = bench.finish()
    trial.note(bench.finding("every file of malformed_models", became))
    assert len(became) == len(bundles) >= 3
    assert set(became.values()) <= {"refused", "error verdicts"}
    assert bench.lost == 0
    if trial.full:
        assert silence_s < SILENCE_MOST_S


@pytest.mark.timeout(900)
def test_flipped_and_truncated_models_are_refused_or_survived_and_nothing_else_notices(
    gateway: Callable[..., Gateway],
    consumer: Consumer,
    tmp_path: Path,
    trial: Trial,
) -> None:
    rng = random.Random(7)
    cases = list(
        mutations((GOOD / "model.tflite").read_bytes(), 500 if trial.full else AT_ONCE, rng)
    )
    bench = Bench(gateway, consumer, tmp_path)
    became: dict[str, str] = {}
    for first in range(0, len(cases), AT_ONCE):
        bundles = {
            f"hostile-{first + i}": with_model(tmp_path / f"hostile-{first + i}", model)
            for i, model in enumerate(cases[first : first + AT_ONCE])
        }
        became |= bench.run(bundles)
        bench.stop()
    silence_s = bench.finish()
    trial.note(bench.finding("models with flipped or missing bytes", became))
    assert len(became) == len(cases)
    assert "bug" not in became.values(), became
    assert bench.lost == 0
    if trial.full:
        assert silence_s < SILENCE_MOST_S


def mutations(model: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    """Yield damaged models: half with 1 to 16 bytes changed, half of those near the graph; cut."""
    for index in range(count):
        damaged = bytearray(model)
        if index % 4 == 3:
            yield bytes(damaged[: rng.randrange(len(damaged))])
            continue
        # A flatbuffer has its graph at one end and its weights all over: see to both.
        low = 0 if index % 2 else len(damaged) * 3 // 4
        for _ in range(2 ** rng.randrange(5)):
            damaged[rng.randrange(low, len(damaged))] ^= rng.randrange(1, 256)
        yield bytes(damaged)


def with_model(folder: Path, model: bytes) -> Path:
    """Write the good bundle with another model, whose hash is right: it reaches the loader."""
    manifest = json.loads((GOOD / "manifest.json").read_text())
    folder.mkdir()
    for file in manifest["variants"][0]["files"]:
        content = model if file["role"] == "model" else (GOOD / file["path"]).read_bytes()
        file |= {"sha256": hashlib.sha256(content).hexdigest(), "length": len(content)}
        (folder / file["path"]).write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class Bench:
    """Runs hostile pipelines beside a good one, and says what became of each."""

    def __init__(self, gateway: Callable[..., Gateway], consumer: Consumer, tmp_path: Path) -> None:
        self._gateway = gateway
        self._consumer = consumer
        self._folder = tmp_path
        self._pictures = pictures(tmp_path / "pictures")
        self._agent: Gateway | None = None
        self._silences: list[float] = []
        self._rates: list[float] = []
        self._peak_mb = 0.0
        self.lost = 0

    def run(self, bundles: dict[str, Path]) -> dict[str, str]:
        """Start an agent with these models; return what became of each."""
        consumer = self._consumer
        begun_s = time.monotonic()
        pipelines = {"good": camera(self._pictures, FPS)}
        pipelines |= {name: camera(self._pictures, 5, model) for name, model in bundles.items()}
        self._agent = agent = self._gateway(pipelines)
        until(lambda: any(a.at_s > begun_s for a in consumer.of("good")))
        began_s = time.monotonic()
        until(lambda: all(self._became(name) for name in bundles))
        time.sleep(1.0)
        ended_s = time.monotonic()
        assert agent.is_running()
        self._peak_mb = max([self._peak_mb, *map(peak_mb, workers(agent.pid).values())])
        good = [a for a in consumer.of("good") if a.at_s >= began_s]
        assert all(arrival.verdict != "error" for arrival in good)
        self._silences.append(longest_silence_s(good, began_s, ended_s))
        self._rates.append(len(good) / (ended_s - began_s))
        return {name: self._became(name) for name in bundles}

    def stop(self) -> None:
        """Stop the agent; the next run goes on with its outbox."""
        assert self._agent is not None
        self._agent.stop()

    def finish(self) -> float:
        """Stop, count what was lost, and return the good one's longest silence."""
        assert self._agent is not None
        if self._agent.is_running():
            self._agent.stop()
        self.lost = len(lost(self._consumer, self._agent))
        return max(self._silences)

    def finding(self, fault: str, became: dict[str, str]) -> Finding:
        """Return the row of the table."""
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(became.values()).items()))
        remark = (
            f"{kinds}; good pipeline at {min(self._rates) / FPS:.0%} of its rate or more, silent"
            f" for {max(self._silences):.2f} s at most; largest worker {self._peak_mb:.0f} MB"
        )
        return Finding(fault, len(became), f"{self.lost} verdicts", remark=remark)

    def _became(self, name: str) -> str:
        """Return what became of a model, or "" when that is not known yet."""
        stats: dict[str, Any] = self._consumer.stats.get(name, {})
        if stats.get("worker_restarts"):
            return "died and restarted"
        if stats.get("state") == "failed":
            return "refused" if stats["detail"] else "bug"
        if stats.get("state") == "degraded":
            return "bug"
        verdicts = self._consumer.of(name)
        if not verdicts or stats.get("state") != "running":
            return ""
        return "error verdicts" if verdicts[-1].verdict == "error" else "survived"
