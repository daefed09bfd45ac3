"""Reads a CSV file or a folder of them as series of numbers; says what is wrong by file and row."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.errors import BadInput
from edge_agent.sensing.timestamps import parse_time
from tools.recordings.series import Recording, Series
from tools.training.data_checks import DataUnfit, Finding, named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.sensing.timestamps import TimeUnit
    from tools.recordings.series import Layout

    Numbers = NDArray[np.float64]

SUFFIXES = {".csv", ".tsv", ".txt"}
HINT = ": write 0.5, not 0,5"
# What people write where there is no value.
EMPTY = {"", "nan", "na", "n/a", "null", "none", "-", "?"}


@dataclass(frozen=True, slots=True)
class Table:
    """One file: its column names, and its rows as text, each with its line in the file."""

    path: Path
    names: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: NDArray[np.int64]

    def column(self, name: str) -> list[str]:
        """Return the texts of a column."""
        at = self.names.index(name)
        return [row[at].strip() for row in self.rows]

    def cell(self, row: int, name: str) -> str:
        """Return where a cell stands, in words."""
        return f"{self.path.name}, row {self.lines[row]}, column {name}"


def read(path: Path, layout: Layout) -> tuple[Recording, list[Finding]]:
    """Return the recording in the file or folder `path`, and warnings.

    Rows and lines count as in an editor, from 1. Raises DataUnfit that names file, row and column.
    """
    files = recording_files(path)
    tables: list[Table] = []
    errors: list[Finding] = []
    for file in files:
        try:
            tables.append(_table(file, layout))
        except DataUnfit as unfit:
            errors += unfit.findings
    if errors:
        raise DataUnfit(errors)
    channels = _channels(tables, layout)
    findings: list[Finding] = []
    series: list[Series] = []
    for table in tables:
        try:
            series += _series(table, channels, layout, findings)
        except DataUnfit as unfit:
            errors += unfit.findings
    if errors:
        raise DataUnfit(errors)
    folder = path if path.is_dir() else path.parent
    return Recording(channels, tuple(series), folder, tuple(files)), findings


def recording_files(path: Path) -> list[Path]:
    """Return the files of numbers in `path`, sorted; raise DataUnfit where there are none."""
    if path.is_file():
        return [path]
    files = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES)
    if not files:
        what = "holds no .csv, .tsv or .txt file" if path.is_dir() else "does not exist"
        raise DataUnfit(f"{path} {what}")
    return files


# ---------------------------------------------------------------------- text to rows


def _table(path: Path, layout: Layout) -> Table:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataUnfit(f"{path.name} is no text: byte {error.start} is no UTF-8") from None
    if "\0" in text:
        raise DataUnfit(f"{path.name} is no text: it holds zero bytes")
    numbered = _rows(path, text, layout.delimiter)
    names = layout.names or (tuple(name.strip() for name in numbered[0][1]) if numbered else ())
    rows = numbered if layout.names else numbered[1:]
    if not rows:
        raise DataUnfit(f"{path.name} holds no rows of numbers")
    if not layout.names and all(_is_number(name) for name in names):
        raise DataUnfit(
            f"{path.name}, row {numbered[0][0]}: numbers where the columns' names should be; "
            "give the names with --names"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataUnfit(f"{path.name}: column {named(twice)} stands there twice")
    for line, row in rows:
        if len(row) != len(names):
            raise DataUnfit(f"{path.name}, row {line}: {len(row)} fields instead of {len(names)}")
    lines = np.array([line for line, _ in rows], np.int64)
    return Table(path, names, [row for _, row in rows], lines)


def _rows(path: Path, text: str, delimiter: str) -> list[tuple[int, Sequence[str]]]:
    """Return each row that is not empty, and its line."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = delimiter or next((mark for mark in ";\t," if mark in first), " ")
    if delimiter == " ":
        fields = ((number, line.split()) for number, line in enumerate(lines, start=1))
        return [(number, row) for number, row in fields if row]
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataUnfit(f"{path.name}, row {reader.line_num}: {error}") from None


# ---------------------------------------------------------------------- which columns


def _channels(tables: Sequence[Table], layout: Layout) -> tuple[str, ...]:
    """Return the channels that all files have, or raise DataUnfit naming a file without them."""
    first = tables[0]
    special = {layout.unit, layout.time, layout.target, *layout.ignored, ""}
    channels = layout.columns or tuple(
        name for name in first.names if name not in special and _holds_numbers(first, name)
    )
    wanted = (*channels, *filter(None, (layout.unit, layout.time, layout.target)))
    findings = [] if layout.columns else _decimal_commas(first, special)
    for table in tables:
        if missing := [name for name in wanted if name not in table.names]:
            there = ", ".join(table.names)
            findings.append(
                Finding("error", f"{table.path.name}: no column {named(missing)}; it has {there}")
            )
    if not channels and not findings:
        findings.append(Finding("error", f"{first.path.name}: no column holds numbers"))
    if findings:
        raise DataUnfit(findings)
    return channels


def _holds_numbers(table: Table, name: str) -> bool:
    """Tell numbers from words by the first cell that is not empty; all empty: an error, later."""
    filled = (text for text in table.column(name) if text.lower() not in EMPTY)
    return _is_number(next(filled, "0"))


def _decimal_commas(table: Table, special: set[str | None]) -> list[Finding]:
    """Find columns of 0,5 instead of 0.5, which would pass for words."""
    for name in table.names:
        texts = [text for text in table.column(name) if text.lower() not in EMPTY]
        if name in special or not texts or texts[0].count(",") != 1:
            continue
        if all(_is_number(text.replace(",", ".")) for text in texts):
            text = f"{table.path.name}, column {name}: {texts[0]} is no number"
            return [Finding("error", f"{text}{HINT}, in all columns, or --ignore {name}")]
    return []


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------------- rows to series


def _series(
    table: Table, channels: tuple[str, ...], layout: Layout, findings: list[Finding]
) -> list[Series]:
    columns = [_numbers(table, name, findings) for name in channels]
    target: NDArray[Any] | None = None
    if layout.target is not None:
        target = _target(table, layout.target, text=layout.target_is_text)
    whole = Series(
        group=table.path.stem,
        file=table.path.name,
        channels=channels,
        values=np.stack(columns, axis=1),
        lines=table.lines,
        times_s=None if layout.time is None else _times(table, layout.time, layout),
        target=target,
    )
    if layout.unit is None:
        return [whole]
    units = table.column(layout.unit)
    changes = [row for row in range(1, len(units)) if units[row] != units[row - 1]]
    parts = pairwise((0, *changes, len(units)))
    return [replace(whole.rows(slice(start, stop)), group=units[start]) for start, stop in parts]


def _numbers(table: Table, name: str, findings: list[Finding]) -> Numbers:
    texts = table.column(name)
    try:
        values = np.array(texts, np.float64)
    except ValueError:
        values = np.array([_number(table, row, name, text) for row, text in enumerate(texts)])
    holes = np.flatnonzero(~np.isfinite(values))
    if len(holes) == len(values):
        first, last = table.lines[0], table.lines[-1]
        raise DataUnfit(
            f"{table.path.name}, column {name}: no number in any of its rows, {first} to {last}; "
            f"fill it or leave it out with --ignore {name}"
        )
    if len(holes):
        more = f" and {len(holes) - 1} more" if len(holes) > 1 else ""
        findings.append(
            Finding(
                "warning",
                f"{table.cell(int(holes[0]), name)}{more}: no number; no window reaches across",
            )
        )
    return np.where(np.isfinite(values), values, np.nan)


def _number(table: Table, row: int, name: str, text: str) -> float:
    if text.lower() in EMPTY:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        hint = HINT if _is_number(text.replace(",", ".")) else ""
        raise DataUnfit(f"{table.cell(row, name)}: {text!r} is no number{hint}") from None


def _target(table: Table, name: str, *, text: bool) -> NDArray[Any]:
    texts = table.column(name)
    for row, each in enumerate(texts):
        if each.lower() in EMPTY:
            raise DataUnfit(f"{table.cell(row, name)}: empty, and the model is to learn it")
    if text:
        return np.array(texts, dtype=np.str_)
    return np.array([_number(table, row, name, each) for row, each in enumerate(texts)])


def _times(table: Table, name: str, layout: Layout) -> Numbers:
    texts, unit = table.column(name), layout.time_unit
    times = []
    for row, text in enumerate(texts):
        try:
            times.append(_time_s(text, unit))
        except BadInput as error:
            if any(_is_time(each, unit) for each in texts):
                raise DataUnfit(f"{table.cell(row, name)}: {error}") from None
            raise DataUnfit(
                f"{table.path.name}, column {name} has no times: {text!r} in row "
                f"{table.lines[row]} is none by --time-unit {unit}"
            ) from None
    return np.array(times)


def _time_s(text: str, unit: TimeUnit) -> float:
    """Return seconds since 1970, or raise BadInput."""
    if unit == "iso8601":
        return parse_time(text, unit) / 1e9
    if not _is_number(text):
        raise BadInput("time", f"{text!r} is not a number of {unit}")
    return parse_time(float(text), unit) / 1e9


def _is_time(text: str, unit: TimeUnit) -> bool:
    try:
        _time_s(text, unit)
    except BadInput:
        return False
    return True
