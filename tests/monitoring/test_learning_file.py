"""What is half learned outlives a restart, a power cut, and a disk that refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.monitoring.learning_file import EVERY_S, LearnedItem, LearningFile
from edge_agent.monitoring.reference_file import Origin

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = Origin("ab" * 32, (0, 0, 9, 9))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def opened(path: Path, clock: Clock, origin: Origin = ORIGIN) -> tuple[LearningFile, list[float]]:
    """Return a file that was begun, or gone on with, and the scores of its items."""
    file = LearningFile(path, origin, clock)
    return file, [item.figures["score"] for item in file.items()]


def kept(path: Path) -> list[float]:
    return opened(path, Clock())[1]


def test_items_are_written_every_few_seconds_and_come_back_in_order(tmp_path: Path) -> None:
    path, clock = tmp_path / "drift" / "camera.json", Clock()
    file, before = opened(path, clock)
    assert before == []
    for score in range(20):
        clock.now_s = score * EVERY_S / 10
        file.add({"score": score, "brightness": 90.5}, reject=score == 3)
    assert [path.name for path in path.parent.iterdir()] == ["camera.learning"]
    again = LearningFile(path, ORIGIN, clock)
    items = list(again.items())
    assert items[3] == LearnedItem({"score": 3.0, "brightness": 90.5}, reject=True)
    # What came after the newest write is what a kill costs.
    assert [item.figures["score"] for item in items] == list(range(11))
    clock.now_s += EVERY_S
    again.add({"score": 50.0}, reject=False)
    assert kept(path) == [*range(11), 50.0]


def test_what_came_since_the_newest_write_is_kept_at_an_orderly_end(tmp_path: Path) -> None:
    path, clock = tmp_path / "camera.json", Clock()
    for scores in ((1.0, 2.0), (), (3.0,)):
        file, _ = opened(path, clock)
        for score in scores:
            file.add({"score": score}, reject=False)
        file.close()
    assert kept(path) == [1.0, 2.0, 3.0]
    file, _ = opened(path, clock)
    file.add({"score": 4.0}, reject=False)
    file.remove()
    file.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "origin",
    [Origin("cd" * 32, (0, 0, 9, 9)), Origin("ab" * 32, None), Origin("ab" * 32, None, "today")],
    ids=["another model", "another part of the picture", "calibrated since"],
)
def test_items_of_other_conditions_go(tmp_path: Path, origin: Origin) -> None:
    path, clock = tmp_path / "camera.json", Clock()
    file, _ = opened(path, clock)
    clock.now_s = EVERY_S
    file.add({"score": 1.0}, reject=False)
    other, before = opened(path, clock, origin)
    assert before == []
    clock.now_s += EVERY_S
    other.add({"score": 2.0}, reject=False)
    assert opened(path, clock, origin)[1] == [2.0]


def test_half_a_line_is_no_item(tmp_path: Path) -> None:
    path, clock = tmp_path / "camera.json", Clock()
    file, _ = opened(path, clock)
    for score in (1.0, 2.0):
        clock.now_s += EVERY_S
        file.add({"score": score}, reject=False)
    lying = path.with_suffix(".learning")
    lying.write_bytes(lying.read_bytes()[:-9])
    assert kept(path) == [1.0]


def test_what_follows_half_a_line_is_kept(tmp_path: Path) -> None:
    path, clock = tmp_path / "camera.json", Clock()
    file, _ = opened(path, clock)
    clock.now_s = EVERY_S
    file.add({"score": 1.0}, reject=False)
    lying = path.with_suffix(".learning")
    lying.write_bytes(lying.read_bytes() + b'{"figures":{"sc')
    again, _ = opened(path, clock)
    clock.now_s += EVERY_S
    again.add({"score": 2.0}, reject=False)
    assert kept(path) == [1.0, 2.0]


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"[]\n", b"\xff\n"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path, clock = tmp_path / "camera.json", Clock()
    path.with_suffix(".learning").write_bytes(content)
    file, before = opened(path, clock)
    assert before == []
    clock.now_s = EVERY_S
    file.add({"score": 1.0}, reject=False)
    assert kept(path) == [1.0]


def test_a_disk_that_refuses_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    clock = Clock()
    file, _ = opened(blocked / "camera.json", clock)
    for _ in range(3):
        clock.now_s += EVERY_S
        file.add({"score": 1.0}, reject=False)
    assert [record.getMessage() for record in caplog.records] == [
        "camera.learning cannot be kept: Not a directory"
    ]
