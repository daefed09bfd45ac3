"""Import a heavy library when it is first used, not when a module that may need it is read.

The agent process validates the options of every plug-in, so it imports every plug-in, yet it must
stay small: numpy alone would cost it 17 MB. `lazy import` of Python 3.15 says the same in syntax;
until then a module writes

    if TYPE_CHECKING:
        import numpy as np
    else:
        np = lazy_module("numpy")
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _LazyModule(ModuleType):
    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401  it stands for any module
        module = importlib.import_module(self.__name__)
        # Afterwards attributes are found without coming here: no cost per use.
        self.__dict__.update(module.__dict__)
        return getattr(module, attribute)


def lazy_module(name: str) -> ModuleType:
    """Return a stand-in for module `name` that imports it when an attribute is first read."""
    return _LazyModule(name)
