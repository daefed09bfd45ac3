"""state/calibration/PIPELINE.json: what is normal for one pipeline, valid for one model and view.

It is read when a model is loaded. A file of another model, or of another part of the picture, is
left alone and not used: the agent says so and inspects as the model came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge_agent.durable import write_file
from edge_agent.inference.calibration import Normal
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

FOLDER = "calibration"
# A map of 512 x 512 cells has 10 MB; more than this is no file of ours.
MAX_BYTES = 32 << 20
# Of the numbers of a map: far below what parts differ by.
DIGITS = 5

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. `mean` and `deviation` row by row; `fail_at`: of the rule it was made for."""

    schema: Literal[1] = 1
    pipeline: str
    model_id: str
    model_sha256: str
    made: str
    parts: int
    false_reject: float
    roi: tuple[int, int, int, int] | None
    fail_at: Positive
    shape: tuple[int, ...]
    typical: Annotated[float, msgspec.Meta(ge=0)]
    mean: list[float]
    deviation: list[Positive]
    centre: float
    margin: Positive
    cell_limit: Positive


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a task needs of the file: `fail_at` is the score at the limit; `made`: when, UTC."""

    normal: Normal
    fail_at: float
    made: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A calibration that holds, or why there is none: "" where nobody ever calibrated."""

    calibration: Calibration | None
    note: str = ""


def file_of(state_folder: Path, pipeline: str) -> Path:
    """Return where the calibration of a pipeline lies."""
    return state_folder / FOLDER / f"{pipeline}.json"


def find(path: Path, model_sha256: str, roi: tuple[int, int, int, int] | None) -> Found:
    """Return the calibration in `path` if it was made with this model on this part of pictures."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Found(None)
    except OSError as error:
        return Found(None, f"calibration cannot be read ({error.strerror}): ignored")
    try:
        document = msgspec.json.decode(text, type=Document)
    except msgspec.DecodeError as error:
        wrong = f"is damaged ({error})"
    else:
        wrong = _misfit(document, model_sha256, roi)
        if not wrong:
            return Found(_calibration(document))
    again = f"`edge-agent calibrate {path.stem}` makes it anew"
    return Found(None, f"calibration {wrong}: ignored; {again}")


def write(path: Path, document: Document) -> None:
    """Put the file in place whole or not at all, also if the power fails. Raises OSError."""
    write_file(path, msgspec.json.encode(document) + b"\n")


def numbers(values: NDArray[np.floating]) -> list[float]:
    """Return the values of a map row by row, with as many digits as matter."""
    return [float(f"{value:.{DIGITS}g}") for value in values.ravel().tolist()]


def _misfit(document: Document, model_sha256: str, roi: tuple[int, int, int, int] | None) -> str:
    """Return why the calibration cannot be used here, or ""."""
    if not len(document.mean) == len(document.deviation) == math.prod(document.shape):
        return "is damaged (numbers are missing)"
    if document.model_sha256 != model_sha256:
        return f"was made with another model ({document.model_id} {document.model_sha256[:8]})"
    if document.roi != roi:
        return f"was made with roi {document.roi}"
    return ""


def _calibration(document: Document) -> Calibration:
    def shaped(values: list[float]) -> NDArray[np.float32]:
        return np.array(values, np.float32).reshape(document.shape)

    normal = Normal(
        typical=document.typical,
        mean=shaped(document.mean),
        deviation=shaped(document.deviation),
        centre=document.centre,
        margin=document.margin,
        cell_limit=document.cell_limit,
    )
    return Calibration(normal, document.fail_at, document.made)
