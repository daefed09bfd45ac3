"""Sensor recordings on disk, CSV and NPZ, read block by block as columns of numbers."""

from __future__ import annotations

import csv
import math
import zipfile
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Any, TextIO

from edge_agent.errors import BadInput, NotConnected
from edge_agent.lazy import lazy_module
from edge_agent.sensing.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.sensing.timestamps import TimeUnit
else:
    np = lazy_module("numpy")

BLOCK_ROWS = 256
# An NPZ is read as a whole; one that unpacks to more than this is a mistake or an attack.
MAX_NPZ_BYTES = 1 << 30
MAX_LINE_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class RecordingLayout:
    """What the file does not say itself.

    `columns` names the columns of a CSV without a header, or those of an NPZ's one table.
    `delimiter` "" finds it out from the first line; " " is any white space. `unit` is the column
    whose value names the machine or part.
    """

    columns: tuple[str, ...] = ()
    delimiter: str = ""
    time: str | None = None
    time_unit: TimeUnit = "s"
    unit: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive rows of one unit: `values` float64 [rows, columns], NaN where there is none.

    `times_ns`: int64 [rows], UTC, or None where no time column was asked for.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]
    times_ns: NDArray[np.int64] | None
    unit: str | None


def read_recording(
    path: Path, layout: RecordingLayout, columns: Sequence[str] | None = None
) -> Iterator[Block]:
    """Yield the rows of `path` in blocks; `columns` None: all that hold numbers.

    Raises NotConnected when the file or a column is missing, and BadInput (`time`, `recording`)
    that names file and line.
    """
    try:
        if path.suffix.lower() == ".npz":
            yield from _read_npz(path, layout, columns)
        else:
            yield from _read_csv(path, layout, columns)
    except OSError as error:
        raise NotConnected(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        text = f"{path.name}: not UTF-8, by its byte {error.start}: save it as UTF-8"
        raise BadInput("recording", text) from None
    except (csv.Error, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise BadInput("recording", f"{path.name}: {error}") from None


def without_numbers(path: Path, layout: RecordingLayout) -> tuple[str, ...]:
    """Return the columns that `read_recording` leaves out of a CSV: no number in the first row."""
    if path.suffix.lower() == ".npz":
        return ()
    with path.open(newline="", encoding="utf-8-sig") as file:
        names, rows = _names_and_rows(file, layout)
        _, first = next(rows, (0, []))
    taken = {*_numeric(names, first, layout), layout.time, layout.unit, ""}
    return tuple(name for name in names if name not in taken)


def is_number(text: str) -> bool:
    """Say whether a cell or a name is a number."""
    return not math.isnan(_number(text))


# ---------------------------------------------------------------------- CSV


def _read_csv(
    path: Path, layout: RecordingLayout, columns: Sequence[str] | None
) -> Iterator[Block]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        names, rows = _names_and_rows(file, layout)
        first = next(rows, None)
        if first is None:
            return
        if columns is None:
            columns = _numeric(names, first[1], layout)
        place = {name: index for index, name in enumerate(names)}
        wanted = (*columns, *filter(None, (layout.time, layout.unit)))
        _check_columns(path, wanted, place)
        chunk = [first, *islice(rows, BLOCK_ROWS - 1)]
        while chunk:
            yield from _csv_blocks(path, chunk, tuple(columns), place, layout)
            chunk = list(islice(rows, BLOCK_ROWS))


def _names_and_rows(
    file: TextIO, layout: RecordingLayout
) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str]]]]:
    first_line = file.readline(MAX_LINE_CHARACTERS)
    fields = _split(chain([first_line], file), layout.delimiter or _delimiter_of(first_line))
    rows = ((number, row) for number, row in enumerate(fields, start=1) if row)
    return layout.columns or tuple(next(rows, (1, []))[1]), rows


def _split(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    if delimiter == " ":
        return (line.split() for line in lines)
    return csv.reader(lines, delimiter=delimiter)


def _delimiter_of(line: str) -> str:
    return next((mark for mark in (";", "\t", ",") if mark in line), " ")


def _numeric(names: Sequence[str], row: Sequence[str], layout: RecordingLayout) -> tuple[str, ...]:
    special = {layout.time, layout.unit, ""}
    return tuple(
        name
        for name, text in zip(names, row, strict=False)
        if name not in special and is_number(text)
    )


def _csv_blocks(
    path: Path,
    rows: Sequence[tuple[int, Sequence[str]]],
    columns: tuple[str, ...],
    place: dict[str, int],
    layout: RecordingLayout,
) -> Iterator[Block]:
    places = [place[name] for name in columns]
    values = np.array([_numbers(row, places) for _, row in rows], np.float64)
    times = units = None
    if layout.time is not None:
        at = place[layout.time]
        times = np.array([_time(path, line, row, at, layout) for line, row in rows], np.int64)
    if layout.unit is not None:
        at = place[layout.unit]
        units = [row[at].strip() if at < len(row) else "" for _, row in rows]
    yield from _by_unit(columns, values, times, units)


def _numbers(row: Sequence[str], places: Sequence[int]) -> list[float]:
    try:
        return [float(row[each]) for each in places]
    except (ValueError, IndexError):  # a hole somewhere in this row
        return [_number(row[each]) if each < len(row) else float("nan") for each in places]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _time(path: Path, line: int, row: Sequence[str], at: int, layout: RecordingLayout) -> int:
    text = row[at] if at < len(row) else ""
    try:
        return parse_time(text if layout.time_unit == "iso8601" else float(text), layout.time_unit)
    except BadInput as error:
        raise BadInput("time", f"{path.name}, row {line}: {error.detail}") from None
    except ValueError:
        why = f"{text!r:.40} is no number of {layout.time_unit}; a written time is iso8601"
        raise BadInput("time", f"{path.name}, row {line}: {why}") from None


# ---------------------------------------------------------------------- NPZ


def _read_npz(
    path: Path, layout: RecordingLayout, columns: Sequence[str] | None
) -> Iterator[Block]:
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_NPZ_BYTES:
        raise BadInput("too_large", f"{path.name}: {size} bytes when unpacked")
    with np.load(path, allow_pickle=False) as archive:
        arrays = _arrays_by_name(path, dict(archive), layout)
    if columns is None:
        special = {layout.time, layout.unit}
        numeric = (name for name, each in arrays.items() if each.dtype.kind in "fiub")
        columns = [name for name in numeric if name not in special]
    wanted = (*columns, *filter(None, (layout.time, layout.unit)))
    _check_columns(path, wanted, arrays)
    if len({len(arrays[name]) for name in wanted}) > 1:
        raise BadInput("recording", f"{path.name}: columns of different lengths")
    values = np.stack([arrays[name].astype(np.float64) for name in columns], axis=1)
    times = units = None
    if layout.time is not None:
        times = _npz_times(arrays[layout.time], layout.time_unit)
    if layout.unit is not None:
        units = [_text(each) for each in arrays[layout.unit].tolist()]
    for start in range(0, len(values), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        yield from _by_unit(
            tuple(columns),
            values[part],
            None if times is None else times[part],
            units[part] if units else None,
        )


def _arrays_by_name(
    path: Path, arrays: dict[str, NDArray[Any]], layout: RecordingLayout
) -> dict[str, NDArray[Any]]:
    """Return all columns by name: one-dimensional arrays as they are, a table's by `columns`."""
    by_name: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            by_name[name] = array
        elif array.ndim == 2 and array.shape[1] == len(layout.columns):  # noqa: PLR2004  a table
            by_name |= {column: array[:, i] for i, column in enumerate(layout.columns)}
        else:
            shape = "x".join(map(str, array.shape))
            raise BadInput("recording", f"{path.name}: {name} is {shape}: name its columns")
    return by_name


def _npz_times(times: NDArray[Any], unit: TimeUnit) -> NDArray[np.int64]:
    if times.dtype.kind == "M":
        return times.astype("datetime64[ns]").astype(np.int64)
    return np.array([parse_time(each, unit) for each in times.tolist()], np.int64)


# ---------------------------------------------------------------------- both


def _by_unit(
    columns: tuple[str, ...],
    values: NDArray[np.float64],
    times: NDArray[np.int64] | None,
    units: Sequence[str] | None,
) -> Iterator[Block]:
    """Yield one block for each run of rows of the same unit."""
    if units is None:
        yield Block(columns, values, times, None)
        return
    changes = [i for i in range(1, len(units)) if units[i] != units[i - 1]]
    for start, stop in pairwise((0, *changes, len(units))):
        part = slice(start, stop)
        yield Block(columns, values[part], None if times is None else times[part], units[start])


def _text(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]


def _check_columns(path: Path, wanted: Sequence[str], known: dict[str, Any]) -> None:
    if missing := [name for name in wanted if name not in known]:
        raise NotConnected(
            f"{path.name}: no column {', '.join(missing)}; there are {', '.join(known)}"
        )
