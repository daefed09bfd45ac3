"""A repository, made with its own commands, and a running agent that takes models from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.agents import MODELS, ROOT, AgentProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Mosquitto, Recorder

SLOT = "plates"
STATUS = f"{ROOT}/model/{SLOT}/status"
VERDICTS = f"{ROOT}/qc/{SLOT}/verdict"
# Short, so that a test need not wait; a line takes minutes and hours.
QUICK = {
    "shadow": {"min_items": 5, "max_s": 10.0, "max_disagree": 0.2},
    "trial": {"min_items": 5, "soak_s": 0.5, "max_error_rate": 0.1},
}


class Server:
    """The folder of a repository and its keys."""

    def __init__(self, folder: Path) -> None:
        self.repo = folder / "repo"
        self.run("init")

    def run(self, verb: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tools.repo", verb, str(self.repo), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])

    def publish(self, *bundles: Path) -> None:
        """Sign bundles, good ones or bad; every gateway is to run the last one."""
        self.run("add-model", *map(str, bundles), "--slot", SLOT, "--unverified")


def changed(
    folder: Path,
    version: str,
    *,
    of: Path = MODELS / "conveyor-parts",
    change: Callable[[dict[str, Any], Path], None] | None = None,
) -> Path:
    """Write another version of a bundle: other bytes of the same model, and what `change` does."""
    bundle = folder / f"{of.name}-{version}"
    shutil.copytree(of, bundle)
    tree = json.loads((bundle / "manifest.json").read_bytes())
    tree |= {
        "version": version,
        "seq": tree["seq"] + int(version.split(".", maxsplit=1)[0]),
    } | QUICK
    model = bundle / "model.tflite"
    # What lies behind the end of a flatbuffer is not read.
    model.write_bytes(model.read_bytes() + b"\0" * 16 + version.encode())
    if change is not None:
        change(tree, bundle)
    for file in tree["variants"][0]["files"]:
        content = (bundle / file["path"]).read_bytes()
        file |= {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(tree))
    return bundle


class Gateway:
    """An agent whose one pipeline gets its model from `server`."""

    def __init__(self, folder: Path, broker: Mosquitto, server: Server, **sync: Any) -> None:
        self.folder = folder / "gateway"
        self.folder.mkdir()
        shutil.copytree(MODELS / "conveyor-parts", self.folder / "models" / "conveyor-parts")
        root = server.repo / "metadata" / "1.root.json"
        shutil.copy(root, self.folder / "root.json")
        source = {"kind": "simulator", "scene": "conveyor", "fps": 30.0}
        pipelines = {
            SLOT: {"family": "qc", "model": "models/conveyor-parts", "source": source}
            | {"camera": {"on": False}}
        }
        options = {"url": str(server.repo), "root": "root.json", "poll_s": 0.5} | sync
        self.agent = AgentProcess(self.folder, broker, pipelines, sync=options)

    def start(self, fault_point: str = "") -> None:
        """Start the agent; it ends at the state `fault_point`."""
        os.environ["MODEL_FAULT_POINT"] = fault_point
        try:
            self.agent.start()
        finally:
            del os.environ["MODEL_FAULT_POINT"]

    @property
    def store(self) -> Path:
        return self.folder / "state" / "models"


@contextmanager
def heard_gateway(
    folder: Path, broker: Mosquitto, recorder: Recorder, server: Server, **sync: Any
) -> Iterator[Gateway]:
    """Give a gateway that is not started yet, its messages recorded; it ends with the block."""
    recorder.subscribe(STATUS)
    recorder.subscribe(VERDICTS)
    made = Gateway(folder, broker, server, **sync)
    try:
        yield made
    finally:
        made.agent.end()


def statuses(recorder: Recorder) -> list[dict[str, Any]]:
    """Return all statuses heard, in order."""
    return [json.loads(payload) for payload in recorder.payloads(STATUS) if payload]


def states(recorder: Recorder) -> list[str]:
    """Return the states heard, each once in a row."""
    found: list[str] = []
    for status in statuses(recorder):
        if not found or status["state"] != found[-1]:
            found.append(status["state"])
    return found


def verdicts(recorder: Recorder) -> list[dict[str, Any]]:
    """Return all verdicts heard."""
    return [json.loads(payload) for payload in recorder.payloads(VERDICTS)]


def settled(recorder: Recorder, *ends: str, timeout_s: float = 60) -> dict[str, Any]:
    """Return the first status that is one of `ends`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for status in statuses(recorder):
            if status["state"] in ends:
                return status
        time.sleep(0.02)
    raise AssertionError(f"never {ends}: {states(recorder)}; {statuses(recorder)[-1:]}")


def odd(
    folder: Path,
    version: str,
    model: bytes,
    *,
    runtime: str = "onnx",
    answer: float = 0.2,
    change: Callable[[dict[str, Any], Path], None] | None = None,
) -> Path:
    """Write a bundle around a model of odd_models.py, or of crashing_models.py (`tflite`).

    On black it is to answer `answer`.
    """
    file_name = f"model.{runtime}"

    def exchange(tree: dict[str, Any], bundle: Path) -> None:
        for old in (*bundle.glob("golden_*"), bundle / "model.tflite"):
            old.unlink()
        (bundle / file_name).write_bytes(model)
        np.savez(bundle / "golden_in.npz", x=np.zeros((1, 120, 160, 3), np.float32))
        np.savez(bundle / "golden_out.npz", y=np.full((1, 5), answer, np.float32))
        files = [(file_name, "model"), ("labels.txt", "labels")]
        files += [("golden_in.npz", "golden_in"), ("golden_out.npz", "golden_out")]
        tree["variants"] = [
            {
                "id": runtime,
                "runtime": runtime,
                "precision": "float32",
                "files": [{"path": path, "role": role} for path, role in files],
            }
        ]
        tree["task"]["preprocess"] |= {"mean": [0], "std": [255]}
        case = {"in": "golden_in.npz", "out": "golden_out.npz", "atol": 1e-3}
        tree["selftest"] = {"cases": [case], "timeout_s": 1.0}
        if change is not None:
            change(tree, bundle)

    return changed(folder, version, change=exchange)


def outcome(recorder: Recorder, version: str, timeout_s: float = 60) -> dict[str, Any]:
    """Return the status at the end of the way of a version."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for status in statuses(recorder):
            ended = status["state"] in {"confirmed", "failed", "rolled_back"}
            if status["to"].endswith(f"@{version}") and ended:
                return status
        time.sleep(0.02)
    raise AssertionError(f"{version} has no end: {statuses(recorder)[-2:]}")
