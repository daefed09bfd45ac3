"""Keeps what converters and quantisers print to themselves."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD = (1, 2)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what is printed and warned of in here to itself: pages of it, and none to act on.

    What compiled code writes past Python, too.
    """
    with (
        _shut(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _shut() -> Iterator[None]:
    """Send the process's own outputs nowhere for a while."""
    sys.stdout.flush()
    sys.stderr.flush()
    shown = [os.dup(number) for number in STANDARD]
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in STANDARD:
            os.dup2(nowhere, number)
        os.close(nowhere)
        yield
    finally:
        for number, before in zip(STANDARD, shown, strict=True):
            os.dup2(before, number)
            os.close(before)
