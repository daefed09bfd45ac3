"""`edge-agent bundle`: puts a model file that somebody has into a bundle that the agent runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ModelError
from edge_agent.inference.model import load_model
from edge_agent.modelstore.manifest import canonical_json, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge_agent.inference.model import Model

RUNTIMES = {".tflite": "tflite", ".onnx": "onnx"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a model file does not say of itself.

    `preprocess`, `postprocess` and `rule` as in the manifest; `labels` one per class.
    """

    task: str
    preprocess: dict[str, Any]
    postprocess: dict[str, Any]
    rule: dict[str, Any]
    labels: tuple[str, ...] = ()
    license: str = "LicenseRef-unknown"


def recipe(task: str, labels: tuple[str, ...], settings: Iterable[str]) -> Recipe:
    """Return a recipe with each of `settings` ("preprocess.mean=[127.5]") put where it says.

    Raises ModelError for a setting that cannot be read.
    """
    tables: dict[str, dict[str, Any]] = {
        "preprocess": {"kind": "image"},
        "postprocess": {},
        "rule": {"kind": "threshold", "fail_at": 0.5},
    }
    for setting in settings:
        place, _, text = setting.partition("=")
        table, _, field = place.partition(".")
        if table not in tables or not field:
            raise ModelError(f"--set {setting}: begins with none of {', '.join(tables)} and a dot")
        try:
            tables[table][field] = json.loads(text)
        except ValueError:
            tables[table][field] = text  # a word needs no quotes
    return Recipe(
        task,
        preprocess=tables["preprocess"],
        postprocess=tables["postprocess"],
        rule=tables["rule"],
        labels=labels,
    )


def write_bundle(model: Path, folder: Path, recipe: Recipe) -> Model:
    """Write `folder` and load it as a worker would; raise ModelError for what does not fit."""
    runtime = RUNTIMES.get(model.suffix)
    if runtime is None:
        raise ModelError(f"{model.name}: not one of {', '.join(RUNTIMES)}")
    contents = {f"model{model.suffix}": ("model", model.read_bytes())}
    if recipe.labels:
        lines = "".join(f"{label}\n" for label in recipe.labels)
        contents["labels.txt"] = ("labels", lines.encode())
    files = [
        {
            "path": path,
            "role": role,
            "sha256": hashlib.sha256(content).hexdigest(),
            "length": len(content),
        }
        for path, (role, content) in contents.items()
    ]
    task = {"kind": recipe.task, "preprocess": recipe.preprocess}
    manifest = canonical_json(
        {
            "schema": 1,
            "model_id": folder.name,
            "version": "1.0.0",
            "seq": 1,
            "license": {"spdx": recipe.license},
            "variants": [
                {"id": runtime, "runtime": runtime, "precision": "as-given", "files": files}
            ],
            "task": task | ({"postprocess": recipe.postprocess} if recipe.postprocess else {}),
            "decision": {"rule": recipe.rule},
        }
    )
    parse_manifest(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    for path, (_, content) in contents.items():
        (folder / path).write_bytes(content)
    (folder / "manifest.json").write_bytes(manifest)
    return load_model(folder, threads=1, roi=None)
