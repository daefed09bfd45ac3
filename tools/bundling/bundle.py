"""Writes a model bundle: model, labels, golden samples and the manifest that vouches for them.

Two builds of the same draft are the same bytes. What is measured is no part of a build for that
reason: the draft may bring `resources` along, or `python -m tools.verify BUNDLE --measure` enters
them afterwards, on the machine where it runs (`enter_resources`). Nothing else changes then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent import registry
from edge_agent.backends.base import BackendContext
from edge_agent.commands.fitting import require_limits
from edge_agent.inference import golden
from edge_agent.modelstore.manifest import canonical_json, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from edge_agent.backends.base import Backend
    from edge_agent.types import Tensors, TensorSpec

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a training script decides; all else in the manifest follows from the files.

    `task`, `decision`, `license`, `source`: as in the manifest. `golden`: tensors as the model
    stores them, one dict per case. `atol`, `rtol`: how far another CPU's answer may be from this
    one's; `atol` by the output's name where outputs differ in that. `runtime`: the backend that
    runs `model`. `resources`: `ram_mb` and `p95_ms` as measured elsewhere. `card`: the text of
    card.md, "" to leave it to the caller.
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
    atol: float | Mapping[str, float]
    p95_ms_max: float
    labels: Sequence[str] = ()
    rtol: float = 0.0
    runtime: str = "tflite"
    resources: Mapping[str, float] | None = None
    card: str = ""


def write_bundle(folder: Path, draft: Draft) -> None:
    """Write the bundle into `folder`: the same draft gives the same bytes.

    Files of an earlier bundle are replaced or removed, other files stay. Raises ModelError where
    the manifest would not be accepted by the agent; nothing is written then.
    """
    contents, manifest = build(draft)
    require_limits(parse_manifest(manifest))
    folder.mkdir(parents=True, exist_ok=True)
    for name in _files_of(folder) - contents.keys():
        (folder / name).unlink(missing_ok=True)
    for path, (_, content) in contents.items():
        (folder / path).write_bytes(content)
    if draft.card:
        (folder / "card.md").write_text(draft.card, encoding="utf-8")
    # Last: until it is there, the files it vouches for are no bundle.
    (folder / MANIFEST).write_bytes(manifest)


def build(draft: Draft) -> tuple[dict[str, tuple[str, bytes]], bytes]:
    """Return role and content of each file by its name, and the manifest of them."""
    backend: Backend = registry.plugin("backends", draft.runtime).create(
        BackendContext(draft.model)
    )
    contents = {f"model.{draft.runtime}": ("model", draft.model)}
    if draft.labels:
        lines = "".join(f"{label}\n" for label in draft.labels)
        contents["labels.txt"] = ("labels", lines.encode())
    cases = []
    for number, tensors in enumerate(draft.golden):
        names = {"in": f"golden_in_{number}.npz", "out": f"golden_out_{number}.npz"}
        contents[names["in"]] = ("golden_in", golden.npz(tensors))
        contents[names["out"]] = ("golden_out", golden.npz(backend.run(tensors)))
        cases.append({**names, **_tolerance(draft)})
    variant = {
        "id": f"{draft.runtime}-{draft.precision}",
        "runtime": draft.runtime,
        "precision": draft.precision,
        "files": [_entry(path, role, content) for path, (role, content) in contents.items()],
        "io": {"inputs": _tensors(backend.inputs), "outputs": _tensors(backend.outputs)},
    }
    backend.close()
    if draft.resources is not None:
        variant["resources"] = dict(draft.resources)
    return contents, _manifest(draft, variant, cases)


def enter_resources(folder: Path, resources: Mapping[str, float]) -> None:
    """Put what was measured into the manifest of a bundle; no other byte of it changes."""
    _enter(folder, lambda tree: tree["variants"][0].update(resources=dict(resources)))


def enter_reference(folder: Path, reference: Mapping[str, Any]) -> None:
    """Put what is usual into the manifest of a bundle, for drift; no other byte of it changes."""
    _enter(folder, lambda tree: tree.update(reference=dict(reference)))


def enter_doubts(folder: Path, doubts: Sequence[str]) -> None:
    """Put into the manifest of a bundle why it may be unfit for use; no other byte changes."""
    _enter(folder, lambda tree: tree.update(doubts=list(doubts)))


def files_sha256(folder: Path, files: Iterable[Path]) -> str:
    """Return one hash over names and contents of `files`, which lie in `folder`."""
    total = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _enter(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / MANIFEST
    tree = json.loads(path.read_bytes())
    change(tree)
    manifest = canonical_json(tree)
    parse_manifest(manifest)
    part = folder / f".{MANIFEST}.part"
    part.write_bytes(manifest)
    part.replace(path)


def _manifest(draft: Draft, variant: dict[str, Any], cases: list[dict[str, Any]]) -> bytes:
    return canonical_json(
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


def _files_of(folder: Path) -> set[str]:
    """Return the names of the files that the bundle in `folder` vouches for; none if it cannot."""
    try:
        tree = json.loads((folder / MANIFEST).read_bytes())
        names = {file["path"] for variant in tree["variants"] for file in variant["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    # A manifest of who knows where must not have files removed that lie outside of the folder.
    return {name for name in names if isinstance(name, str) and "/" not in name}


def _tolerance(draft: Draft) -> dict[str, Any]:
    """Return a case's tolerance."""
    rtol = {"rtol": draft.rtol} if draft.rtol else {}
    if not isinstance(draft.atol, Mapping):
        return {"atol": draft.atol, **rtol}
    return golden.tolerance(draft.atol) | rtol


def _entry(path: str, role: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"path": path, "role": role, "sha256": digest, "length": len(content)}


def _tensors(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype} for spec in specs]
