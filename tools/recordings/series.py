"""What a recording is made of: series, each of one machine, and how their files are laid out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.sensing.timestamps import TimeUnit


@dataclass(frozen=True, slots=True)
class Layout:
    """What the files do not say themselves.

    `columns`: the channels; none named: every column of numbers that has no other meaning.
    `names`: of the columns, where a file has no header. `delimiter` "": found out; " ": any white
    space. `unit`: the column that names the machine, part or experiment; none: each file is one.
    `target`: the column of what the model is to say; `target_is_text`: its values are labels.
    """

    columns: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    delimiter: str = ""
    unit: str | None = None
    time: str | None = None
    time_unit: TimeUnit = "s"
    target: str | None = None
    target_is_text: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Rows of one machine in the order they were taken.

    `group`: what must not be torn apart by a split. `values`: float64 [rows, channels], NaN where
    a cell is empty. `lines`: int64 [rows], the line of each row in `file`. `times_s`: float64
    [rows] or None. `target`: [rows], float64 or text, or None.
    """

    group: str
    file: str
    channels: tuple[str, ...]
    values: NDArray[np.float64]
    lines: NDArray[np.int64]
    times_s: NDArray[np.float64] | None = None
    target: NDArray[Any] | None = None

    def rows(self, part: slice | NDArray[np.bool_]) -> Series:
        """Return some of the rows."""
        return replace(
            self,
            values=self.values[part],
            lines=self.lines[part],
            times_s=None if self.times_s is None else self.times_s[part],
            target=None if self.target is None else self.target[part],
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """All series of one kind of machine, with the same channels, and the files they came from."""

    channels: tuple[str, ...]
    series: tuple[Series, ...]
    folder: Path
    files: tuple[Path, ...]

    @property
    def groups(self) -> list[str]:
        """Return the group of each series."""
        return [series.group for series in self.series]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return all labels, sorted."""
        targets = (series.target for series in self.series)
        return tuple(sorted({str(each) for t in targets if t is not None for each in set(t)}))

    def only(self, channels: tuple[str, ...]) -> Recording:
        """Return the recording with these of its channels."""
        places = [self.channels.index(channel) for channel in channels]
        series = tuple(
            replace(each, channels=channels, values=each.values[:, places]) for each in self.series
        )
        return replace(self, channels=channels, series=series)


def add_layout_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how the files are laid out."""
    group = parser.add_argument_group("how the files are laid out")
    group.add_argument("--columns", nargs="+", default=[], metavar="NAME", help="the channels")
    group.add_argument("--ignore", nargs="+", default=[], metavar="NAME", help="columns to leave")
    group.add_argument("--names", nargs="+", default=[], help="column names of files without any")
    group.add_argument("--delimiter", default="", help="'' finds it out, ' ' is any white space")
    group.add_argument("--unit", help="column that names the machine, part or experiment")
    group.add_argument("--time", help="column of the time")
    group.add_argument(
        "--time-unit",
        default="s",
        choices=("s", "ms", "us", "ns", "iso8601"),
        help="of that column; iso8601: 2026-01-31T06:00:00Z",
    )


def layout_of(
    options: argparse.Namespace, target: str | None = None, *, text: bool = False
) -> Layout:
    """Return the layout that the options ask for."""
    return Layout(
        columns=tuple(options.columns),
        ignored=tuple(options.ignore),
        names=tuple(options.names),
        delimiter=options.delimiter,
        unit=options.unit,
        time=options.time,
        time_unit=options.time_unit,
        target=target,
        target_is_text=text,
    )
