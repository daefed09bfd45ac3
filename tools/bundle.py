"""Writes a model bundle: model, labels, golden samples and the manifest that vouches for them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.modelstore.manifest import canonical_json, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edge_agent.types import Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class Draft:
    """What a training script decides; all else in the manifest follows from the files.

    `task`, `decision`, `license`, `source`: as in the manifest. `golden`: tensors as the model
    stores them, one dict per case. `atol`: how far another CPU's answer may be from this one's.
    """

    model_id: str
    version: str
    seq: int
    task: dict[str, Any]
    decision: dict[str, Any]
    license: dict[str, str]
    source: dict[str, str]
    model: bytes
    precision: str
    golden: Sequence[Tensors]
    atol: float
    p95_ms_max: float
    labels: Sequence[str] = ()


def write_bundle(folder: Path, draft: Draft) -> None:
    """Write the bundle into `folder`: the same draft gives the same bytes.

    Files of an earlier bundle are replaced, other files stay. Raises ModelError where the manifest
    would not be accepted by the agent; nothing is written then.
    """
    backend = tflite.create(BackendContext(draft.model))
    contents = {"model.tflite": ("model", draft.model)}
    if draft.labels:
        contents["labels.txt"] = (
            "labels",
            "".join(f"{label}\n" for label in draft.labels).encode(),
        )
    cases = []
    for number, tensors in enumerate(draft.golden):
        names = {"in": f"golden_in_{number}.npz", "out": f"golden_out_{number}.npz"}
        contents[names["in"]] = ("golden_in", npz(tensors))
        contents[names["out"]] = ("golden_out", npz(backend.run(tensors)))
        cases.append({**names, "atol": draft.atol})
    variant = {
        "id": f"tflite-{draft.precision}",
        "runtime": "tflite",
        "precision": draft.precision,
        "files": [_entry(path, role, content) for path, (role, content) in contents.items()],
        "io": {"inputs": _tensors(backend.inputs), "outputs": _tensors(backend.outputs)},
    }
    manifest = canonical_json(
        {
            "schema": 1,
            "model_id": draft.model_id,
            "version": draft.version,
            "seq": draft.seq,
            "source": draft.source,
            "license": draft.license,
            "variants": [variant],
            "task": draft.task,
            "decision": draft.decision,
            "selftest": {"cases": cases, "p95_ms_max": draft.p95_ms_max},
        }
    )
    parse_manifest(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    for path, (_, content) in contents.items():
        (folder / path).write_bytes(content)
    (folder / "manifest.json").write_bytes(manifest)


def npz(tensors: Tensors) -> bytes:
    """Return tensors as an uncompressed .npz file: the same tensors give the same bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: tensors[name] for name in sorted(tensors)}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def files_sha256(folder: Path, files: Iterable[Path]) -> str:
    """Return one hash over names and contents of `files`, which lie in `folder`."""
    total = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _entry(path: str, role: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"path": path, "role": role, "sha256": digest, "length": len(content)}


def _tensors(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype} for spec in specs]
