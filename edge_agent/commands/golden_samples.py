"""Golden samples out of pictures or windows that somebody has, for a bundle that is there."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, TypeVar

from edge_agent.errors import BadInput, ModelError
from edge_agent.inference import golden
from edge_agent.lazy import lazy_module
from edge_agent.modelstore.manifest import canonical_json, parse_manifest
from edge_agent.pictures import image
from edge_agent.sources.folder import ENDINGS
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import numpy as np

    from edge_agent.inference.model import Model
    from edge_agent.types import Tensors
else:
    np = lazy_module("numpy")

T = TypeVar("T")

# As many as the bundles of this project have: each is run at every load of the model.
CASES = 8
NPZ = ".npz"
# An answer that one step does not move may still round otherwise.
INTEGER_LEAST, FLOAT_LEAST = 1.0, 1e-6


def add_golden_samples(folder: Path, model: Model, samples: Path) -> int:
    """Put golden samples into the bundle `folder`, which `model` is; return how many.

    `samples`: a folder of pictures, or of .npz files: windows as evidence is kept, or the model's
    inputs by their names; or one with a folder of them for each class. At most CASES of them are
    taken, of each folder as many, spread over the names. Raises ModelError that names the file.
    """
    files = _chosen(_files(samples))
    atol: dict[str, float] = {}
    contents: dict[str, tuple[str, bytes]] = {}
    for number, file in enumerate(files):
        given = _inputs(model, file)
        try:
            answers = {name: array.copy() for name, array in model.backend.run(given).items()}
        except ModelError as error:
            raise ModelError(f"{file.name}: {error}") from None
        for name, far in golden.moved(model.backend, given, answers).items():
            least = FLOAT_LEAST if answers[name].dtype.kind == "f" else INTEGER_LEAST
            atol[name] = max(atol.get(name, least), far)
        contents[f"golden_in_{number}{NPZ}"] = ("golden_in", golden.npz(given))
        contents[f"golden_out_{number}{NPZ}"] = ("golden_out", golden.npz(answers))
    for path, (_, content) in contents.items():
        (folder / path).write_bytes(content)
    rounded = {name: golden.rounded_up(far) for name, far in atol.items()}
    _enter(folder, contents, len(files), golden.tolerance(rounded))
    return len(files)


def entry(path: str, role: str, content: bytes) -> dict[str, Any]:
    """Return what a manifest says of one file."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"path": path, "role": role, "sha256": sha256, "length": len(content)}


def _files(samples: Path) -> list[list[Path]]:
    """Return the files right in the folder, and those of each folder in it."""
    if not samples.is_dir():
        raise ModelError(f"no such folder: {samples}")
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(samples.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(samples).parts)
        if path.suffix.lower() in {*ENDINGS, NPZ} and not hidden and path.is_file():
            by_folder.setdefault(path.parent, []).append(path)
    if not by_folder:
        kinds = ", ".join(sorted(ENDINGS))
        raise ModelError(f"{samples}: no picture ({kinds}) and no {NPZ} file in it")
    return [by_folder[folder] for folder in sorted(by_folder)]


def _chosen(folders: list[list[Path]]) -> list[Path]:
    """Return at most CASES files: of each folder as many, those of small ones made up for.

    Of more folders than that, those are taken that lie evenly between the first and the last.
    """
    folders = _spread(folders, min(CASES, len(folders)))
    counts = [0] * len(folders)
    while sum(counts) < CASES:
        # Of folders with files left, the one that has given least; the first of equals.
        left = [at for at, files in enumerate(folders) if counts[at] < len(files)]
        if not left:
            break
        counts[min(left, key=counts.__getitem__)] += 1
    chosen = zip(folders, counts, strict=True)
    return [file for files, count in chosen for file in _spread(files, count)]


def _spread(all_of_them: list[T], count: int) -> list[T]:
    """Return `count` of them: the first, the last and what lies evenly between."""
    step = (len(all_of_them) - 1) / max(1, count - 1)
    return [all_of_them[round(number * step)] for number in range(count)]


def _inputs(model: Model, file: Path) -> Tensors:
    """Return what the model is given for a file, as it stores it. Raises ModelError."""
    try:
        content = file.read_bytes()
        if file.suffix.lower() in ENDINGS:
            return model.task.prepare(Frame(image.decode(content), 0, 0, 0))
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        if "samples" not in arrays:
            return arrays
        channels = tuple(map(str, arrays["channels"]))
        window = Window(arrays["samples"], channels, float(arrays["rate_hz"]), 0, 0, 0)
        return model.task.prepare(window)
    except (BadInput, ModelError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{file.name} cannot be a golden sample: {error}") from None


def _enter(
    folder: Path,
    contents: dict[str, tuple[str, bytes]],
    count: int,
    tolerance: dict[str, Any],
) -> None:
    file = folder / "manifest.json"
    tree = json.loads(file.read_bytes())
    entries = [entry(path, role, content) for path, (role, content) in contents.items()]
    for variant in tree["variants"]:
        variant["files"] += entries
    tree["selftest"] = tree.get("selftest", {}) | {
        "cases": [
            {"in": f"golden_in_{number}{NPZ}", "out": f"golden_out_{number}{NPZ}", **tolerance}
            for number in range(count)
        ]
    }
    manifest = canonical_json(tree)
    parse_manifest(manifest)
    file.write_bytes(manifest)
