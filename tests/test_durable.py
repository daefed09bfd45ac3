"""A file is whole or as it was, and a write leaves no name behind in the process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from edge_agent.durable import write_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_written_replaced_and_given_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state.json"
    write_file(path, b"one")
    write_file(path, b"second", mode=0o600)
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [
        ("state.json", b"second")
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    write_file(path, b"one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"second")
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]
    assert path.read_bytes() == b"one"


def test_a_write_interns_no_name(tmp_path: Path, interned: list[str]) -> None:
    path = tmp_path / "state.json"
    interned.clear()
    write_file(path, b"one")
    assert interned == []
    assert path.read_bytes() == b"one"
