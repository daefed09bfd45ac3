"""What sensor messages may look like, and what is refused."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import BadInput
from edge_agent.sensing.sensor_payload import Fields, Layout, Table, decoder, part_id_text
from edge_agent.sensing.timestamps import LATEST_NS, parse_time

if TYPE_CHECKING:
    from edge_agent.sensing.timestamps import TimeUnit

NS = 1_000_000_000


def read(
    tree: object, *pointers: str, time: str | None = None, part_id: str | None = None
) -> tuple[list[Any], int | None, str | None]:
    """Decode `tree` sent as JSON."""
    layout = Layout("json", Fields(pointers or ("",)), time=time, part_id=part_id)
    values, time_ns, part_id = decoder(layout)(json.dumps(tree).encode())
    return np.asarray(values).tolist(), time_ns, part_id


def refusal(payload: bytes, layout: Layout) -> str:
    with pytest.raises(BadInput) as error:
        decoder(layout)(payload)
    return error.value.reason


SCALAR = Layout("json", Fields(("",)))


# ---------------------------------------------------------------------- where the samples stand


def test_the_whole_message_may_be_one_number() -> None:
    assert read(21.5)[0] == [21.5]
    assert read(21)[0] == [21.0]


def test_the_whole_message_may_be_an_array_of_samples() -> None:
    assert read([1, 2.5, 3])[0] == [[1], [2.5], [3]]


def test_channels_stand_where_their_pointers_say() -> None:
    tree = {"a": {"x": [5, {"y/z": 2.0}]}, "b": 3, "0": 7.0}
    assert read(tree, "/b", "/a/x/1/y~1z", "/a/x/0", "/0")[0] == [3, 2, 5, 7]


def test_flat_objects_give_their_numbers_in_the_order_of_the_channels() -> None:
    assert read({"x": 1.5, "y": 2.5, "more": "text"}, "/y", "/x")[0] == [2.5, 1.5]


def test_arrays_of_several_channels_are_put_side_by_side() -> None:
    assert read({"x": [1, 2], "y": [3, 4]}, "/x", "/y")[0] == [[1, 3], [2, 4]]


def test_a_switch_counts_as_0_or_1_and_null_as_not_a_number() -> None:
    values, _, _ = read({"on": True, "off": False, "gone": None}, "/on", "/off", "/gone")
    assert values[:2] == [1, 0]
    assert np.isnan(values[2])
    values, _, _ = read([1, None])
    assert np.isnan(values[1][0])


def test_a_table_may_have_its_rows_nested_or_flat() -> None:
    table = Table(3, (2, 0), "/rows")
    for rows in ([[1, 2, 3], [4, 5, 6]], [1, 2, 3, 4, 5, 6]):
        values, _, _ = decoder(Layout("json", table))(json.dumps({"rows": rows}).encode())
        assert np.asarray(values).tolist() == [[3, 1], [6, 4]]


def test_raw_blocks_are_little_endian_and_interleaved() -> None:
    payload = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    values, time_ns, part_id = decoder(Layout("float32", Table(3, (0, 1, 2))))(payload)
    assert np.asarray(values).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (time_ns, part_id) == (None, None)
    values, _, _ = decoder(Layout("float32", Table(2, (1,))))(payload)
    assert np.asarray(values).tolist() == [[2], [4], [6]]


def test_messagepack_carries_numbers_arrays_and_float32_bytes() -> None:
    raw = struct.pack("<2f", 7, 8)
    payload = msgspec.msgpack.encode({"t": 5, "x": [1.0, 2.0], "y": raw, "rows": raw})
    layout = Layout("msgpack", Fields(("/x", "/y")), time="/t", time_unit="s")
    values, time_ns, _ = decoder(layout)(payload)
    assert np.asarray(values).tolist() == [[1, 7], [2, 8]]
    assert time_ns == 5 * NS
    values, _, _ = decoder(Layout("msgpack", Table(2, (0, 1), "/rows")))(payload)
    assert np.asarray(values).tolist() == [[7, 8]]


# ---------------------------------------------------------------------- time and part


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1_700_000_000.25, "s"),
        (1_700_000_000_250, "ms"),
        (1_700_000_000_250_000, "us"),
        (1_700_000_000_250_000_000, "ns"),
        ("2023-11-14T22:13:20.250Z", "iso8601"),
        ("2023-11-14 23:13:20.250+01:00", "iso8601"),
        ("2023-11-14 22:13:20.250", "iso8601"),
        (datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC), "ms"),
    ],
)
def test_every_unit_of_time_gives_the_same_instant(value: object, unit: TimeUnit) -> None:
    assert parse_time(value, unit) == 1_700_000_000_250_000_000


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("soon", "iso8601"),
        (5, "iso8601"),
        ("5", "ms"),
        (True, "s"),
        (None, "s"),
        (-1, "s"),
        (float("nan"), "s"),
        (float("inf"), "s"),
        (LATEST_NS, "ns"),
        (10**300, "s"),
    ],
)
def test_what_is_no_time_is_refused(value: object, unit: TimeUnit) -> None:
    with pytest.raises(BadInput) as error:
        parse_time(value, unit)
    assert error.value.reason == "time"


def test_time_and_part_are_read_beside_the_samples() -> None:
    tree = {"ts": 1500, "unit": "engine-7", "v": 1}
    assert read(tree, "/v", time="/ts", part_id="/unit") == ([1], 1_500_000_000, "engine-7")


def test_a_part_is_the_same_as_text_and_as_a_number() -> None:
    assert {part_id_text(value) for value in (7, 7.0, "7")} == {"7"}
    assert len(part_id_text("x" * 1000)) == 128
    for value in (None, True, 7.5, [7]):
        with pytest.raises(BadInput, match="part_id"):
            part_id_text(value)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"1 2", "malformed"),
        (b"NaN", "malformed"),
        (b"1e999", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'"\xff"', "malformed"),
        (b"9" * 5000, "malformed"),
        (b"[" * 1_000_000, "malformed"),
        (b'{"a":' * 100_000, "malformed"),
        (b'"12.5"', "type"),
        (b'{"v": 1}', "type"),
        (b'["1", "2"]', "type"),
        (b"[]", "shape"),
        (b"[[1, 2], [3]]", "shape"),
        (b"[[1, 2], [3, 4]]", "shape"),
        (b"[1, {}]", "shape"),
    ],
)
def test_messages_that_are_not_numbers_are_refused(payload: bytes, reason: str) -> None:
    assert refusal(payload, SCALAR) == reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"x": 1}', "missing"),
        (b"[1, 2]", "missing"),
        (b"7", "missing"),
        (b'{"x": 1, "y": [2]}', "type"),
        (b'{"x": [1], "y": [2, 3]}', "shape"),
        (b'{"x": "1", "y": 2}', "type"),
    ],
)
def test_objects_that_lack_or_mix_channels_are_refused(payload: bytes, reason: str) -> None:
    assert refusal(payload, Layout("json", Fields(("/x", "/y")))) == reason


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b'{"x": 1, "y": "4,1"}', "/y is '4,1', no number"),
        (b'{"x": 1, "y": ' + b'{"a":' * 500 + b"1" + b"}" * 501, "/y is dict, no number"),
    ],
)
def test_what_is_no_number_is_named(payload: bytes, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        decoder(Layout("json", Fields(("/x", "/y"))))(payload)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("[1, 2]", "shape"),
        ("[[1, 2], [3, 4]]", "shape"),
        ("7", "type"),
        ("{}", "type"),
        ("[[[1, 2, 3]]]", "shape"),
        ("[]", "shape"),
    ],
)
def test_tables_with_the_wrong_number_of_columns_are_refused(rows: str, reason: str) -> None:
    layout = Layout("json", Table(3, (0, 1, 2), "/rows"))
    assert refusal(b'{"rows": %s}' % rows.encode(), layout) == reason
    assert refusal(b'{"row": 1}', layout) == "missing"


@pytest.mark.parametrize("size", [0, 3, 4, 13])
def test_raw_blocks_that_end_within_a_row_are_refused(size: int) -> None:
    assert refusal(bytes(size), Layout("float32", Table(3, (0, 1, 2)))) == "shape"


def test_more_samples_than_allowed_are_refused() -> None:
    fields = Fields(("",))
    assert refusal(b"[1,2,3]", Layout("json", fields, max_samples=2)) == "too_many_samples"
    raw = Layout("float32", Table(1, (0,)), max_samples=2)
    assert refusal(bytes(12), raw) == "too_many_samples"
    packed = msgspec.msgpack.encode(bytes(12))
    assert refusal(packed, Layout("msgpack", fields, max_samples=2)) == "too_many_samples"


def test_a_message_without_its_time_or_part_is_refused() -> None:
    fields = Fields(("/v",))
    assert refusal(b'{"v": 1}', Layout("json", fields, time="/ts")) == "time"
    assert refusal(b'{"v": 1}', Layout("json", fields, part_id="/unit")) == "part_id"


def test_integers_beyond_64_bits_are_numbers_too() -> None:
    assert read(10**30)[0] == [pytest.approx(1e30)]
    assert read([10**30, 1])[0] == [[pytest.approx(1e30)], [1]]


# ---------------------------------------------------------------------- whatever comes

LAYOUTS = [
    SCALAR,
    Layout("json", Fields(("/x", "/y/0")), time="/t", part_id="/u"),
    Layout("json", Table(2, (1, 0), "/x"), time="/t", time_unit="iso8601"),
    Layout("msgpack", Fields(("/x", "/y"))),
    Layout("msgpack", Table(2, (0, 1), "/x"), time="/t", time_unit="ns"),
    Layout("float32", Table(2, (0, 1))),
]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=16)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "y", "t", "u", "0"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(layout: Layout, payload: bytes) -> None:
    try:
        values, time_ns, part_id = decoder(layout)(payload)
    except BadInput:
        return
    rows = np.atleast_2d(np.asarray(values))
    assert rows.dtype.kind == "f"
    assert rows.ndim == 2
    assert time_ns is None or 0 <= time_ns < LATEST_NS
    assert part_id is None or len(part_id) <= 128


@given(st.sampled_from(LAYOUTS), st.binary(max_size=64))
def test_any_bytes_are_decoded_or_refused(layout: Layout, payload: bytes) -> None:
    check(layout, payload)


@given(st.sampled_from(LAYOUTS), trees)
def test_any_document_is_decoded_or_refused(layout: Layout, tree: object) -> None:
    try:
        payload = (
            msgspec.msgpack.encode(tree)
            if layout.format == "msgpack"
            else msgspec.json.encode(tree)
        )
    except (OverflowError, UnicodeEncodeError):
        return
    check(layout, payload)
