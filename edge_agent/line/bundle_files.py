"""The files of a pipeline's bundles, looked at from outside: a model that was missing may come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from edge_agent.config import PipelineOptions

# How soon a bundle is seen that was put in place, or mended.
LOOK_S = 1.0


class BundleFiles:
    """What lies in the folders of all models of a pipeline, as of now."""

    def __init__(self, folder: Path, options: PipelineOptions) -> None:
        """`folder`: where paths of the config start."""
        bundles = [options.model, *(recipe.model for recipe in options.recipes.values())]
        self._folders = [folder / bundle for bundle in bundles]
        self._before = self._seen()

    def wait_for_others(self, stopping: threading.Event) -> bool:
        """Wait until something there has changed; return False when `stopping` comes first."""
        while not stopping.wait(LOOK_S):
            if self._seen() != self._before:
                return True
        return False

    def _seen(self) -> list[object]:
        return [_files(folder) for folder in self._folders]


def _files(folder: Path) -> object:
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError as error:
        return error.errno
    return sorted((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found)
