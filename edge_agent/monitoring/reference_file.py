"""state/drift/PIPELINE.json: the reference that a pipeline has learned, for one model and view.

It is made anew for another model, another part of the picture or another calibration: what is
usual before a calibration says nothing about after it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge_agent.durable import write_file
from edge_agent.monitoring.drift import Reference
from edge_agent.monitoring.reference import STEPS, Quantiles

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FOLDER = "drift"
MAX_BYTES = 1 << 20

_Quantiles = Annotated[tuple[float, ...], msgspec.Meta(min_length=STEPS + 1, max_length=STEPS + 1)]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a learned reference belongs to; `calibration`: its `made`, "" where there is none."""

    model_sha256: str
    roi: tuple[int, int, int, int] | None
    calibration: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    schema: Literal[1] = 1
    model_sha256: str
    roi: tuple[int, int, int, int] | None
    calibration: str
    items: Annotated[int, msgspec.Meta(ge=1)]
    reject_rate: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    figures: dict[str, _Quantiles]


def file_of(state_folder: Path, pipeline: str, model_sha256: str) -> Path:
    """Return where the reference of a pipeline with this model lies."""
    return state_folder / FOLDER / f"{pipeline}-{model_sha256[:8]}.json"


def find(path: Path, origin: Origin) -> Reference | None:
    """Return the reference in `path` if it was learned under the same conditions."""
    try:
        with path.open("rb") as file:
            document = msgspec.json.decode(file.read(MAX_BYTES), type=Document)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s cannot be used (%s): learned anew", path.name, error)
        return None
    found = Origin(document.model_sha256, document.roi, document.calibration)
    if found != origin:
        return None
    figures: dict[str, Quantiles] = dict(document.figures)
    return Reference(document.items, figures, document.reject_rate, "learned")


def write(path: Path, reference: Reference, origin: Origin) -> None:
    """Put the file in place whole or not at all; where the disk refuses, say so and go on."""
    document = Document(
        model_sha256=origin.model_sha256,
        roi=origin.roi,
        calibration=origin.calibration,
        items=reference.items,
        reject_rate=reference.reject_rate or 1 / (reference.items + 2),
        figures={name: tuple(values) for name, values in reference.figures.items()},
    )
    try:
        write_file(path, msgspec.json.encode(document) + b"\n")
    except OSError as error:
        # Not worth stopping for: after a restart it is learned once more.
        log.warning("%s cannot be kept: %s", path.name, error.strerror)
