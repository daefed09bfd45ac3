"""A repository and a gateway for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.modelstore import plant

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def owner(tmp_path: Path) -> plant.Owner:
    """Return the owner of a new, empty repository."""
    made = plant.Owner(tmp_path / "server")
    made.init()
    return made


@pytest.fixture
def gateway(tmp_path: Path, owner: plant.Owner) -> plant.Site:
    """Return a gateway that reads the repository's folder."""
    return plant.site(tmp_path, owner)
