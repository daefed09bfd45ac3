"""Whatever comes over the network is decoded or refused; nothing else is ever raised."""

from __future__ import annotations

import struct

import cv2
import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import BadInput
from edge_agent.line.options import TriggerOptions
from edge_agent.line.pipeline import Identity
from edge_agent.line.trigger_desk import TriggerDesk
from edge_agent.pictures import image
from edge_agent.sensing.sensor_payload import MAX_PART_ID_CHARACTERS, Fields, Layout, Table, decoder
from tests.fuzz.damage import FUZZ, TREES, damaged_bytes

TREE = {"t": 1767323045678, "u": "spindle", "x": [1.5, 2.5], "y": [0.25, -1.0], "v": 7}
TABLE = {"t": "2026-01-02T03:04:05.678Z", "rows": [[1, 2.5], [3, 4.5]], "u": 7}
FIELDS = Fields(("/x", "/y"))
ROWS = Table(2, (1, 0), "/rows")
LAYOUTS = {
    "fields": Layout("json", FIELDS, time="/t", part_id="/u", max_samples=100),
    "nested": Layout("json", Fields(("/x/0", "/y/1"))),
    "table": Layout("json", ROWS, time="/t", time_unit="iso8601", max_samples=100),
    "packed": Layout("msgpack", FIELDS, time="/t", time_unit="ns", part_id="/u"),
    "packed table": Layout("msgpack", ROWS),
    "float32": Layout("float32", Table(2, (0, 1)), max_samples=100),
}
DECODERS = {name: decoder(layout) for name, layout in LAYOUTS.items()}


def samples(name: str) -> bytes:
    """Return a good message for one of LAYOUTS."""
    if name == "float32":
        return struct.pack("<6f", *range(6))
    tree = TABLE if "table" in name else TREE
    return msgspec.msgpack.encode(tree) if "packed" in name else msgspec.json.encode(tree)


def picture(ending: str, *more: int) -> bytes:
    pixels = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    good, encoded = cv2.imencode(ending, pixels, more)
    assert good
    return encoded.tobytes()


PICTURES = {
    ".jpg": picture(".jpg"),
    "progressive": picture(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    ".png": picture(".png"),
    ".bmp": picture(".bmp"),
    ".tiff": picture(".tiff"),
    ".webp": picture(".webp"),
    ".ppm": picture(".ppm"),
}


@FUZZ
@given(
    st.sampled_from(sorted(LAYOUTS)).flatmap(
        lambda name: st.tuples(st.just(name), damaged_bytes(st.just(samples(name))))
    )
)
def test_damaged_samples_are_decoded_or_refused(case: tuple[str, bytes]) -> None:
    name, payload = case
    read_samples(name, payload)


@FUZZ
@given(st.sampled_from([name for name in sorted(LAYOUTS) if name != "float32"]), TREES)
def test_any_document_as_samples_is_decoded_or_refused(name: str, tree: object) -> None:
    encode = (msgspec.msgpack if "packed" in name else msgspec.json).encode
    try:
        payload = encode(tree)
    except (OverflowError, UnicodeEncodeError):
        return  # no document of this format
    read_samples(name, payload)


def read_samples(name: str, payload: bytes) -> None:
    try:
        values, time_ns, part_id = DECODERS[name](payload)
    except BadInput:
        return
    assert np.asarray(values).dtype.kind == "f"
    assert time_ns is None or time_ns >= 0
    assert part_id is None or len(part_id) <= MAX_PART_ID_CHARACTERS


@FUZZ
@given(st.sampled_from(sorted(PICTURES)).flatmap(lambda k: damaged_bytes(st.just(PICTURES[k]))))
def test_damaged_pictures_are_decoded_or_refused(payload: bytes) -> None:
    decode(payload)


@FUZZ
@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF"]), st.binary())
def test_any_bytes_as_a_picture_are_decoded_or_refused(start: bytes, rest: bytes) -> None:
    decode(start + rest)


def decode(payload: bytes) -> None:
    try:
        pixels = image.decode(payload)
    except BadInput:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.shape[0] * pixels.shape[1] <= image.MAX_PIXELS


@FUZZ
@given(
    st.sampled_from(["", "/id", "/a/0", "/a/b/c"]),
    st.binary(max_size=64)
    | TREES.map(lambda tree: msgspec.json.encode(str(tree)))
    | damaged_bytes(st.just(b'{"id": "part-7", "a": [1, {"b": {"c": 7}}]}')),
)
def test_any_trigger_is_answered_or_refused(pointer: str, payload: bytes) -> None:
    answers: list[str | None] = []
    desk = TriggerDesk(lambda _: True, lambda verdict: answers.append(verdict.part_id), str)
    options = TriggerOptions(topic="t", part_id=pointer, deadline_ms=60_000)
    try:
        desk.trigger(Identity("camera", "qc", 1), options, payload)
        refused = False
    except BadInput:
        refused = True
    desk.close()  # answers what is open
    assert len(answers) == (0 if refused else 1)
