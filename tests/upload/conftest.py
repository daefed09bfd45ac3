"""A bucket for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.modelstore.plant import serving
from tests.upload.bucket import Bucket, server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Return a server that takes everything until it is told otherwise."""
    made = Bucket()
    with serving(server(made)) as made.url:
        yield made
