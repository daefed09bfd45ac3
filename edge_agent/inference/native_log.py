"""What native code writes to standard error: some libraries say what they did there alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STDERR = 2
# Standard error is the whole process's. Of two threads that put it aside, the second would take the
# first one's file for what was shown, and leave the process with it.
_ALONE = threading.Lock()


class NativeLog:
    """`text`: what was written, once the block has ended."""

    text = ""


@contextlib.contextmanager
def native_log() -> Iterator[NativeLog]:
    """Keep what the whole process writes to standard error in this block, instead of showing it."""
    log = NativeLog()
    with _ALONE, tempfile.TemporaryFile() as file:
        shown = os.dup(STDERR)
        os.dup2(file.fileno(), STDERR)
        try:
            yield log
        finally:
            os.dup2(shown, STDERR)
            os.close(shown)
            file.seek(0)
            log.text = file.read().decode("utf-8", "replace")
