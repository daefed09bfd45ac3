"""The files and folders that a config names, beside the models: which of them are not there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from edge_agent.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.config import Config

FOLDERS = {"path"}
FILES = {"file", "root", "password_file", "ca_file", "cert_file", "key_file"}
# A library, which the system looks for where the name has no folder.
LIBRARY = "delegate"
# Where a relative path starts at the config file; any other starts where the agent is started.
BESIDE_THE_CONFIG = ("/sync/", "/source/path", "/source/file")
WAITS = "what needs it waits for it"
# systemd puts secrets there when the service starts, for the service alone.
CREDENTIALS = Path("/run/credentials")


def missing_files(config: Config, folder: Path, then: str = WAITS) -> list[FieldError]:
    """Return each file or folder that is named and is not there.

    The agent starts all the same: what needs it waits until it comes. `then`: says what follows.
    """
    found = []
    defined = {each.delegate for each in config.accelerators.values()}
    for pointer, name, value in _named(config, ""):
        if name == LIBRARY and value in defined and pointer.startswith("/pipelines/"):
            continue  # it is said where the word is defined
        beside = any(place in pointer for place in BESIDE_THE_CONFIG)
        path = (folder if beside else Path()) / value
        if CREDENTIALS in path.parents and not _is_filled(path.parent):
            continue
        if why := _why_missing(path.absolute(), folder=name in FOLDERS):
            without = "; without it the model runs as `on_failure` says"
            why += without if name == LIBRARY else f"; {then}"
            found.append(FieldError(pointer, "missing", why))
    return found


def _is_filled(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _why_missing(path: Path, *, folder: bool) -> str:
    kind = "folder" if folder else "file"
    try:
        if not path.exists():
            return f"no such {kind}: {path}"
        if path.is_dir() != folder:
            return f"is no {kind}: {path}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def _named(node: object, pointer: str) -> Iterator[tuple[str, str, str | Path]]:
    """Yield JSON pointer, field and path of each file that is named at `node` or below."""
    if isinstance(node, dict):
        fields = node
    elif isinstance(node, BaseModel):
        fields = {name: getattr(node, name) for name in type(node).model_fields}
    else:
        return
    for name, value in fields.items():
        here = f"{pointer}/{name}"
        if name == LIBRARY and "/" not in str(value):
            continue
        if name in FILES | FOLDERS | {LIBRARY} and isinstance(value, str | Path) and str(value):
            yield here, name, value
        else:
            yield from _named(value, here)
