"""The state of one line on disk: the old file or the new one, whenever the power fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from edge_agent.production.line import LineState

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

# 5,000 parts take some 50 kB, a baseline of 10,000 points 200 kB.
MAX_BYTES = 2_000_000


def read(path: Path) -> LineState:
    """Return what was written; a fresh state where there is nothing, or nothing that can be read.

    Figures of a shift are worth a warning, and no reason not to inspect.
    """
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_BYTES), type=LineState)
    except FileNotFoundError:
        return LineState()
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s: line figures begin anew: %s", path.stem, error)
        return LineState()
