"""What to train on, to stop by and to test on: whole machines, or stretches of a single one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.recordings.windows import in_stretches
from tools.training.data_checks import Finding, print_findings
from tools.training.splits import described, grouped_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.recordings.series import Recording, Series

# A single recording is cut into so many stretches in time.
STRETCHES = 10


@dataclass(frozen=True, slots=True)
class Parts:
    """Series to train on, to stop and choose by, and to test on; `text`: how they were parted."""

    train: list[Series]
    validation: list[Series]
    test: list[Series]
    text: str


def parted(
    recording: Recording, seed: int, *, by_label: bool = False, whole: bool = False
) -> Parts:
    """Part by group (unit, experiment, file), print the split, and return it.

    Fewer than three groups are cut into stretches in time, unless `whole` forbids it: then
    DataUnfit is raised. `by_label`: classes are spread over the parts where groups allow it.
    """
    series: Sequence[Series] = recording.series
    text = "by group: no group is in two parts"
    if len(set(recording.groups)) < 3 and not whole:
        series = in_stretches(recording, STRETCHES)
        text = f"by time: {STRETCHES} stretches of each of {len(set(recording.groups))} recordings"
        print_findings([Finding("warning", f"parted {text}; another machine was not tested")])
    groups = [each.group for each in series]
    labels = [_classes(each) for each in series] if by_label else None
    split = grouped_split(groups, seed=seed, labels=labels)
    print_findings(split.findings)
    # How many machines hold the same classes says little of how many rows each class has.
    mixed = any(each.target is not None and len(set(each.target.tolist())) > 1 for each in series)
    for line in described(split, groups, None if mixed else labels):
        print(f"  {line}", flush=True)
    chosen = [[series[index] for index in part.tolist()] for _, part in split.parts()]
    return Parts(chosen[0], chosen[1], chosen[2], text)


def _classes(series: Series) -> str:
    """Return the labels of its rows: machines that hold the same ones are spread over the parts."""
    if series.target is None:
        raise ValueError(f"{series.file} was read without labels")
    return " and ".join(sorted({str(label) for label in series.target.tolist()}))
