"""`edge-agent bundle`: puts a model file that somebody has into a bundle that the agent runs.

Or into a bundle that is there already: the same model once more, as an accelerator wants it.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.commands.fitting import require_limits
from edge_agent.commands.golden_samples import add_golden_samples, entry
from edge_agent.errors import ModelError
from edge_agent.inference.model import load_model
from edge_agent.modelstore.manifest import canonical_json, load_bundle, parse_manifest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from edge_agent.inference.model import Model
    from edge_agent.modelstore.manifest import Manifest

UNPROVEN = (
    "It is unproven: without golden samples nothing tells whether a gateway answers as this did.\n"
    "The same command with --samples FOLDER adds some: a folder of pictures, or of .npz files."
)
MANIFEST = "manifest.json"
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


def answer(options: argparse.Namespace) -> list[str]:
    """Do what the command line asks for; return what there is to say. Raises ModelError."""
    folder: Path = options.folder
    if options.hw:
        if options.samples is not None:
            raise ModelError("--samples: golden samples are the CPU's answers; say it with --task")
        manifest = add_variant(options.model, folder, options.hw)
        variants = ", ".join(variant.id for variant in manifest.variants)
        lines = [f"{folder}: now has the variants {variants}; {options.hw} was not run"]
        if not manifest.selftest.cases:
            lines.append("It has no golden samples: without any, it inspects on the CPU alone.")
        return lines
    labels = tuple(options.labels.read_text().splitlines()) if options.labels else ()
    wanted = recipe(options.task, labels, options.set)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # What does not fit must leave a bundle that is there as it is.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as draft:
        lines = _make(options, Path(draft) / folder.name, wanted)
        _put_in_place(Path(draft) / folder.name, folder)
    return lines


def _make(options: argparse.Namespace, draft: Path, wanted: Recipe) -> list[str]:
    model = write_bundle(options.model, draft, wanted)
    ends = [("input", spec) for spec in model.backend.inputs]
    ends += [("output", spec) for spec in model.backend.outputs]
    lines = [f"{word}  {spec.name}  {spec.dtype} {list(spec.shape)}" for word, spec in ends]
    lines.append(f"{options.folder}: loads and fits; what it says is in manifest.json")
    if options.samples is None:
        return [*lines, UNPROVEN]
    count = add_golden_samples(draft, model, options.samples)
    where = f"`edge-agent verify {options.folder}`"
    return [*lines, f"{count} golden samples from {options.samples}: {where}"]


def _put_in_place(draft: Path, folder: Path) -> None:
    """Move the files of a bundle into its folder: the manifest last, for it vouches for them."""
    folder.mkdir(exist_ok=True)
    for file in sorted(draft.iterdir(), key=lambda file: file.name == MANIFEST):
        file.replace(folder / file.name)


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
    runtime = _runtime(model)
    contents = {f"model{model.suffix}": ("model", model.read_bytes())}
    if recipe.labels:
        lines = "".join(f"{label}\n" for label in recipe.labels)
        contents["labels.txt"] = ("labels", lines.encode())
    files = [entry(path, role, content) for path, (role, content) in contents.items()]
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
    require_limits(parse_manifest(manifest))
    folder.mkdir(parents=True, exist_ok=True)
    for path, (_, content) in contents.items():
        (folder / path).write_bytes(content)
    (folder / MANIFEST).write_bytes(manifest)
    return load_model(folder, threads=1, roi=None)


def add_variant(model: Path, folder: Path, hw: str) -> Manifest:
    """Put `model` into the bundle `folder` as what hardware `hw` runs; one that is there goes.

    Labels and golden samples are those of the CPU's variant, which stays. Nothing is run: the
    gateway that has the hardware does so. Return the manifest; raise ModelError.
    """
    load_bundle(folder)
    file = folder / MANIFEST
    tree = json.loads(file.read_bytes())
    plain = next(variant for variant in tree["variants"] if "cpu" in variant.get("hw", ["cpu"]))
    content = model.read_bytes()
    path = f"model-{hw}{model.suffix}"
    shared = [entry for entry in plain["files"] if entry["role"] != "model"]
    added = {
        "id": hw,
        "runtime": _runtime(model),
        "hw": [hw],
        "precision": "as-given",
        "files": [entry(path, "model", content), *shared],
    }
    others = [variant for variant in tree["variants"] if variant["id"] != hw]
    if plain not in others:
        raise ModelError(f"{hw} is the name of the variant for the CPU")
    tree["variants"] = [*others, added]
    manifest = canonical_json(tree)
    read = parse_manifest(manifest)
    (folder / path).write_bytes(content)
    file.write_bytes(manifest)
    return read


def _runtime(model: Path) -> str:
    runtime = RUNTIMES.get(model.suffix)
    if runtime is None:
        raise ModelError(f"{model.name}: not one of {', '.join(RUNTIMES)}")
    return runtime
