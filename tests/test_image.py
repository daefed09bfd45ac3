"""Pictures: decoding within limits, and the way to a model's input and back."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import BadInput
from edge_agent.pictures import image
from edge_agent.pictures.geometry import Geometry, fit
from edge_agent.types import Defect

if TYPE_CHECKING:
    from pathlib import Path

RESIZES: tuple[Literal["stretch", "letterbox", "crop"], ...] = ("stretch", "letterbox", "crop")


def photo(width: int = 64, height: int = 48) -> np.ndarray:
    """Return a picture that is different in every place and channel, and compresses well."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)


def encoded(extension: str) -> bytes:
    done, content = cv2.imencode(extension, photo())
    assert done
    return content.tobytes()


def jpeg_that_says(width: int, height: int) -> bytes:
    """Return a JPEG file whose header claims another size: the classic decompression bomb."""
    content = bytearray(encoded(".jpg"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def png_that_says(width: int, height: int) -> bytes:
    content = encoded(".png")
    header = struct.pack(">II", width, height) + content[24:29]
    checksum = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return content[:16] + header + checksum + content[33:]


def bmp_that_says(width: int, height: int) -> bytes:
    content = encoded(".bmp")
    return content[:18] + struct.pack("<ii", width, height) + content[26:]


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff"])
def test_a_lossless_picture_comes_back_pixel_by_pixel(extension: str) -> None:
    np.testing.assert_array_equal(image.decode(encoded(extension)), photo())


def test_a_jpeg_has_the_very_pixels_that_opencv_decodes() -> None:
    content = encoded(".jpg")
    wanted = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image.decode(content), wanted)


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_a_grey_picture_has_three_equal_channels(extension: str) -> None:
    grey = cv2.imencode(extension, photo()[:, :, 0])[1].tobytes()
    pixels = image.decode(grey)
    assert pixels.shape == (48, 64, 3)
    assert (pixels[:, :, 0] == pixels[:, :, 2]).all()


def test_an_exif_orientation_is_not_applied() -> None:
    """A turned picture would have its defects elsewhere than the file has them."""
    content = encoded(".jpg")
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)  # orientation: turn by 90 degrees
    tiff = b"Exif\x00\x00MM\x00*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    turned = content[:2] + b"\xff\xe1" + struct.pack(">H", len(tiff) + 2) + tiff + content[2:]
    applied = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert applied is not None
    assert applied.shape == (64, 48, 3)
    np.testing.assert_array_equal(image.decode(turned), image.decode(content))


def test_an_exif_orientation_is_not_applied_to_a_png() -> None:
    content = encoded(".png")
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    chunk = b"eXIfMM\x00*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    turned = content[:33] + chunk + content[33:]
    applied = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert applied is not None
    assert applied.shape == (64, 48, 3)
    np.testing.assert_array_equal(image.decode(turned), photo())


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_picture_is_refused_as_truncated(extension: str, share: float) -> None:
    content = cv2.imencode(extension, photo(640, 480))[1].tobytes()
    with pytest.raises(BadInput) as refused:
        image.decode(content[: int(len(content) * share)])
    assert refused.value.reason == "truncated"


def test_a_jpeg_that_is_damaged_inside_is_refused() -> None:
    """OpenCV would return a picture of which a part is noise, and say nothing."""
    content = bytearray(cv2.imencode(".jpg", photo(640, 480))[1].tobytes())
    random = np.random.default_rng(2)
    middle = len(content) // 2
    content[middle : middle + 200] = random.integers(1, 255, 200, np.uint8).tobytes()
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(BadInput) as refused:
        image.decode(bytes(content))
    assert refused.value.reason in {"truncated", "undecodable"}


def test_a_jpeg_in_printing_colours_is_decoded() -> None:
    cmyk = np.full((16, 16, 4), 255, np.uint8)
    content = simplejpeg.encode_jpeg(cmyk, colorspace="CMYK", colorsubsampling="444")
    assert simplejpeg.decode_jpeg_header(content)[2] in {"CMYK", "YCCK"}
    assert image.decode(content).shape == (16, 16, 3)


@pytest.mark.parametrize("extension", [".bmp", ".webp", ".tiff"])
def test_a_truncated_picture_of_another_format_is_refused(extension: str) -> None:
    content = encoded(extension)
    with pytest.raises(BadInput) as refused:
        image.decode(content[: len(content) // 2])
    assert refused.value.reason == "undecodable"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xd8\xff", b"\xff\xd8\xff" + b"junk" * 50, b"<html>login</html>", b"{}", bytes(99)],
)
def test_what_is_no_picture_is_refused_as_undecodable(content: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        image.decode(content)
    assert refused.value.reason == "undecodable"


def test_a_png_that_ends_in_its_header_is_refused_as_truncated() -> None:
    with pytest.raises(BadInput) as refused:
        image.decode(encoded(".png")[:20])
    assert refused.value.reason == "truncated"


@pytest.mark.parametrize("bomb", [jpeg_that_says, png_that_says, bmp_that_says])
def test_a_picture_over_the_cap_is_refused_before_it_is_decoded(bomb: object) -> None:
    """In a process with 1 GB to itself: 30000 x 30000 pixels would be 2.7 GB."""
    name = bomb.__name__  # type: ignore[attr-defined]
    code = f"""
import resource, sys
from edge_agent.pictures import image
from edge_agent.errors import BadInput
from tests.test_image import {name}
content = {name}(30000, 30000)
resource.setrlimit(resource.RLIMIT_AS, (resource.getrlimit(resource.RLIMIT_AS)[0], -1))
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
try:
    image.decode(content)
except BadInput as error:
    print(error.reason)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "too_large", done.stderr


def test_a_picture_of_exactly_the_cap_is_decoded() -> None:
    done, content = cv2.imencode(".png", np.zeros((4320, 7680), np.uint8))
    assert done
    assert image.decode(content.tobytes()).shape == (4320, 7680, 3)


def test_a_refused_picture_prints_nothing() -> None:
    code = """
from edge_agent.pictures import image
from edge_agent.errors import BadInput
from tests.test_image import encoded
try:
    image.decode(encoded(".bmp")[:500])
except BadInput:
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_jpeg_that_was_encoded_here_is_close_to_the_picture() -> None:
    back = image.decode(image.encode_jpeg(photo()[:, :, ::-1], quality=95))
    assert np.abs(back.astype(int) - photo()[:, :, ::-1]).mean() < 3


def test_defects_are_drawn_on_a_copy_where_they_are() -> None:
    pixels = np.zeros((400, 600, 3), np.uint8)
    drawn = image.draw_defects(pixels, [Defect("scratch", 0.93, 100, 150, 80, 60)])
    assert not pixels.any()
    changed = np.argwhere(drawn.any(axis=2))
    assert changed[:, 0].max() <= 212
    assert drawn[180, 100].any()
    assert drawn[180, 180].any()
    assert not drawn[180, 140].any()


def test_a_defect_at_the_edge_of_the_picture_can_be_drawn() -> None:
    drawn = image.draw_defects(np.zeros((20, 20, 3), np.uint8), [Defect("", 1.0, 0, 0, 20, 20)])
    assert drawn.shape == (20, 20, 3)


@pytest.mark.parametrize(
    ("resize", "picture", "model", "source", "target"),
    [
        ("stretch", (1130, 460), (224, 96), (0, 0, 1130, 460), (0, 0, 224, 96)),
        ("letterbox", (640, 320), (320, 320), (0, 0, 640, 320), (0, 80, 320, 160)),
        ("letterbox", (320, 640), (320, 320), (0, 0, 320, 640), (80, 0, 160, 320)),
        ("letterbox", (10, 10), (40, 20), (0, 0, 10, 10), (10, 0, 20, 20)),
        ("crop", (640, 320), (100, 100), (160, 0, 320, 320), (0, 0, 100, 100)),
        ("crop", (100, 400), (50, 50), (0, 150, 100, 100), (0, 0, 50, 50)),
        ("crop", (10_000, 1), (96, 96), (5000, 0, 1, 1), (0, 0, 96, 96)),
        ("letterbox", (10_000, 1), (96, 96), (0, 0, 10_000, 1), (0, 47, 96, 1)),
    ],
)
def test_where_a_picture_lies_in_the_input(
    resize: Literal["stretch", "letterbox", "crop"],
    picture: tuple[int, int],
    model: tuple[int, int],
    source: tuple[int, int, int, int],
    target: tuple[int, int, int, int],
) -> None:
    found = fit(resize, picture, model)
    assert found.target == target
    assert found.source[2:] == source[2:]
    assert all(abs(a - b) <= 1 for a, b in zip(found.source, source, strict=True))


@pytest.mark.parametrize(
    "roi", [(-1, 0, 5, 5), (0, 0, 65, 5), (60, 0, 5, 5), (0, 44, 5, 5), (3, 3, 0, 5), (3, 3, 5, -1)]
)
def test_a_region_of_interest_outside_of_the_picture_is_bad_input(
    roi: tuple[int, int, int, int],
) -> None:
    with pytest.raises(BadInput) as refused:
        fit("stretch", (64, 48), (32, 32), roi)
    assert refused.value.reason == "roi"


@settings(max_examples=150)
@given(
    resize=st.sampled_from(RESIZES),
    picture=st.tuples(st.integers(80, 400), st.integers(80, 400)),
    model=st.tuples(st.integers(64, 200), st.integers(64, 200)),
    margins=st.tuples(*[st.integers(0, 10)] * 4),
    corner=st.tuples(st.floats(0.3, 0.5), st.floats(0.3, 0.5)),
)
def test_what_is_seen_in_the_input_is_found_where_it_is_in_the_picture(
    resize: Literal["stretch", "letterbox", "crop"],
    picture: tuple[int, int],
    model: tuple[int, int],
    margins: tuple[int, int, int, int],
    corner: tuple[float, float],
) -> None:
    """A white rectangle, seen through any resize and region of interest, and mapped back."""
    left, top, right, bottom = margins
    roi = (left, top, picture[0] - left - right, picture[1] - top - bottom)
    geometry = fit(resize, picture, model, roi)
    x0, y0, width, height = geometry.source
    box = np.array([x0 + width * corner[0], y0 + height * corner[1]] * 2).round()
    box[2:] += np.array([width, height]) // 3
    pixels = np.zeros((picture[1], picture[0], 3), np.uint8)
    pixels[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 255
    seen = image.resize(pixels, geometry, "linear", 0)
    assert seen.shape == (model[1], model[0], 3)
    rows, columns = np.nonzero(seen[:, :, 0] > 127)
    found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
    steps = np.array([width / geometry.target[2], height / geometry.target[3]] * 2)
    assert (np.abs(geometry.boxes_to_picture(found)[0] - box) <= np.maximum(steps, 1.0)).all()


def test_boxes_are_clipped_to_what_was_inspected() -> None:
    geometry = fit("letterbox", (200, 100), (100, 100), (20, 10, 100, 50))
    boxes = geometry.boxes_to_picture(np.array([[-50.0, 0.0, 300.0, 99.0], [0, 0, 100, 20]]))
    assert boxes.tolist() == [[20, 10, 120, 60], [20, 10, 120, 10]]


def test_the_border_of_a_letterbox_has_the_pad_value() -> None:
    seen = image.resize(photo(), fit("letterbox", (64, 48), (64, 64)), "linear", 114)
    assert (seen[:8] == 114).all()
    assert (seen[-8:] == 114).all()
    np.testing.assert_array_equal(seen[8:-8], photo())


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area", "cubic"])
def test_a_picture_is_resized_just_as_opencv_does(interpolation: str) -> None:
    seen = image.resize(photo(), fit("stretch", (64, 48), (20, 30)), interpolation, 0)
    how = getattr(cv2, f"INTER_{interpolation.upper()}")
    np.testing.assert_array_equal(seen, cv2.resize(photo(), (20, 30), interpolation=how))


def test_colours_are_ordered_as_asked() -> None:
    pixels = photo()
    np.testing.assert_array_equal(image.recolour(pixels, "bgr"), pixels)
    np.testing.assert_array_equal(image.recolour(pixels, "rgb"), pixels[:, :, ::-1])
    grey = image.recolour(pixels, "gray")
    assert grey.shape == (48, 64, 1)
    luma = pixels @ np.array([0.114, 0.587, 0.299])
    assert np.abs(grey[:, :, 0] - luma).max() <= 1


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32", "int16", "float16"])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_table_is_looked_up_per_channel_in_any_type(dtype: str, columns: int) -> None:
    table = (np.arange(256)[:, None] // np.arange(2, 2 + columns) - 60).astype(dtype)
    pixels = photo()
    found = image.look_up(pixels, table)
    assert found.dtype == dtype
    wide = np.broadcast_to(table, (256, 3))
    wanted = np.stack([wide[pixels[:, :, c], c] for c in range(3)], -1)
    np.testing.assert_array_equal(found, wanted)


def test_a_table_is_looked_up_in_a_grey_picture() -> None:
    table = np.arange(256, dtype=np.float32)[:, None] / 255
    grey = photo()[:, :, :1]
    np.testing.assert_array_equal(image.look_up(grey, table), table[grey[:, :, 0]])


def test_regions_are_told_apart_and_the_largest_comes_first() -> None:
    plane = np.zeros((20, 30), np.float32)
    plane[2:4, 3:6] = 0.6
    plane[4, 6] = 0.9  # touches the first by a corner
    plane[10:18, 20:28] = 0.75
    plane[15, 3] = 0.49
    found = image.regions(plane, 0.5)
    assert [(r.left, r.top, r.width, r.height, r.area) for r in found] == [
        (20, 10, 8, 8, 64),
        (3, 2, 4, 3, 7),
    ]
    assert found[0].mean == pytest.approx(0.75)
    assert found[1].mean == pytest.approx((6 * 0.6 + 0.9) / 7)


def test_a_plane_over_the_whole_picture_is_left_as_it_is() -> None:
    plane = np.ones((7, 9), np.float32)
    assert image.over_picture(plane, fit("stretch", (640, 480), (224, 224))) is plane


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("cells", [(8, 8), (64, 64), (200, 200)])
def test_a_plane_over_a_part_lies_there_in_the_whole_picture(
    resize: Literal["stretch", "crop"], cells: tuple[int, int]
) -> None:
    geometry = fit(resize, (400, 200), (64, 64), (100, 50, 100, 100))
    whole = image.over_picture(np.ones(cells, np.float32), geometry)
    rows, columns = np.nonzero(whole)
    scale_x, scale_y = 400 / whole.shape[1], 200 / whole.shape[0]
    assert whole.shape[0] <= 200
    assert whole.shape[1] <= 400
    assert columns.min() * scale_x == pytest.approx(100, abs=scale_x)
    assert (columns.max() + 1) * scale_x == pytest.approx(200, abs=scale_x)
    assert rows.min() * scale_y == pytest.approx(50, abs=scale_y)
    assert (rows.max() + 1) * scale_y == pytest.approx(150, abs=scale_y)


def test_the_padding_is_cut_off_a_map_of_any_resolution() -> None:
    geometry = fit("letterbox", (200, 100), (100, 100))
    assert geometry == Geometry((200, 100), (0, 0, 200, 100), (100, 100), (0, 25, 100, 50))
    for cells in (100, 20, 12, 3, 1):
        plane = np.repeat(np.arange(cells, dtype=np.float32)[:, None], cells, axis=1)
        part = geometry.cut(plane)
        assert part.shape[1] == cells
        assert part.shape[0] == max(1, round(cells * 0.75) - round(cells * 0.25))


def test_simplejpeg_and_opencv_agree_on_real_photos(shared_data: Path) -> None:
    photos = sorted((shared_data / "bsdata" / "images").iterdir())[::80]
    assert photos
    for path in photos:
        wanted = cv2.imread(str(path), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(image.decode(path.read_bytes()), wanted)
