"""What is wrong with a recording before a model is trained on it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from tools.recordings.reader import read
from tools.training.data_checks import DataUnfit, Finding, named, settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tools.recordings.series import Layout, Recording, Series

# A class with fewer windows than this is not learned but remembered.
FEWEST_OF_CLASS = 20
# A name of a machine stands in this many rows at least.
FEWEST_ROWS_OF_A_NAME = 20
# One class so many times another: a model that always says the large one looks good.
UNBALANCED = 10
# Steps that differ by more than this from the usual one, as a fraction of it.
STEP_TOLERANCE = 0.5


def read_checked(path: Path, layout: Layout, samples: int) -> Recording:
    """Return the recording in `path`, fit to be trained on with windows of `samples` rows.

    Constant channels are left out, and said. Raises DataUnfit with everything that is wrong.
    """
    recording, findings = read(path, layout)
    findings += [
        *copies(recording),
        *(finding for series in recording.series for finding in unsorted(series)),
        *too_short(recording, samples),
    ]
    still = constant(recording)
    moving = tuple(channel for channel in recording.channels if channel not in still)
    for channel in still:
        first = recording.series[0]
        value = first.values[:, recording.channels.index(channel)]
        what = f"{first.file}, column {channel}: always {np.nanmin(value):g}"
        if layout.columns:
            findings.append(Finding("error", f"{what}: leave it out of --columns"))
        else:
            findings.append(Finding("warning", f"{what}, left out"))
    if not moving:
        findings.append(Finding("error", f"{path.name}: no channel ever changes"))
    findings += names_of_machines(recording.only(moving))
    settle(findings)
    print(f"  channels: {', '.join(moving)}", flush=True)
    return recording.only(moving)


def names_of_machines(recording: Recording) -> Iterator[Finding]:
    """Find channels of whole numbers that change as a name does: each value in one stretch of rows.

    A model that sees them knows the machine, and learns what was true of it.
    """
    for place, channel in enumerate(recording.channels):
        values = np.concatenate([each.values[:, place] for each in recording.series])
        values = values[np.isfinite(values)]
        stretches, distinct = 1 + np.count_nonzero(np.diff(values)), len(np.unique(values))
        whole = (values == np.round(values)).all()
        if whole and stretches == distinct and len(values) >= FEWEST_ROWS_OF_A_NAME * distinct:
            yield Finding(
                "warning",
                f"column {channel} holds {distinct} whole numbers, each in one stretch of rows: if "
                f"it names the machine or run say --unit {channel}; if no sensor feels it say "
                f"--ignore {channel}",
            )


def constant(recording: Recording) -> list[str]:
    """Return the channels that never change, in any series."""
    low = np.min([np.nanmin(series.values, axis=0) for series in filled(recording)], axis=0)
    high = np.max([np.nanmax(series.values, axis=0) for series in filled(recording)], axis=0)
    pairs = zip(recording.channels, low == high, strict=True)
    return [channel for channel, still in pairs if still]


def filled(recording: Recording) -> list[Series]:
    """Return the series in which every channel has a number somewhere."""
    return [s for s in recording.series if np.isfinite(s.values).any(axis=0).all()]


def copies(recording: Recording) -> Iterator[Finding]:
    """Find files with the same content: one of them in training would give away the other."""
    by_content = defaultdict(list)
    for path in recording.files:
        by_content[hashlib.sha256(path.read_bytes()).digest()].append(path.name)
    for names in by_content.values():
        if len(names) > 1:
            yield Finding("error", f"{named(names[1:])}: the same content as {names[0]}")


def unsorted(series: Series) -> Iterator[Finding]:
    """Find times that do not rise, and steps that are far from the usual one."""
    if series.times_s is None or len(series.times_s) < 2:
        return
    steps = np.diff(series.times_s)
    back = np.flatnonzero(steps <= 0)
    if len(back):
        row = int(back[0]) + 1
        more = f", and {len(back) - 1} more rows" if len(back) > 1 else ""
        yield Finding(
            "error",
            f"{series.file}, row {series.lines[row]}: its time is not after that of the row "
            f"before{more}; sort the rows, or name the machine's column with --unit",
        )
        return
    usual = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - usual) > STEP_TOLERANCE * usual)
    if len(odd):
        row = int(odd[0]) + 1
        yield Finding(
            "warning",
            f"{series.file}, row {series.lines[row]}: {steps[odd[0]]:g} s after the row before, "
            f"where {usual:g} s is usual ({len(odd)} such steps): taken as one step",
        )


def too_short(recording: Recording, samples: int) -> list[Finding]:
    """Find series that hold no window; an error where none of them does."""
    lengths = [longest_run(series) for series in recording.series]
    short = [
        f"{series.file} ({series.group})" if series.group not in series.file else series.file
        for series, length in zip(recording.series, lengths, strict=True)
        if length < samples
    ]
    if not short:
        return []
    text = f"{named(short)}: fewer than {samples} rows without a hole, no window fits"
    if len(short) < len(lengths):
        return [Finding("warning", text)]
    return [Finding("error", f"{text}; the longest has {max(lengths)}: give a smaller --samples")]


def longest_run(series: Series) -> int:
    """Return how many rows without a hole follow each other at most."""
    whole = np.isfinite(series.values).all(axis=1)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]])))
    return int((ends[1::2] - ends[::2]).max(initial=0))


def classes(labels: Sequence[str]) -> list[Finding]:
    """Find classes with too few windows, or with far fewer than another."""
    counts = Counter(labels)
    if len(counts) < 2:
        only = next(iter(counts), "none")
        raise DataUnfit(f"only one class ({only}): there is nothing to tell apart")
    found = [
        Finding("error", f"class {label}: {count} windows, {FEWEST_OF_CLASS} are needed")
        for label, count in sorted(counts.items())
        if count < FEWEST_OF_CLASS
    ]
    (most, many), *_, (least, few) = counts.most_common()
    if many > UNBALANCED * few and not found:
        text = f"{many} windows of {most} and {few} of {least}: an answer of {most} looks good"
        found.append(Finding("warning", text))
    return found


def rate_hz(recording: Recording) -> float | None:
    """Return how many rows a second the times say, or None where there are no times."""
    steps = [np.diff(s.times_s) for s in recording.series if s.times_s is not None]
    joined = np.concatenate(steps) if steps else np.empty(0)
    return float(f"{1 / np.median(joined):.6g}") if len(joined) else None
