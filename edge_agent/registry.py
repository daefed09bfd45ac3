"""The folder listing is the registry of plug-ins.

A plug-in is one file `edge_agent/<folder>/<kind>.py` with

    class Options(StrictOptions):
        kind: Literal["<kind>"]
        ...
    def create(options: Options, context: ...) -> ...

`kind` arrives over the network: it is compared with the names in the folder and never imported as
a dotted path.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

if TYPE_CHECKING:
    from types import ModuleType

PACKAGE_FOLDER = Path(__file__).parent


@functools.cache
def kinds(folder: str) -> tuple[str, ...]:
    """Return the kinds of plug-in in `folder` ("sources", "tasks", ...), sorted."""
    files = (PACKAGE_FOLDER / folder).glob("[a-z]*.py")
    return tuple(sorted(file.stem for file in files if file.stem != "base"))


def plugin(folder: str, kind: str) -> ModuleType:
    """Return the module of plug-in `kind`; raise KeyError for a name that is not in the folder."""
    if kind not in kinds(folder):
        raise KeyError(kind)
    return importlib.import_module(f"edge_agent.{folder}.{kind}")


def options_type(folder: str) -> Any:  # noqa: ANN401  a union built from the folder has no static type
    """Return the union of the Options of every plug-in in `folder`, told apart by `kind`."""
    models = tuple(plugin(folder, kind).Options for kind in kinds(folder))
    if len(models) == 1:
        return models[0]
    return Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007  built at run time


def create(folder: str, options: Any, *context: Any) -> Any:  # noqa: ANN401  as above
    """Build the plug-in that `options` belongs to."""
    return plugin(folder, options.kind).create(options, *context)
