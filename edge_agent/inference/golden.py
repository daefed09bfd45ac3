"""Golden samples: inputs of a bundle with the answers that its model must give to them.

How far an answer may be off, another processor's say, is measured by one step: every value of an
input moved up or down by no more than the smallest number that int8 tells apart, which no camera
and no sensor repeats. What moves an answer no further is not taken for wrong.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from edge_agent.errors import ModelError
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.backends.base import Backend
    from edge_agent.modelstore.manifest import Bundle, SelfTestCase
    from edge_agent.types import Tensors
else:
    np = lazy_module("numpy")

SEED = 1
# How far one step moves an answer is chance: so many times it is tried.
TIMES = 4
# The steps between the least and the greatest value of an input that has none of its own.
STEPS = 255
DIGITS = 2


def read_tensors(folder: Path, bundle: Bundle, name: str) -> Tensors:
    """Return the tensors in one of the bundle's golden files. Raises ModelError."""
    if name not in {file.path for file in bundle.variant.files}:
        raise ModelError(f"golden sample {name}: manifest.json vouches for no such file")
    try:
        with np.load(io.BytesIO((folder / name).read_bytes()), allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"golden sample {name} cannot be read: {error}") from None


def difference(got: Tensors, wanted: Tensors, case: SelfTestCase) -> str:
    """Return in what `got` is further from `wanted` than the case allows; "" where it is not."""
    if got.keys() != wanted.keys():
        return f"holds {', '.join(wanted)}, and the model answers {', '.join(got)}"
    for name, answer in got.items():
        if complaint := _complaint(
            answer, wanted[name], case.atol_of.get(name, case.atol), case.rtol
        ):
            return f"{name} {complaint}"
    return ""


def _complaint(
    got: NDArray[np.generic], wanted: NDArray[np.generic], atol: float, rtol: float
) -> str:
    if got.shape != wanted.shape:
        return f"is of shape {list(got.shape)} instead of {list(wanted.shape)}"
    answer, right = got.astype(np.float64), wanted.astype(np.float64)
    off = np.abs(answer - right)
    # A NaN is never within reach, unless NaN was the answer all along.
    within = (off <= atol + rtol * np.abs(right)) | (np.isnan(answer) & np.isnan(right))
    if within.all():
        return ""
    most = np.nanmax(off) if np.isfinite(off).any() else float("nan")
    return (
        f"differs in {(~within).sum()} of {off.size} values, by up to {most:.4g} where "
        f"{atol:g} is allowed"
    )


def npz(tensors: Tensors) -> bytes:
    """Return tensors as an uncompressed .npz file: the same tensors give the same bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: tensors[name] for name in sorted(tensors)}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def moved(backend: Backend, given: Tensors, answers: Tensors) -> dict[str, float]:
    """Return how far one step of `given` moves each output from `answers`, which it gave to that.

    The furthest value of an output counts, over all times.
    """
    wanted = {name: array.astype(np.float64) for name, array in answers.items()}
    moves = dict.fromkeys(wanted, 0.0)
    rng = np.random.default_rng(SEED)  # anew: what an input shows does not hang on the others
    for _ in range(TIMES):
        got = backend.run({name: _one_step(array, rng) for name, array in given.items()})
        for name, array in got.items():
            off = float(np.abs(array.astype(np.float64) - wanted[name]).max(initial=0.0))
            moves[name] = max(moves[name], off)
    return moves


def rounded_up(value: float) -> float:
    """Return the next number of few digits, which a reader of the manifest can take in.

    `value`: above 0.
    """
    unit = 10.0 ** (np.floor(np.log10(value)) - DIGITS + 1)
    return float(f"{np.ceil(value / unit) * unit:.{DIGITS}g}")


def tolerance(atol: Mapping[str, float]) -> dict[str, Any]:
    """Return the fields of a case for these outputs: the largest, and those that have a lesser."""
    most = max(atol.values())
    lesser = {name: value for name, value in atol.items() if value < most}
    return {"atol": most, **({"atol_of": lesser} if lesser else {})}


def _one_step(array: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.generic]:
    """Return an input, each value moved by -1, 0 or 1 step: of its own, else by its range."""
    steps = rng.integers(-1, 2, array.shape)
    stepped: NDArray[np.generic]
    if array.dtype.kind == "f":
        values = array.astype(np.float64)
        step = float(np.ptp(values)) / STEPS if values.size else 0.0
        stepped = (values + steps * step).astype(array.dtype)
    else:
        reach: Any = np.iinfo(array.dtype.name)
        stepped = np.clip(array.astype(np.int64) + steps, reach.min, reach.max).astype(array.dtype)
    return stepped
