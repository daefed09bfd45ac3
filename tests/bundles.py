"""Bundles around published models, for tests that need a model but not this project's own."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_bundle(
    folder: Path, model: bytes, *, task: dict[str, Any], rule: dict[str, Any], labels: str = ""
) -> Path:
    """Write a bundle of one TFLite model; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, role, content in (
        ("model.tflite", "model", model),
        ("labels.txt", "labels", labels.encode()),
    ):
        if content:
            (folder / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files.append({"path": name, "role": role, "sha256": digest, "length": len(content)})
    variant = {"id": "cpu", "runtime": "tflite", "precision": "int8", "files": files}
    manifest = {
        "schema": 1,
        "model_id": folder.name,
        "version": "1.0.0",
        "seq": 1,
        "license": {"spdx": "Apache-2.0"},
        "variants": [variant],
        "task": task,
        "decision": {"rule": rule},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def config_of(pipeline: str, model: str, *lines: str) -> str:
    """Return a config with one simulated camera; `lines`: more of its pipeline."""
    return "\n".join((CONFIG.format(pipeline=pipeline, model=model), *lines, ""))


CONFIG = """
[device]
enterprise = "acme"
site = "oslo"
area = "hall1"
line = "line2"
cell = "press3"
name = "gw1"

[broker]
host = "127.0.0.1"

[pipelines.{pipeline}]
family = "qc"
model = "{model}"
source = {{ kind = "simulator", scene = "conveyor" }}"""
