"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def fresh_folder(out: Path, *, marker: str = "manifest.json") -> Iterator[Path]:
    """Give an empty folder beside `out`; it becomes `out` once all has gone well.

    What stood at `out` is replaced then, if it holds the file `marker` as a bundle does, and stays
    as it is on any failure. Raises FileExistsError where `out` is something else that holds files:
    that is nobody's to delete.
    """
    check_replaceable(out, marker=marker)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made
        if out.exists():
            out.rename(Path(scratch) / "before")
        made.rename(out)


def check_replaceable(out: Path, *, marker: str = "manifest.json") -> None:
    """Raise FileExistsError where `fresh_folder` would: to be known before hours of training."""
    if out.exists() and not _replaceable(out, marker):
        what = "bundle" if marker == "manifest.json" else f"folder with {marker}"
        raise FileExistsError(f"{out} exists and is no {what}: choose another place, or remove it")
    above = next(folder for folder in out.resolve().parents if folder.exists())
    try:
        tempfile.TemporaryDirectory(dir=above).cleanup()
    except OSError as error:
        raise OSError(f"{out}: nothing can be written to {above}: {error.strerror}") from None


def _replaceable(out: Path, marker: str) -> bool:
    if not out.is_dir():
        return False
    return (out / marker).is_file() or not any(out.iterdir())
