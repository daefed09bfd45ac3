"""Photos of every layout are read alike, and what is wrong with them is said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.tools.pictures import class_folders, metal, save
from tools.photos import Mark, Photo, check_photos, read_photos
from tools.photos.layout import pictures
from tools.photos.photo import rectangle
from tools.photos.reading import Reading
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from pathlib import Path

# A box on a picture of 128 x 96 pixels, in pixels.
LEFT, TOP, RIGHT, BOTTOM = 32.0, 24.0, 64.0, 72.0
BOX = (0.25, 0.25, 0.5, 0.75)
NOTHING = Reading(group=r"(.*)")


def picture(path: Path, seed: int = 0) -> Path:
    return save(path, metal(np.random.default_rng(seed)))


def labelme(root: Path) -> None:
    corners = [[LEFT, TOP], [RIGHT, TOP], [RIGHT, BOTTOM], [LEFT, BOTTOM]]
    for name, shapes in (("a", [{"label": "pit", "points": corners}]), ("b", [])):
        picture(root / "images" / f"{name}.jpg")
        tree = {"imagePath": f"{name}.jpg", "imageWidth": 128, "imageHeight": 96, "shapes": shapes}
        path = root / "labels" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(tree))


def voc(root: Path) -> None:
    box = f"<xmin>{LEFT}</xmin><ymin>{TOP}</ymin><xmax>{RIGHT}</xmax><ymax>{BOTTOM}</ymax>"
    for name, found in (
        ("a", f"<object><name>pit</name><bndbox>{box}</bndbox></object>"),
        ("b", ""),
    ):
        picture(root / "JPEGImages" / f"{name}.jpg")
        path = root / "Annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        size = "<size><width>128</width><height>96</height></size>"
        path.write_text(f"<annotation><filename>{name}.jpg</filename>{size}{found}</annotation>")


def yolo(root: Path) -> None:
    for name, text in (("a", "0 0.375 0.5 0.25 0.5\n"), ("b", "")):
        picture(root / "images" / f"{name}.jpg")
        path = root / "labels" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (root / "data.yaml").write_text("nc: 1\nnames:\n  0: pit\n")


def coco(root: Path) -> None:
    for name in ("a", "b"):
        picture(root / "images" / f"{name}.jpg")
    images = [
        {"id": number, "file_name": f"{name}.jpg", "width": 128, "height": 96}
        for number, name in enumerate(("a", "b"))
    ]
    box = [LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP]
    tree = {
        "images": images,
        "categories": [{"id": 7, "name": "pit"}],
        "annotations": [{"image_id": 0, "category_id": 7, "bbox": box}],
    }
    (root / "instances.json").write_text(json.dumps(tree))


@pytest.mark.parametrize("write", [labelme, voc, yolo, coco])
def test_the_same_box_is_read_from_every_layout(write: Any, tmp_path: Path) -> None:
    write(tmp_path)
    photos, _ = read_photos(tmp_path)
    marked, good = sorted(photos, key=lambda photo: photo.path.name)
    assert (marked.label, good.label) == ("pit", "good")
    assert marked.marks[0].box == pytest.approx(BOX)
    assert good.marks == ()
    np.testing.assert_allclose(marked.boxes(("pit",)), [[*BOX, 0]])
    assert good.boxes(("pit",)).shape == (0, 5)


def test_class_folders_give_class_and_part(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for name in ("ok", "bent"):
            picture(tmp_path / part / name / f"{part}.jpg")
    photos, _ = read_photos(tmp_path)
    assert {(photo.label, photo.part) for photo in photos} == {
        (label, part) for label in ("ok", "bent") for part in ("train", "validation", "test")
    }


def test_what_explains_a_photo_is_no_photo(tmp_path: Path) -> None:
    for name in ("0001.png", "0001.why.png"):
        write_picture = tmp_path / "good" / name
        write_picture.parent.mkdir(exist_ok=True)
        write_picture.write_bytes(b"")
    assert [path.name for path in pictures(tmp_path)] == ["0001.png"]


def test_a_group_is_what_the_regex_finds_in_the_path(tmp_path: Path) -> None:
    class_folders(tmp_path, 8)
    photos, findings = read_photos(tmp_path, Reading(group=r"part_(\d+)"))
    assert {photo.group for photo in photos} == {"0", "1"}
    assert findings == []


def test_a_regex_that_does_not_match_names_the_files(tmp_path: Path) -> None:
    class_folders(tmp_path, 4)
    with pytest.raises(DataUnfit, match=r"is not in 4 names: part_0_0.jpg"):
        read_photos(tmp_path, Reading(group="bad_part_(.)"))
    with pytest.raises(DataUnfit, match="is no regular expression"):
        read_photos(tmp_path, Reading(group="("))


def test_groups_come_from_a_csv(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "ok" / "a.jpg")
    picture(tmp_path / "data" / "bent" / "b.jpg")
    table = tmp_path / "groups.csv"
    table.write_text("file,group\nok/a.jpg,monday\nb.jpg,tuesday\n")
    photos, _ = read_photos(tmp_path / "data", Reading(groups=table))
    assert {photo.group for photo in photos} == {"monday", "tuesday"}
    table.write_text("file,group\nok/a.jpg,monday\n")
    with pytest.raises(DataUnfit, match=r"names no group for 1 photos: bent/b.jpg"):
        read_photos(tmp_path / "data", Reading(groups=table))


def test_without_groups_a_warning_says_what_that_means(tmp_path: Path) -> None:
    class_folders(tmp_path, 4)
    photos, findings = read_photos(tmp_path)
    assert len({photo.group for photo in photos}) == 8
    assert "the test will flatter" in findings[0].text


def test_pictures_without_labels_are_left_out_with_a_word(tmp_path: Path) -> None:
    labelme(tmp_path)
    picture(tmp_path / "images" / "c.jpg")
    photos, findings = read_photos(tmp_path, NOTHING)
    assert len(photos) == 2
    assert findings[0].text == "1 pictures have no labels: c.jpg; left out"


def test_a_folder_without_photos_says_how_it_should_look(tmp_path: Path) -> None:
    with pytest.raises(DataUnfit, match="a folder for each class"):
        read_photos(tmp_path)
    with pytest.raises(DataUnfit, match="is no folder"):
        read_photos(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("layout", "name", "text", "said"),
    [
        (labelme, "labels/a.json", '{"shapes": [', "a.json is no labelme file"),
        (labelme, "labels/a.json", '{"shapes": []}', "'imageWidth'"),
        (voc, "Annotations/a.xml", "<annotation><size>", "a.xml is no VOC annotation"),
        (voc, "Annotations/a.xml", "<!DOCTYPE a><annotation/>", "it has a document type"),
        (yolo, "labels/a.txt", "3 0.5 0.5 0.1 0.1", "are not as YOLO has them: a.txt"),
        (yolo, "labels/a.txt", "0 0.5 0.5 0.1", "are not as YOLO has them: a.txt"),
        (coco, "instances.json", '{"annotations": [{}]}', "instances.json is no COCO file"),
    ],
)
def test_a_broken_label_file_is_an_error_that_names_it(
    layout: Any, name: str, text: str, said: str, tmp_path: Path
) -> None:
    layout(tmp_path)
    name_of = {labelme: "labelme", voc: "voc", yolo: "yolo", coco: "coco"}[layout]
    (tmp_path / name).write_text(text)
    try:
        _, findings = read_photos(tmp_path, Reading(layout=name_of))
    except DataUnfit as unfit:
        findings = list(unfit.findings)
    assert any(said in finding.text and finding.severity == "error" for finding in findings)


def test_labelme_boxes_and_circles_are_outlines_too(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    shapes = [
        {"label": "x", "shape_type": "rectangle", "points": [[RIGHT, BOTTOM], [LEFT, TOP]]},
        {"label": "x", "shape_type": "circle", "points": [[64, 48], [64, 58]]},
    ]
    tree = {"imagePath": "a.jpg", "imageWidth": 128, "imageHeight": 96, "shapes": shapes}
    (tmp_path / "a.json").write_text(json.dumps(tree))
    (photo,), _ = read_photos(tmp_path)
    assert photo.marks[0].box == pytest.approx(BOX)
    assert photo.marks[1].box == pytest.approx((54 / 128, 38 / 96, 74 / 128, 58 / 96), abs=1e-6)


def test_yolo_polygons_and_lists_of_names_are_read(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("names: ['hole', \"pit\"]\n")
    (tmp_path / "labels" / "a.txt").write_text("1 0.25 0.25 0.5 0.25 0.5 0.75\n")
    photos, _ = read_photos(tmp_path)
    assert photos[0].marks == (Mark("pit", ((0.25, 0.25), (0.5, 0.25), (0.5, 0.75))),)


def test_a_mask_is_the_share_of_each_pixel_that_is_marked(tmp_path: Path) -> None:
    photo = Photo(tmp_path, "pit", "", (rectangle("pit", 0.25, 0.5, 0.5, 1.0),))
    mask = photo.mask((4, 8)) / 255
    assert mask[2:, 2:4].min() > 0.7
    assert mask.sum() == pytest.approx(4, abs=1.5)
    assert photo.mask((4, 8), "other").sum() == 0


def checked(root: Path, least: int = 10) -> tuple[list[Photo], list[str]]:
    photos, findings = check_photos(read_photos(root, NOTHING)[0], least=least)
    return photos, [f"{finding.severity}: {finding.text}" for finding in findings]


def test_a_truncated_picture_is_named_and_left_out(tmp_path: Path) -> None:
    class_folders(tmp_path, 60)
    broken = tmp_path / "good" / "part_3_1.jpg"
    broken.write_bytes(broken.read_bytes()[:-400])
    photos, texts = checked(tmp_path)
    assert len(photos) == 119
    assert len(texts) == 1
    assert texts[0].startswith("warning: 1 of 120 pictures cannot be read: part_3_1.jpg (truncated")


def test_many_broken_pictures_are_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path, 12)
    for path in sorted((tmp_path / "good").iterdir())[:6]:
        path.write_bytes(b"no picture")
    _, texts = checked(tmp_path)
    assert "look after the camera or the disk first" in texts[0]
    assert texts[0].startswith("error: ")


def test_a_copy_is_left_out_and_one_under_another_label_is_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path, 60)
    one = tmp_path / "good" / "part_0_0.jpg"
    (tmp_path / "good" / "copy.jpg").write_bytes(one.read_bytes())
    photos, texts = checked(tmp_path)
    assert len(photos) == 120
    assert texts == ["warning: 1 pictures are copies of others: part_0_0.jpg; left out"]
    (tmp_path / "pitted" / "copy.jpg").write_bytes(one.read_bytes())
    _, texts = checked(tmp_path)
    assert texts[0].startswith("error: the same picture is labelled good and pitted: ")


def test_a_class_with_two_photos_is_an_error_that_names_it(tmp_path: Path) -> None:
    class_folders(tmp_path, 60)
    for seed in (1, 2):
        picture(tmp_path / "scratch" / f"{seed}.jpg", seed)
    _, texts = checked(tmp_path)
    assert "error: class scratch has 2 usable photos; at least 10 are needed" in texts


def test_one_class_alone_and_one_far_ahead_are_said(tmp_path: Path) -> None:
    class_folders(tmp_path, 120)
    for path in sorted((tmp_path / "pitted").iterdir())[10:]:
        path.unlink()
    assert any(
        "unbalanced: 120 photos of good, 10 of pitted" in text for text in checked(tmp_path)[1]
    )
    for path in (tmp_path / "pitted").iterdir():
        path.unlink()
    assert "error: two classes are needed; found: good" in checked(tmp_path)[1]


def test_marks_outside_of_the_picture_are_an_error(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "a.txt").write_text("0 320 240 64 64\n")
    _, texts = checked(tmp_path, least=0)
    assert "error: 1 marks do not lie in their picture: a.jpg" in texts
