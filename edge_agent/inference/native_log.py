"""What native code writes to standard error: some libraries say what they did there alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STDERR = 2


class NativeLog:
    """`text`: what was written, once the block has ended."""

    text = ""


@contextlib.contextmanager
def native_log() -> Iterator[NativeLog]:
    """Keep what the whole process writes to standard error in this block, instead of showing it."""
    log = NativeLog()
    shown = os.dup(STDERR)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), STDERR)
        try:
            yield log
        finally:
            os.dup2(shown, STDERR)
            os.close(shown)
            file.seek(0)
            log.text = file.read().decode("utf-8", "replace")
