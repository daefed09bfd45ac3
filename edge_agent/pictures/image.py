"""Pictures: from bytes to pixels and back, to a model's input, and from a mask to its regions."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_agent.errors import BadInput
from edge_agent.lazy import lazy_module
from edge_agent.pictures import buffers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import cv2
    import numpy as np
    import simplejpeg
    from numpy.typing import NDArray

    from edge_agent.pictures.geometry import Geometry
    from edge_agent.types import Defect

    Pixels = NDArray[np.uint8]
    Plane = NDArray[np.float32]
else:
    cv2 = lazy_module("cv2")
    np = lazy_module("numpy")
    simplejpeg = lazy_module("simplejpeg")

# 8K UHD, 7680 x 4320. Without a cap a JPEG of 1.8 kB can ask for 5.2 GB.
MAX_PIXELS = 33_177_600
# OpenCV reads both when it is imported, and it is imported when it is first used, so after this.
# The cap holds for the formats whose headers are not read here. Silence: it would print several
# lines for each bad picture, and those are counted.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

Color = Literal["rgb", "bgr", "gray"]

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"


def decode(payload: bytes) -> Pixels:
    """Return the picture in `payload`: uint8 [height, width, 3], BGR.

    JPEG, PNG, BMP, WebP, TIFF and whatever else this OpenCV reads. Rows and columns are those of
    the file: an EXIF orientation is not applied, so that coordinates mean what they say. Raises
    BadInput: `too_large` (before anything is decoded), `truncated`, `undecodable`.
    """
    if payload.startswith(_JPEG_START):
        return _decode_jpeg(payload)
    if payload.startswith(_PNG_START):
        _check_png(payload)
    return _decode_any(payload)


def encode_jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """Return BGR pixels [height, width, 3] as a JPEG file.

    Raises ValueError where there can be none: no pixels, or more than 65,500 in a row or column.
    """
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=quality, colorspace="BGR", colorsubsampling="420"
    )
    return encoded


def draw_defects(pixels: Pixels, defects: Sequence[Defect]) -> Pixels:
    """Return a copy of BGR `pixels` with a labelled frame around each defect."""
    drawn = buffers.of_pictures.array(pixels.shape)
    np.copyto(drawn, pixels)
    red, white = (40, 40, 220), (255, 255, 255)
    size = max(pixels.shape[:2]) / 1000  # text and lines that are readable at any resolution
    thickness = max(1, round(2 * size))
    for defect in defects:
        left, top = round(defect.x), round(defect.y)
        right, bottom = round(defect.x + defect.w), round(defect.y + defect.h)
        cv2.rectangle(drawn, (left, top), (right, bottom), red, thickness)
        text = f"{defect.label} {defect.score:.2f}"
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, max(0.4, size), 1)
        base = top if top > height else min(bottom + height, pixels.shape[0] - 1)
        cv2.rectangle(drawn, (left, base - height), (left + width, base), red, cv2.FILLED)
        cv2.putText(drawn, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, max(0.4, size), white, 1)
    return drawn


def coarse_outside(pixels: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """Return a copy of BGR `pixels` that shows nothing but large spots outside of `box`.

    Each spot is the mean of what it covers, a 24th of the longer side: what was there cannot be
    computed back. `box`: left, top, width, height.
    """
    height, width = pixels.shape[:2]
    spot = max(1, max(height, width) // 24)
    spots = (max(1, width // spot), max(1, height // spot))
    means = cv2.resize(pixels, spots, interpolation=cv2.INTER_AREA)
    coarse: Pixels = cv2.resize(means, (width, height))  # type: ignore[assignment]
    left, top, box_width, box_height = box
    inside = (slice(top, top + box_height), slice(left, left + box_width))
    coarse[inside] = pixels[inside]
    return coarse


def resize(pixels: Pixels, geometry: Geometry, interpolation: str, pad: int) -> Pixels:
    """Return the `source` part of a picture in the `target` part of an input filled with `pad`.

    uint8 [model height, model width, 3]; may be a view of `pixels` where nothing changes size.
    """
    left, top, width, height = geometry.source
    part = pixels[top : top + height, left : left + width]
    x, y, new_width, new_height = geometry.target
    if (new_width, new_height) != (width, height):
        how: int = getattr(cv2, f"INTER_{interpolation.upper()}")
        part = cv2.resize(part, (new_width, new_height), interpolation=how)  # type: ignore[assignment]
    if (new_width, new_height) == geometry.model:
        return part
    padded = np.full((geometry.model[1], geometry.model[0], 3), pad, dtype=np.uint8)
    padded[y : y + new_height, x : x + new_width] = part
    return padded


def recolour(pixels: Pixels, color: Color) -> Pixels:
    """Return BGR pixels [h, w, 3] as `color`: uint8 [h, w, 3], for gray [h, w, 1]."""
    if color == "rgb":
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
    if color == "gray":
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[:, :, None]  # type: ignore[return-value]
    return pixels


def look_up(pixels: Pixels, table: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return pixels [h, w, c] with each value v replaced by table[v, channel].

    `table`: [256, c] of any type, or [256, 1] for all channels, which is twice as fast.
    """
    if table.dtype.char not in "Bbf":  # uint8, int8, float32: what OpenCV takes
        columns = np.broadcast_to(table, (256, pixels.shape[2])).T
        channels = [column[pixels[:, :, index]] for index, column in enumerate(columns)]
        return np.stack(channels, axis=-1)
    replaced: NDArray[np.generic] = cv2.LUT(pixels, table[None])  # type: ignore[arg-type]
    return replaced.reshape(pixels.shape)  # OpenCV drops a single channel


@dataclass(frozen=True, slots=True)
class Region:
    """Cells of a plane that touch each other: their box, their number and their mean value."""

    left: int
    top: int
    width: int
    height: int
    area: int
    mean: float


def regions(plane: Plane, threshold: float) -> list[Region]:
    """Return the regions of `plane` [h, w] with values of at least `threshold`, largest first.

    Cells touch at edges and corners.
    """
    mask = (plane >= threshold).astype(np.uint8)
    count, owners, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    sums = np.bincount(owners.ravel(), weights=plane.ravel(), minlength=count)
    found = []
    for index in range(1, count):  # 0 is what lies outside of every region
        left, top, width, height, area = (int(number) for number in stats[index])
        found.append(Region(left, top, width, height, area, float(sums[index]) / area))
    return sorted(found, key=lambda region: -region.area)


def over_picture(plane: Plane, geometry: Geometry) -> Plane:
    """Return a plane that covers `source` as one that covers the whole picture, 0 elsewhere.

    The resolution stays what it is, or is that of the picture where that is lower.
    """
    picture_width, picture_height = geometry.picture
    left, top, width, height = geometry.source
    if (width, height) == geometry.picture:
        return plane
    x_step, y_step = max(1.0, width / plane.shape[1]), max(1.0, height / plane.shape[0])
    new_width, new_height = max(1, round(width / x_step)), max(1, round(height / y_step))
    x, y = round(left / x_step), round(top / y_step)
    canvas = np.zeros(
        (
            max(y + new_height, round(picture_height / y_step)),
            max(x + new_width, round(picture_width / x_step)),
        ),
        dtype=np.float32,
    )
    canvas[y : y + new_height, x : x + new_width] = cv2.resize(plane, (new_width, new_height))
    return canvas


def _decode_jpeg(payload: bytes) -> Pixels:
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(payload)
    except ValueError as error:
        raise BadInput("undecodable", str(error)) from None
    _check_size(width, height)
    if colors in {"CMYK", "YCCK"}:  # simplejpeg does not convert these to BGR
        return _decode_any(payload)
    pixels = buffers.of_pictures.array((height, width, 3))
    try:
        simplejpeg.decode_jpeg(payload, colorspace="BGR", buffer=pixels)
    except ValueError as error:
        # Data that is damaged inside is refused here, where OpenCV would return what it made of it.
        reason = "truncated" if "premature end" in str(error).lower() else "undecodable"
        raise BadInput(reason, str(error)) from None
    return pixels


def _decode_any(payload: bytes) -> Pixels:
    if not payload:
        raise BadInput("undecodable", "no bytes")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(payload, np.uint8), flags)
    except cv2.error as error:
        reason = "too_large" if "MAX_IMAGE" in str(error) else "undecodable"
        raise BadInput(reason, str(error).strip()) from None
    if pixels is None:
        raise BadInput("undecodable", f"{len(payload)} bytes that are no picture OpenCV can read")
    return pixels  # type: ignore[return-value]


def _check_png(payload: bytes) -> None:
    """Check size and end of a PNG file (ISO/IEC 15948: IHDR comes first and IEND last)."""
    header = payload[16:24]
    if len(header) < 8:  # noqa: PLR2004  two numbers of four bytes
        raise BadInput("truncated", "a PNG file without a size")
    _check_size(*struct.unpack(">II", header))
    if payload.rfind(b"IEND") < 0:
        raise BadInput("truncated", "a PNG file without an end")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadInput("too_large", f"{width}x{height} pixels; at most {MAX_PIXELS} in all")
