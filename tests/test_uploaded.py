"""What gateways sent and people labelled becomes photos to train on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.test_evidence import picture, verdict
from tests.upload.test_excerpt import kept
from tools.photos.reading import Reading, read_photos
from tools.uploaded import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """Return what a server has of five fails, two of them of one part."""
    folder = tmp_path / "received" / "gw-01"
    for second in range(5):
        part = f"part-{second // 2}"
        seen = replace(verdict(), id=f"{second}" * 8, part_id=part)
        kept(tmp_path, seen, picture(second))
    folder.mkdir(parents=True)
    (tmp_path / "upload" / "camera").rename(folder / "camera")
    return folder.parent


def names(received: Path) -> list[str]:
    return sorted(path.name for path in received.rglob("*.jpg"))


def test_labels_of_a_csv_become_class_folders_that_the_recipe_reads_with_their_groups(
    tmp_path: Path, received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third, fourth, _ = names(received)
    labels = tmp_path / "labels.csv"
    rows = [f"{first},scratch", f"camera/{second},ok", f"{third},ok", f"{fourth},skip"]
    labels.write_text("\ufefffile,label\n" + "\n".join(rows) + "\n")
    out = tmp_path / "out"
    assert main([str(received), str(out), "--labels", str(labels)]) == 0
    said = capsys.readouterr().out
    assert "2 ok, where the agent said fail" in said
    assert "1 left out: a person was unsure" in said
    assert "1 left out: without a label" in said
    photos, _ = read_photos(out, Reading(groups=out / "groups.csv"))
    assert sorted((photo.label, photo.group) for photo in photos) == [
        ("ok", "gw-01/camera/part-0"),
        ("ok", "gw-01/camera/part-1"),
        ("scratch", "gw-01/camera/part-0"),
    ]


def test_pictures_sorted_into_folders_are_read_by_them(tmp_path: Path, received: Path) -> None:
    for name in names(received)[:2]:
        (received / "dent").mkdir(exist_ok=True)
        (received / "gw-01" / "camera" / name).rename(received / "dent" / name)
    for path in received.glob("gw-01/camera/*.jpg"):
        path.unlink()
    out = tmp_path / "out"
    assert main([str(received), str(out)]) == 0
    photos, _ = read_photos(out, Reading(groups=out / "groups.csv"))
    assert {(photo.label, photo.group) for photo in photos} == {("dent", "gw-01/camera/part-0")}


def test_a_picture_that_is_not_what_the_gateway_sent_is_left_out(
    tmp_path: Path, received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (received / "gw-01" / "camera" / names(received)[0]).write_bytes(b"half a pict")
    assert main([str(received), str(tmp_path / "out")]) == 0
    assert "1 left out: not what the gateway sent" in capsys.readouterr().out


@pytest.mark.parametrize("table", ["file,label\nX,../etc\n", "name,label\n", "file,label\n"])
def test_a_table_that_cannot_be_used_is_refused_and_nothing_written(
    tmp_path: Path, received: Path, table: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(table.replace("X", names(received)[0]))
    assert main([str(received), str(tmp_path / "out"), "--labels", str(labels)]) == 1
    assert not (tmp_path / "out").exists()
