"""The text that Prometheus reads: families of samples, written as its format 0.0.4 says.

https://prometheus.io/docs/instrumenting/exposition_formats/. Our own thirty lines: the client
library holds its own counters, takes 5 MB of memory, and would only be asked for these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from edge_agent.metrics import BOUNDS_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Every fourth bound of our histograms: about twice the one before, 17 series for each stage.
SHOWN = range(3, len(BOUNDS_MS), 4)

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, what it is, and what it says of whom."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


@dataclass
class Samples:
    """The samples of one family, each with a value for every label of the family."""

    family: Family
    lines: list[str] = field(default_factory=list)

    def add(self, value: float, *labels: str) -> None:
        """Add one sample."""
        self.lines.append(_line(self.family.name, self.family.labels, labels, value))

    def add_histogram(self, counts: Sequence[int], sum_ms: float, *labels: str) -> None:
        """Add the buckets of a metrics.Histogram; counts are of its own buckets, in order."""
        name, names = self.family.name, (*self.family.labels, "le")
        up_to = list(accumulate(counts))
        for bound in SHOWN:
            le = f"{BOUNDS_MS[bound] / 1000:.6g}"
            self.lines.append(_line(f"{name}_bucket", names, (*labels, le), up_to[bound]))
        self.lines.append(_line(f"{name}_bucket", names, (*labels, "+Inf"), up_to[-1]))
        self.lines.append(_line(f"{name}_sum", self.family.labels, labels, sum_ms / 1000))
        self.lines.append(_line(f"{name}_count", self.family.labels, labels, up_to[-1]))


def text(families: Iterable[Samples]) -> bytes:
    """Return what is served; families without a sample are left out."""
    lines: list[str] = []
    for samples in families:
        if samples.lines:
            family = samples.family
            lines.append(f"# HELP {family.name} {family.help}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines += samples.lines
    return "".join(f"{line}\n" for line in lines).encode()


def _line(name: str, names: Sequence[str], values: Sequence[str], value: float) -> str:
    labels = ",".join(f'{key}="{_escaped(each)}"' for key, each in zip(names, values, strict=True))
    return f"{name}{{{labels}}} {value:.12g}" if labels else f"{name} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
