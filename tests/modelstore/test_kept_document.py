"""The fleet's document is read from the gateway's own disk for as long as it is the signed one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.modelstore.desired import Match, ModelRef
from edge_agent.modelstore.origin import FolderOrigin
from tools.repo import publishing, rollouts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.modelstore.desired import Desired
    from tests.modelstore.plant import Owner, Site


class Asked:
    """An origin that remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[str] = []
        self._origin = FolderOrigin(folder)

    def read(self, path: str, limit: int) -> bytes:
        self.paths.append(path)
        return self._origin.read(path, limit)

    def stream(self, path: str, start: int, length: int) -> Iterator[bytes]:
        return self._origin.stream(path, start, length)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def asked(owner: Owner, gateway: Site) -> Asked:
    """Return what a gateway asks that has read the document of its fleet once."""
    publish(owner, owner.add())
    gateway.origin = origin = Asked(owner.desk.folder)
    gateway.refresh().desired("default")
    origin.paths.clear()
    return origin


def publish(owner: Owner, model: ModelRef) -> None:
    """Have every gateway run `model`."""

    def edit(document: Desired) -> Desired:
        return rollouts.with_default(document, "spindle", Match(), model)

    publishing.edit_desired(owner.desk, "default", edit)


def wanted(gateway: Site) -> str:
    return str(gateway.refresh().desired("default").rules[0].default)


def test_a_poll_without_news_is_two_requests_with_the_document(gateway: Site, asked: Asked) -> None:
    assert wanted(gateway) == "wear@1.0.0"
    assert asked.paths == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_a_document_that_was_signed_since_is_asked_for(
    owner: Owner, gateway: Site, asked: Asked
) -> None:
    publish(owner, owner.add(version="2.0.0", seq=2))
    assert wanted(gateway) == "wear@2.0.0"
    assert any(path.startswith("targets/rollout/default/") for path in asked.paths)


@pytest.mark.parametrize("content", [b"", b'{"schema":1,"epoch":9,"rules":[]}'])
def test_a_copy_that_was_changed_on_the_disk_is_asked_for_again(
    gateway: Site, asked: Asked, content: bytes
) -> None:
    gateway.layout.desired("default").write_bytes(content)
    assert wanted(gateway) == "wear@1.0.0"
    asked.paths.clear()
    assert wanted(gateway) == "wear@1.0.0"
    assert asked.paths == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_a_copy_that_cannot_be_kept_costs_a_request_and_nothing_else(
    gateway: Site, asked: Asked
) -> None:
    kept = gateway.layout.desired("default")
    kept.unlink()
    kept.mkdir()
    assert wanted(gateway) == "wear@1.0.0"
    assert sum(path.startswith("targets/") for path in asked.paths) == 1
