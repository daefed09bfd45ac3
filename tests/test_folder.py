"""The folder source: order, pace, names, and pictures that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.errors import BadInput, EndOfStream, NotConnected
from edge_agent.sources.folder import Options, natural_order
from tests.sources import create, frames, read_all, read_one, source_context

if TYPE_CHECKING:
    from pathlib import Path


JPEG = cv2.imencode(".jpg", np.full((80, 80, 3), 100, np.uint8))[1].tobytes()


def put(folder: Path, *names: str) -> None:
    for name in names:
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 100, np.uint8))


def test_pictures_come_in_the_order_a_person_would_count_them(tmp_path: Path) -> None:
    put(tmp_path, "part10.png", "part9.jpg", "part1.BMP", "Part2.jpeg")
    (tmp_path / "notes.txt").write_text("no picture")
    source = create(source_context(folder=tmp_path.parent), kind="folder", path=tmp_path.name)
    source.connect()
    items = frames(read_all(source))
    names = ["Part2.jpeg", "part1.BMP", "part9.jpg", "part10.png"]
    assert [item.origin for item in items] == names
    assert [item.index for item in items] == [0, 1, 2, 3]
    assert items[0].pixels.shape == (8, 8, 3)


def test_numbers_sort_as_numbers_and_never_against_text() -> None:
    names = ["2", "10", "a", "a2b10", "a2b9", "", "1x", "٣", "²"]
    assert sorted(names, key=natural_order)[:5] == ["", "1x", "2", "10", "a"]


def test_a_looped_folder_begins_again(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    source = create(source_context(folder=tmp_path), kind="folder", path=".", loop=True)
    source.connect()
    items = [read_one(source) for _ in range(5)]
    assert [item.origin for item in items] == ["a.png", "b.png", "a.png", "b.png", "a.png"]
    assert [item.index for item in items] == [0, 1, 2, 3, 4]
    source.close()
    with pytest.raises(EndOfStream):
        source.read(0)


def test_the_end_of_a_folder_is_the_end(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    source = create(source_context(folder=tmp_path), kind="folder", path=".")
    source.connect()
    assert len(read_all(source)) == 1
    for _ in range(2):
        with pytest.raises(EndOfStream):
            source.read(0)


def test_the_part_is_read_from_the_file_name_also_of_a_picture_that_cannot_be_read(
    tmp_path: Path,
) -> None:
    put(tmp_path, "KGT9-S-101_crop.png", "other.png")
    (tmp_path / "KGT9-S-102_crop.png").write_bytes(b"no picture")
    pattern = r"-(?P<part_id>[0-9]+)_"
    source = create(source_context(folder=tmp_path), kind="folder", path=".", part_id=pattern)
    source.connect()
    assert read_one(source).part_id == "101"
    with pytest.raises(BadInput, match="undecodable") as error:
        source.read(0)
    assert error.value.part_id == "102"
    assert read_one(source).part_id is None


@pytest.mark.parametrize("pattern", ["[", "(?P<part>x)", "x" * 300, "(?P<part_id>"])
def test_a_pattern_that_cannot_name_parts_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="part_id"):
        Options.model_validate({"kind": "folder", "path": "x", "part_id": pattern})


def test_pictures_come_no_faster_than_asked_for(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number}.png" for number in range(5)))
    source = create(source_context(folder=tmp_path), kind="folder", path=".", fps=50)
    source.connect()
    items = read_all(source)
    assert items[-1].captured_mono_ns - items[0].captured_mono_ns >= 0.95 * 4e9 / 50


def test_a_picture_that_is_not_due_yet_is_not_waited_for_longer_than_asked(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a.png", "b.png")
    source = create(source_context(folder=tmp_path), kind="folder", path=".", fps=0.01)
    source.connect()
    read_one(source)
    assert source.read(0.01) is None
    source.close()
    with pytest.raises(EndOfStream):
        source.read(1000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "undecodable"), (b"no picture", "undecodable"), (JPEG[:-20], "truncated")],
)
def test_an_unreadable_picture_is_named_and_the_next_one_comes(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    put(tmp_path, "b.png")
    (tmp_path / "a.jpg").write_bytes(content)
    source = create(source_context(folder=tmp_path), kind="folder", path=".")
    source.connect()
    with pytest.raises(BadInput, match=r"a\.jpg") as error:
        source.read(0)
    assert error.value.reason == reason
    assert read_one(source).index == 1


def test_a_picture_that_is_gone_or_a_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "c.png")
    (tmp_path / "b.png").mkdir()
    source = create(source_context(folder=tmp_path), kind="folder", path=".")
    source.connect()
    (tmp_path / "a.png").unlink()
    for name in ("a.png", "b.png"):
        with pytest.raises(BadInput, match=f"unreadable: {name}"):
            source.read(0)
    assert read_one(source).origin == "c.png"


def test_a_huge_file_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 30)
    source = create(source_context(folder=tmp_path), kind="folder", path=".")
    source.connect()
    with pytest.raises(BadInput, match=r"too_large: a\.png"):
        source.read(0)


def test_a_missing_or_empty_folder_is_waited_for(tmp_path: Path) -> None:
    options: dict[str, Any] = {"kind": "folder", "path": "parts"}
    source = create(source_context(folder=tmp_path), **options)
    with pytest.raises(NotConnected, match="No such file"):
        source.connect()
    (tmp_path / "parts").mkdir()
    with pytest.raises(NotConnected, match="no pictures"):
        source.connect()
    put(tmp_path / "parts", "a.png")
    source.connect()
    assert read_one(source).origin == "a.png"


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("mounted", [True, False])
def test_a_folder_that_goes_away_is_waited_for_and_costs_no_picture(
    tmp_path: Path, *, loop: bool, mounted: bool
) -> None:
    parts, away = tmp_path / "parts", tmp_path / "away"
    parts.mkdir()
    put(parts, "a.png", "b.png", "c.png")
    source = create(source_context(folder=tmp_path), kind="folder", path="parts", loop=loop)
    source.connect()
    read_one(source)
    parts.rename(away)
    if mounted:  # of a share that is unmounted, its empty place stays
        parts.mkdir()
    with pytest.raises(NotConnected, match="no pictures in it any more" if mounted else "No such"):
        source.read(0)
    if mounted:
        parts.rmdir()
    away.rename(parts)
    source.connect()
    names = ["a.png", "b.png", "c.png"] if loop else ["b.png", "c.png"]
    items = [read_one(source) for _ in names]
    assert [item.origin for item in items] == names
    assert items[-1].index == len(names)


def test_a_folder_that_comes_back_with_nothing_new_is_at_its_end(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    source = create(source_context(folder=tmp_path), kind="folder", path=".")
    source.connect()
    read_one(source)
    for name in ("a.png", "b.png"):
        (tmp_path / name).unlink()
    with pytest.raises(NotConnected):
        source.read(0)
    put(tmp_path, "a.png")
    source.connect()
    with pytest.raises(EndOfStream):
        source.read(0)


def test_a_loop_reads_what_is_there_when_it_begins_again(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "c.png")
    source = create(source_context(folder=tmp_path), kind="folder", path=".", loop=True)
    source.connect()
    first = read_one(source).origin
    put(tmp_path, "b.png")
    (tmp_path / "a.png").unlink()
    assert [first, *(read_one(source).origin for _ in range(3))] == [
        "a.png",
        "c.png",
        "b.png",
        "c.png",
    ]


def test_the_ball_screw_photos_are_read_with_their_moments_as_parts(shared_data: Path) -> None:
    source = create(
        source_context(folder=shared_data),
        kind="folder",
        path="bsdata/images",
        part_id=r"^\d+_(?P<part_id>\d+)_",
    )
    source.connect()
    items = frames([read_one(source) for _ in range(20)])
    assert {item.pixels.shape for item in items} == {(460, 1130, 3)}
    moments = [item.part_id or "" for item in items]
    assert all(len(moment) == 12 for moment in moments)
    assert moments == sorted(moments)
