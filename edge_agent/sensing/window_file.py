"""A window as a file: .npz with samples, channels and rate_hz."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np

    from edge_agent.types import Window
else:
    np = lazy_module("numpy")


def encode(window: Window) -> bytes:
    """Return the file's bytes."""
    buffer = io.BytesIO()
    channels = np.array(window.channels)
    np.savez(buffer, samples=window.samples, channels=channels, rate_hz=window.rate_hz)
    return buffer.getvalue()
