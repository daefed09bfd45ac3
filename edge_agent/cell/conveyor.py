"""What a camera over a conveyor sees: machined plates, some of them with a defect.

A plate is a height map (outline, countersunk holes, engraving, scratches, dents) shaded by its
slope against the light, times the colour of milled metal; through its holes one sees the belt.
Then come the pose, the shadow, the light of the scene, blur and the noise of the sensor.

The same seed, index and label give the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray

    # OpenCV's types do not tell dtypes apart: these names are for the reader.
    Float = NDArray[Any]
    Byte = NDArray[Any]
    Rng = np.random.Generator
    Box = tuple[float, float, float, float]
else:
    cv2 = lazy_module("cv2")
    np = lazy_module("numpy")

Label = Literal["ok", "scratch", "dent", "stain", "missing_hole"]
LABELS: tuple[Label, ...] = get_args(Label)

WIDTH, HEIGHT = 640, 480
# The plate's own canvas, and where its outline and holes (x, y, radius) lie on it.
PLATE_WIDTH, PLATE_HEIGHT = 440, 320
OUTLINE = ((20, 56), (56, 20), (420, 20), (420, 300), (20, 300))
HOLES = ((66, 76, 15), (378, 62, 15), (378, 258, 15), (62, 258, 15), (220, 150, 42))
SMALL_HOLES = 4
COUNTERSINK = 7
SURFACE = 200.0
# Textures are larger than what is cut from them by this much, so that no two pictures share one.
SPARE = 160


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture, uint8 [480, 640, 3] BGR, and the truth about it.

    `box`: left, top, width, height of the defect in pixels, None for ok. `severity`: 0 (hardly
    visible) to 1; 0 for ok.
    """

    pixels: Byte
    label: Label
    box: Box | None
    severity: float


@dataclass(slots=True, eq=False)
class _Plate:
    """A plate being machined: height 0..255, colour factors BGR, coverage, box of its defect."""

    height: Float
    colour: Float
    cover: Byte
    box: Box | None = None


class Conveyor:
    """A belt with plates. Textures are made once; a picture then takes a few milliseconds."""

    def __init__(self, seed: int, defect_rate: float = 0.2) -> None:
        self._seed = seed
        self._defect_rate = defect_rate
        rng = np.random.default_rng([seed, 0xBE17])
        self._belt = _belt(rng)
        self._grain = _grain(rng)
        self._noise = rng.standard_normal((HEIGHT + SPARE, WIDTH + SPARE, 3), dtype=np.float32)

    def picture(self, index: int, label: Label | None = None) -> Picture:
        """Return picture `index`; `label` overrides the chance of a defect."""
        rng = np.random.default_rng([self._seed, index])
        drawn = _label(rng, self._defect_rate)
        label = drawn if label is None else label
        severity = 0.0 if label == "ok" else float(rng.random())
        plate = _machine(rng, label, severity)
        if label in _DAMAGE:
            plate.box = _DAMAGE[label](rng, plate, severity)
        face = _shade(rng, plate, _crop(rng, self._grain, PLATE_WIDTH, PLATE_HEIGHT))
        pose = _pose(rng)
        scene = _lay(face, plate.cover, pose, _crop(rng, self._belt, WIDTH, HEIGHT))
        pixels = _photograph(rng, scene, _crop(rng, self._noise, WIDTH, HEIGHT))
        return Picture(pixels, label, _moved(plate.box, pose), severity)


def _label(rng: Rng, defect_rate: float) -> Label:
    defect = LABELS[int(rng.integers(1, len(LABELS)))]
    return defect if rng.random() < defect_rate else "ok"


def _machine(rng: Rng, label: Label, severity: float) -> _Plate:
    """Outline, holes with countersinks, an engraved number; a missing hole is simply not made."""
    height = np.zeros((PLATE_HEIGHT, PLATE_WIDTH), np.uint8)
    cover = np.zeros_like(height)
    outline = [np.array(OUTLINE, np.int32)]
    cv2.fillPoly(height, outline, SURFACE, cv2.LINE_AA)
    cv2.fillPoly(cover, outline, 255, cv2.LINE_AA)
    missing = int(rng.integers(0, SMALL_HOLES)) if label == "missing_hole" else -1
    # The mildest case is a hole that was sunk but not drilled through.
    blind = severity < 0.3  # noqa: PLR2004  about a third of them
    box: Box | None = None
    for index, (x, y, radius) in enumerate(HOLES):
        if index == missing:
            box = _around(x, y, radius + COUNTERSINK)
        if index != missing or blind:
            cv2.circle(height, (x, y), radius + COUNTERSINK, SURFACE - 70, -1, cv2.LINE_AA)
        if index != missing:
            cv2.circle(height, (x, y), radius, 0, -1, cv2.LINE_AA)
            cv2.circle(cover, (x, y), radius, 0, -1, cv2.LINE_AA)
    number = f"EA-{int(rng.integers(100, 1000))}"
    cv2.putText(height, number, (96, 284), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 160, 2, cv2.LINE_AA)
    colour = np.ones((PLATE_HEIGHT, PLATE_WIDTH, 3), np.float32)
    return _Plate(height.astype(np.float32), colour, cover, box)


def _scratch(rng: Rng, plate: _Plate, severity: float) -> Box:
    """Cut a bent line into the surface, bright where metal is torn up."""
    length = 50 + 170 * severity * rng.uniform(0.6, 1.0)
    start, angle = _spot(rng, 30), rng.uniform(0, 2 * np.pi)
    if (start[0] - PLATE_WIDTH / 2) * np.cos(angle) + (start[1] - PLATE_HEIGHT / 2) * np.sin(
        angle
    ) > 0:
        angle += np.pi  # towards the middle, so that it does not leave the plate at once
    steps = np.linspace(0, 1, 9)
    turn = angle + rng.uniform(-0.5, 0.5) * steps
    line = np.stack([np.cos(turn), np.sin(turn)], axis=1) * (steps[:, None] * length) + start
    line = np.clip(line, (26, 26), (PLATE_WIDTH - 26, PLATE_HEIGHT - 26))
    mark = np.zeros(plate.cover.shape, np.uint8)
    width = 2 if severity > 0.4 else 1  # noqa: PLR2004  pixels are whole
    cv2.polylines(mark, [(line * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)  # noqa: FBT003  OpenCV takes it by position
    depth = mark.astype(np.float32) * np.float32((40 + 50 * severity) / 255)
    plate.height -= depth
    plate.colour += (depth * np.float32(0.008))[..., None]
    return _bounds(mark)


def _dent(rng: Rng, plate: _Plate, severity: float) -> Box:
    """Press a smooth hollow: it is seen only by the light on its flanks."""
    x, y = _spot(rng, 26)
    radius = 8 + 12 * severity * rng.uniform(0.6, 1.0)
    stretch = rng.uniform(0.75, 1.33)
    columns = np.arange(PLATE_WIDTH, dtype=np.float32)
    rows = np.arange(PLATE_HEIGHT, dtype=np.float32)
    across = np.exp(-0.5 * ((columns - np.float32(x)) / np.float32(radius * stretch)) ** 2)
    along = np.exp(-0.5 * ((rows - np.float32(y)) / np.float32(radius)) ** 2)
    depth = np.float32(radius * (9.0 + 12.0 * severity))
    plate.height -= depth * np.outer(along, across)
    return _around(x, y, 1.6 * radius)


def _stain(rng: Rng, plate: _Plate, severity: float) -> Box:
    """Spill oil or rust: a ragged soft spot that takes light away, blue most."""
    x, y = _spot(rng, 20)
    radius = 9 + 26 * severity * rng.uniform(0.6, 1.0)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    reach = radius * rng.uniform(0.6, 1.3, angles.size)
    rim = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1)
    mark = np.zeros(plate.cover.shape, np.uint8)
    cv2.fillPoly(mark, [(rim * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(mark, (0, 0), 1.5 + radius / 10)
    taken = np.array([0.75, 0.55, rng.uniform(0.25, 0.5)]) * (0.25 + 0.6 * severity) / 255
    plate.colour *= 1 - soft[..., None] * taken.astype(np.float32)
    return _bounds(mark)


# A missing hole is made, or rather not made, with the plate.
_DAMAGE = {"scratch": _scratch, "dent": _dent, "stain": _stain}


def _spot(rng: Rng, clearance: float) -> NDArray[np.float64]:
    """Return a place on the plate at least `clearance` pixels from its edge and the big hole."""
    while True:
        spot = rng.uniform((50, 50), (PLATE_WIDTH - 50, PLATE_HEIGHT - 50))
        distances = [np.hypot(spot[0] - x, spot[1] - y) - radius for x, y, radius in HOLES]
        if min(distances) > clearance:
            return spot


def _shade(rng: Rng, plate: _Plate, grain: Float) -> Byte:
    """Return the plate's face, uint8 BGR, times its coverage."""
    height = cv2.GaussianBlur(plate.height, (5, 5), 1.2)
    towards = np.deg2rad(225 + rng.uniform(-25, 25))
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    slope = cv2.addWeighted(slope_x, -np.cos(towards), slope_y, -np.sin(towards), 0.0)
    rough = cv2.addWeighted(grain, rng.uniform(4, 10), slope, rng.uniform(2.2, 3.2), 0.0)
    face = rough + np.float32(rng.uniform(120, 165))
    warmth = rng.uniform(-0.04, 0.04)
    grey = cv2.multiply(face, plate.cover, scale=1 / 255, dtype=cv2.CV_32F)
    tinted = cv2.merge([grey * np.float32(factor) for factor in (1.02 - warmth, 1, 0.98 + warmth)])
    return cv2.multiply(tinted, plate.colour, dtype=cv2.CV_8U)


def _pose(rng: Rng) -> Float:
    """Return how the plate lies in the picture: a 2x3 matrix."""
    centre = (PLATE_WIDTH / 2, PLATE_HEIGHT / 2)
    pose: Float = cv2.getRotationMatrix2D(centre, rng.normal(0, 4.0), rng.uniform(1.1, 1.22))
    middle = np.array([WIDTH, HEIGHT]) / 2 - centre
    pose[:, 2] += middle + rng.uniform((-40, -28), (40, 28))
    return pose


def _lay(face: Byte, cover: Byte, pose: Float, belt: Byte) -> Byte:
    """Lay the plate on the belt with its shadow."""
    size = (WIDTH, HEIGHT)
    covered = cv2.warpAffine(cover, pose, size)
    small = cv2.resize(covered, (WIDTH // 8, HEIGHT // 8), interpolation=cv2.INTER_AREA)
    small = cv2.warpAffine(small, np.array([[1.0, 0.0, 1.2], [0.0, 1.0, 1.2]]), small.shape[::-1])
    shadow = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.0), size)
    seen = cv2.multiply(255 - covered, 255 - shadow // 2, scale=1 / 255)
    return cv2.add(
        cv2.warpAffine(face, pose, size), cv2.multiply(belt, cv2.merge([seen] * 3), scale=1 / 255)
    )


def _photograph(rng: Rng, scene: Byte, noise: Float) -> Byte:
    """Take the photo: light that falls unevenly, blur of the lens, noise of the sensor."""
    blur_px = rng.uniform(0.0, 1.2)
    if blur_px > 0.4:  # noqa: PLR2004  less cannot be seen
        scene = cv2.GaussianBlur(scene, (5, 5), blur_px)
    coarse = rng.uniform(0.85, 1.15, (3, 4, 1)) * rng.uniform(0.96, 1.04, 3)
    dim = (rng.uniform(0.75, 1.3) * coarse).astype(np.float32)
    light = cv2.resize(dim, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    lit = cv2.multiply(scene, light, dtype=cv2.CV_32F)
    return cv2.addWeighted(lit, 1.0, noise, rng.uniform(1.0, 7.0), 0.0, dtype=cv2.CV_8U)


def _belt(rng: Rng) -> Byte:
    """Dark rubber with a weave and smears."""
    shape = (HEIGHT + SPARE, WIDTH + SPARE)
    weave = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 0.8) * 12
    smears = cv2.resize(rng.standard_normal((9, 12), dtype=np.float32), shape[::-1]) * 6
    ribs = 3 * np.sin(np.arange(shape[0], dtype=np.float32) * 0.8)
    grey: Float = 46 + weave + smears + ribs[:, None]
    return cv2.convertScaleAbs(np.maximum(cv2.merge([grey * 1.05, grey * 1.1, grey * 0.9]), 0))


def _grain(rng: Rng) -> Float:
    """Milled metal: fine lines along x, of deviation 1."""
    shape = (PLATE_HEIGHT + SPARE, PLATE_WIDTH + SPARE)
    lines: Float = cv2.blur(rng.standard_normal(shape, dtype=np.float32), (61, 1))
    fine = rng.standard_normal(shape, dtype=np.float32)
    grain: Float = lines / lines.std() + np.float32(0.3) * fine
    return grain


def _crop(rng: Rng, texture: NDArray[np.generic], width: int, height: int) -> NDArray[np.generic]:
    top, left = (int(v) for v in rng.integers(0, SPARE, 2))
    return texture[top : top + height, left : left + width]


def _around(x: float, y: float, radius: float) -> Box:
    return (float(x - radius), float(y - radius), float(2 * radius), float(2 * radius))


def _bounds(mark: Byte) -> Box:
    x, y, w, h = cv2.boundingRect(mark)
    return (float(x), float(y), float(w), float(h))


def _moved(box: Box | None, pose: Float) -> Box | None:
    """Return the upright box around `box` once it lies in the picture, cut to the picture."""
    if box is None:
        return None
    x, y, w, h = box
    corners = np.array([[x, y, 1], [x + w, y, 1], [x, y + h, 1], [x + w, y + h, 1]]) @ pose.T
    left, top = np.clip(corners.min(axis=0), 0, (WIDTH, HEIGHT))
    right, bottom = np.clip(corners.max(axis=0), 0, (WIDTH, HEIGHT))
    return (float(left), float(top), float(right - left), float(bottom - top))
