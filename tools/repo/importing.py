"""From a registry to a bundle that somebody may look at, and then sign with `add-model`.

Nothing is signed here: a registry is written to by many, and what may run is for the holders of the
`models` keys to say. What arrives is a bundle (a manifest.json and the files that it names), or one
plain .tflite or .onnx file, which is then put into a bundle `--like` another one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from edge_agent.commands.bundler import RUNTIMES
from edge_agent.commands.verification import verify
from edge_agent.modelstore.manifest import canonical_json, load_bundle, parse_manifest
from tools.bundling.fresh_folder import fresh_folder
from tools.repo.golden_answers import golden_answers
from tools.repo.mlflow_registry import MlflowRegistry
from tools.repo.signing import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge_agent.commands.verification import Verification
    from edge_agent.modelstore.manifest import Manifest
    from tools.repo.mlflow_registry import Registered

REGISTRIES = {"mlflow": MlflowRegistry}
MANIFEST, CARD = "manifest.json", "card.md"
# Beside a manifest: what the card tells of evaluations goes into the signed part, cut to size.
MOST_ENTRIES, MOST_TEXT = 100, 500


def stage(
    model: Registered, out: Path, like: Path | None, published: Mapping[str, int]
) -> list[str]:
    """Write the bundle below `out`, test it, and say what to do next.

    `like`: for a plain file, a bundle of the same task. `published`: the highest `seq` of each
    model. Raises RepositoryError, ModelError, OSError; nothing stays then.
    """
    manifests = [path for path in model.files if path.rpartition("/")[2] == MANIFEST]
    if len(manifests) > 1:
        raise RepositoryError(f"{model.name}: more than one {MANIFEST}: {', '.join(manifests)}")
    tree, contents = _bundle(model, manifests[0]) if manifests else _plain(model, like, published)
    tree["source"] = _source(model, tree.get("source", {}))
    text = canonical_json(tree)
    manifest = parse_manifest(text)
    folder = out / f"{manifest.model_id}-{manifest.version}"
    if folder.exists():
        raise RepositoryError(f"{folder} is there already: it was brought before")
    with fresh_folder(folder) as making:
        for name, content in contents.items():
            (making / name).write_bytes(content)
        (making / MANIFEST).write_bytes(text)
        load_bundle(making)
        found = verify(making)
        if not found.passed:
            raise RepositoryError(f"{model.name}: {found.sentence()}")
        (making / CARD).write_text(_card(model, manifest, found), encoding="utf-8")
    said = [f"{folder}: {manifest.model_id}@{manifest.version}, {found.sentence()}"]
    last = published.get(manifest.model_id, -1)
    if manifest.seq <= last:
        said.append(
            f"its seq {manifest.seq} is not above {last}, the last published: raise it there"
        )
    return [*said, f"look at {folder / CARD}, then sign it: add-model REPO {folder}"]


def _bundle(model: Registered, manifest: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the files that it names, as they lie beside it."""
    text = model.read(manifest)
    parsed = parse_manifest(text)
    folder = manifest.removesuffix(MANIFEST)
    names = {file.path for variant in parsed.variants for file in variant.files}
    missing = sorted(name for name in names if f"{folder}{name}" not in model.files)
    if missing:
        raise RepositoryError(f"{model.name}: {manifest} names {', '.join(missing)}; not there")
    return json.loads(text), {name: model.read(f"{folder}{name}") for name in sorted(names)}


def _plain(
    model: Registered, like: Path | None, published: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a bundle around the one model file.

    Its golden samples are the other bundle's inputs, and what this model answers here: they show
    that a gateway computes what this machine did. How good that is, the evaluation says.
    """
    found = [path for path in model.files if f".{path.rpartition('.')[2]}" in RUNTIMES]
    if len(found) != 1:
        named = ", ".join(found) or "none"
        raise RepositoryError(
            f"{model.name}: a {MANIFEST} or one model file is wanted, not {named}"
        )
    if like is None:
        raise RepositoryError(
            f"{found[0]} says nothing of its input and labels: --like BUNDLE does"
        )
    pattern = load_bundle(like)
    tree = json.loads((like / MANIFEST).read_bytes())
    suffix = f".{found[0].rpartition('.')[2]}"
    runtime, name = RUNTIMES[suffix], f"model{suffix}"
    contents = {name: ("model", model.read(found[0]))}
    for file in pattern.variant.files:
        if file.role in {"labels", "golden_in"}:
            contents[file.path] = (file.role, (like / file.path).read_bytes())
    cases = pattern.manifest.selftest.cases
    inputs = [contents[case.golden_in][1] for case in cases]
    answers = golden_answers(runtime, contents[name][1], inputs)
    contents |= {
        case.golden_out: ("golden_out", answer) for case, answer in zip(cases, answers, strict=True)
    }
    files = [_entry(path, role, content) for path, (role, content) in contents.items()]
    variant = {"id": runtime, "runtime": runtime, "precision": "as-given", "files": files}
    seq = max(pattern.manifest.seq, published.get(pattern.manifest.model_id, 0)) + 1
    for gone in ("reference", "source", "min_seq"):
        tree.pop(gone, None)
    bare = {path: content for path, (_, content) in contents.items()}
    return tree | {"version": model.version, "seq": seq, "variants": [variant]}, bare


def _entry(name: str, role: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"path": name, "role": role, "sha256": sha256, "length": len(content)}


def _source(model: Registered, own: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest says of where the model came from; what it said itself stays."""
    found = {
        "training": f"MLflow {model.name} {model.version}",
        "git": model.git,
        "data_sha256": model.data,
    }
    cut = sorted(model.tags.items())[:MOST_ENTRIES]
    return {
        **{key: value for key, value in found.items() if value},
        **{key: value for key, value in own.items() if value},
        "run": model.run,
        "evaluation": dict(sorted(model.metrics.items())[:MOST_ENTRIES]),
        "tags": {key: text[:MOST_TEXT] for key, text in cut},
    }


def _card(model: Registered, manifest: Manifest, found: Verification) -> str:
    source = manifest.source
    rows = [f"| {name} | {value:g} |" for name, value in source.evaluation.items()]
    tags = [f"| {name} | {_cell(text)} |" for name, text in source.tags.items()]
    return "\n".join(
        [
            f"# {manifest.model_id} {manifest.version}",
            "",
            f"From MLflow: `{model.name}` version {model.version}, run `{model.run or 'none'}`.",
            f"Training: {source.training or 'not said'}.",
            f"Commit: {source.git or 'not said'}. Data: {source.data_sha256 or 'not said'}.",
            "",
            "## Evaluation, as the registry has it",
            "",
            *(["| metric | value |", "|---|---|", *rows] if rows else ["None."]),
            "",
            *(["| tag | |", "|---|---|", *tags, ""] if tags else []),
            "## On this machine",
            "",
            f"{found.sentence()}.",
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
