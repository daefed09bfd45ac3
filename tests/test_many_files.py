"""Files by the thousand are whole or absent, and leave no name behind in the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent import many_files
from edge_agent.config import EvidenceOptions
from edge_agent.line.evidence import EvidenceRing
from edge_agent.metrics import Counters
from edge_agent.upload.options import UploadOptions, UploadOrders
from edge_agent.upload.outgoing import Outgoing
from tests.test_evidence import keep, picture, window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.types import Item


def test_a_file_is_written_replaced_and_removed(tmp_path: Path) -> None:
    many_files.write(str(tmp_path), "a.jpg", b"one")
    many_files.write(str(tmp_path), "a.jpg", b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.jpg", b"second")]
    assert many_files.remove(str(tmp_path), "a.jpg") == 6
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        many_files.remove(str(tmp_path), "a.jpg")


def test_a_file_that_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()  # no file can take its place
    with pytest.raises(OSError, match="directory"):
        many_files.write(str(tmp_path), "a.jpg", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("item", [picture, window])
def test_the_names_of_evidence_and_uploads_are_not_interned(
    tmp_path: Path, item: Callable[[int], Item], interned: list[str]
) -> None:
    orders = UploadOrders(UploadOptions(url="http://label.example/"), tmp_path / "upload")

    def upload(counters: Counters) -> Outgoing:
        return Outgoing(orders, "camera", "gw-01", None, counters)

    counters = Counters()
    ring = EvidenceRing(tmp_path / "camera", EvidenceOptions(max_mb=0.02), counters, None, upload)
    names = [keep(ring, item(second)) for second in range(8)]
    ring.close(10)
    assert not [text for text in interned if "Z-" in text]
    assert counters.totals() == {"upload_items": 8}
    assert (tmp_path / names[-1]).exists()
    assert not (tmp_path / names[0]).exists()
