"""Sensor messages: from the bytes of one payload to rows of samples, their time and their part.

Three formats. `json` and `msgpack` carry either fields (a pointer per channel, each a number or an
array of consecutive samples) or a table (one array of rows, or in MessagePack also its bytes as
float32). `float32` is such a table and nothing else: little-endian, interleaved.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edge_agent import pointer
from edge_agent.errors import BadInput
from edge_agent.lazy import lazy_module
from edge_agent.sensing.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.sensing.timestamps import TimeUnit

    Rows = NDArray[np.float32]
    # One row, or rows [samples, channels]; the time in the message; the part or machine it names.
    # A plain tuple: at 30,000 messages a second a class would cost as much as the parsing.
    Reading = tuple[Sequence[float] | Rows, int | None, str | None]
    Decoder = Callable[[bytes], Reading]
    Getter = Callable[[Any], Any]
else:
    np = lazy_module("numpy")

Format = Literal["json", "msgpack", "float32"]
MAX_PART_ID_CHARACTERS = 128

_NUMBERS = {float, int, bool, type(None)}


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON pointer (RFC 6901) per channel."""

    pointers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of `width` numbers at `pointer`; `columns` are those that are wanted, in order."""

    width: int
    columns: tuple[int, ...]
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand in the messages of one topic."""

    format: Format
    values: Fields | Table
    time: str | None = None
    time_unit: TimeUnit = "ms"
    part_id: str | None = None
    max_samples: int = 100_000


def decoder(layout: Layout) -> Decoder:
    """Return a function from payload to (row or rows, time in ns or None, part id or None).

    A row is a sequence with a number per channel (NaN for null), rows are float32
    [samples, channels]. It raises BadInput: `malformed`, `missing`, `type`, `shape`,
    `too_many_samples`, `time`, `part_id`.
    """
    if layout.format == "float32":
        assert isinstance(layout.values, Table)  # noqa: S101  the source's options see to it
        return _float32_decoder(layout.values, layout.max_samples)
    read_tree = _tree_reader(layout.format)
    read_values = _values_reader(layout)
    read_time = _time_reader(layout)
    read_part_id = _part_id_reader(layout.part_id)

    def decode(payload: bytes) -> Reading:
        tree = read_tree(payload)
        values = read_values(tree)
        time_ns = read_time(tree) if read_time else None
        part_id = read_part_id(tree) if read_part_id else None
        return values, time_ns, part_id

    return decode


# ---------------------------------------------------------------------- what the payload is


def _float32_decoder(table: Table, max_samples: int) -> Decoder:
    def decode(payload: bytes) -> Reading:
        return _interleaved(payload, table, max_samples), None, None

    return decode


def _interleaved(payload: bytes, table: Table, max_samples: int) -> Rows:
    row_bytes = 4 * table.width
    if not payload or len(payload) % row_bytes:
        raise BadInput("shape", f"{len(payload)} bytes are not rows of {row_bytes}")
    if len(payload) > max_samples * row_bytes:
        raise BadInput("too_many_samples", f"{len(payload) // row_bytes}")
    rows = np.frombuffer(payload, "<f4").reshape(-1, table.width)
    return _wanted(rows, table)


def _wanted(rows: Rows, table: Table) -> Rows:
    if table.columns == tuple(range(table.width)):
        return rows
    return rows[:, table.columns]


def _tree_reader(format_: Format) -> Getter:
    decode: Getter = msgspec.json.decode if format_ == "json" else msgspec.msgpack.decode

    def read(payload: bytes) -> Any:  # noqa: ANN401  any JSON
        try:
            return decode(payload)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            # ValueError: of a text that is not UTF-8, and of times that do not exist.
            raise BadInput("malformed", str(error)) from None

    return read


# ---------------------------------------------------------------------- where the samples stand


def _values_reader(layout: Layout) -> Callable[[Any], Sequence[float] | Rows]:
    if isinstance(layout.values, Table):
        return _table_reader(layout.values, layout.max_samples)
    pointers = layout.values.pointers
    get = _fields_getter(pointers)
    max_samples = layout.max_samples

    def read(tree: Any) -> Sequence[float] | Rows:  # noqa: ANN401
        try:
            values: Sequence[Any] = get(tree)
        except (KeyError, TypeError) as error:
            raise BadInput("missing", f"nothing at {error}") from None
        kinds = {*map(type, values)}
        if kinds == {float}:
            return values
        if kinds <= _NUMBERS:
            return [_number(value) for value in values]
        if not kinds <= {list, bytes}:
            raise BadInput("type", _no_number(pointers, values))
        return _side_by_side([_column(value, max_samples) for value in values])

    return read


def _no_number(pointers: Sequence[str], values: Sequence[Any]) -> str:
    """Name the first value that is no number, where others are or where none is a list."""
    pairs = zip(pointers, values, strict=True)
    where, value = next(pair for pair in pairs if type(pair[1]) not in _NUMBERS)
    # A text may be "4,1"; anything else may be nested too deep to be shown.
    shown = f"{value!r:.40}" if isinstance(value, str) else type(value).__name__
    return f"{where or 'the message'} is {shown}, no number"


def _fields_getter(pointers: tuple[str, ...]) -> Getter:
    paths = [pointer.parse(each) for each in pointers]
    keys = [path[0] for path in paths if len(path) == 1 and not path[0].isdigit()]
    if len(keys) == len(paths) > 1:
        return itemgetter(*keys)  # by far the commonest message: a flat object
    getters = [_getter(path) for path in paths]
    if len(getters) == 1:
        only = getters[0]
        return lambda tree: (only(tree),)
    return lambda tree: [get(tree) for get in getters]


def _getter(path: tuple[str, ...]) -> Getter:
    steps = [(token, int(token) if token.isdecimal() else None) for token in path]

    def get(tree: Any) -> Any:  # noqa: ANN401
        for token, index in steps:
            if type(tree) is dict:
                tree = tree[token]
            elif type(tree) is list and index is not None and index < len(tree):
                tree = tree[index]
            else:
                raise KeyError(token)
        return tree

    return get


def _number(value: float | None) -> float:
    try:
        return float("nan") if value is None else float(value)
    except OverflowError:
        return float("inf")


def _column(value: list[Any] | bytes, max_samples: int) -> Rows:
    rows = _interleaved(value, Table(1, (0,)), max_samples) if isinstance(value, bytes) else None
    if rows is not None:
        return rows[:, 0]
    column = _array(value, max_samples)
    if column.ndim != 1:
        raise BadInput("shape", f"{column.shape} for one channel")
    return column


def _side_by_side(columns: Sequence[Rows]) -> Rows:
    if len({len(column) for column in columns}) > 1:
        raise BadInput("shape", f"{sorted(map(len, columns))} samples in one message")
    return columns[0][:, None] if len(columns) == 1 else np.stack(columns, axis=1)


def _table_reader(table: Table, max_samples: int) -> Callable[[Any], Rows]:
    get = _getter(pointer.parse(table.pointer))

    def read(tree: Any) -> Rows:  # noqa: ANN401
        try:
            value = get(tree)
        except KeyError as error:
            raise BadInput("missing", f"nothing at {error}") from None
        if isinstance(value, bytes):
            return _interleaved(value, table, max_samples)
        if type(value) is not list:
            raise BadInput("type", type(value).__name__)
        rows = _array(value, max_samples * table.width)
        if rows.size % table.width or (rows.ndim > 1 and rows.shape[1:] != (table.width,)):
            raise BadInput("shape", f"{rows.shape} instead of rows of {table.width}")
        return _wanted(rows.reshape(-1, table.width), table)

    return read


def _array(values: Sequence[Any], max_samples: int) -> Rows:
    """Return numbers (null: NaN) as float32; nothing else is taken for a number."""
    if not values:
        raise BadInput("shape", "an empty array")
    if len(values) > max_samples:
        raise BadInput("too_many_samples", str(len(values)))
    try:
        array = np.array(values)
        if array.dtype.kind == "O":  # null among the numbers, or a number beyond 64 bits
            array = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInput("shape", str(error)) from None
    if array.dtype.kind not in "fiub":
        raise BadInput("type", "not all numbers")
    with np.errstate(over="ignore"):  # beyond float32 is infinite; the windower drops that
        return array.astype(np.float32)


# ---------------------------------------------------------------------- when, and of which part


def _time_reader(layout: Layout) -> Callable[[Any], int] | None:
    if layout.time is None:
        return None
    get = _getter(pointer.parse(layout.time))
    unit = layout.time_unit

    def read(tree: Any) -> int:  # noqa: ANN401
        try:
            return parse_time(get(tree), unit)
        except KeyError as error:
            raise BadInput("time", f"nothing at {error}") from None

    return read


def _part_id_reader(where: str | None) -> Callable[[Any], str] | None:
    if where is None:
        return None
    get = _getter(pointer.parse(where))

    def read(tree: Any) -> str:  # noqa: ANN401
        try:
            return part_id_text(get(tree))
        except KeyError as error:
            raise BadInput("part_id", f"nothing at {error}") from None

    return read


def part_id_text(value: object) -> str:
    """Return a part id as text: 7, 7.0 and "7" are the same part. Raises BadInput (`part_id`)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadInput("part_id", f"neither text nor a whole number: {value!r:.40}")
    return str(value)[:MAX_PART_ID_CHARACTERS]
