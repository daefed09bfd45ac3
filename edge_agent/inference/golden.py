"""Golden samples: inputs of a bundle with the answers that its model must give to them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from edge_agent.errors import ModelError
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.modelstore.manifest import Bundle, SelfTestCase
    from edge_agent.types import Tensors
else:
    np = lazy_module("numpy")


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
