"""What the bench says: each figure's name, unit and goal, and whether the goal holds."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `least`, `most`: the goal, where there is one."""

    name: str
    unit: str
    words: str
    least: float | None = None
    most: float | None = None

    @property
    def goal(self) -> str | None:
        """The goal in words."""
        if self.least is not None:
            return f">= {self.least:g}"
        return f"<= {self.most:g}" if self.most is not None else None

    def holds(self, value: float) -> bool | None:
        """Say whether `value` reaches the goal; None where there is none."""
        if self.least is not None:
            return value >= self.least
        return value <= self.most if self.most is not None else None


# Processes and their threads, as the system shows them; the agent's main thread has its name.
STAGES = (
    *("worker_camera", "worker_network", "worker_ea"),
    *("agent_python", "agent_network", "agent_publisher", "agent_outbox"),
)

FIGURES = (
    Figure("bare_mobilenet_fps", "1/s", "bare loop, MobileNet v2"),
    Figure("agent_mobilenet_fps", "1/s", "one worker over MQTT"),
    Figure("agent_mobilenet_share", "of bare", "(a) the same, of the bare loop", least=0.95),
    Figure("bare_vww_fps", "1/s", "bare loop, 96x96 model"),
    Figure("agent_vww_fps", "1/s", "one worker over MQTT"),
    Figure("agent_vww_share", "of bare", "(a) the same, of the bare loop", least=0.88),
    Figure("bare_two_ratio", "of one", "two bare loops at once, MobileNet v2"),
    Figure("two_workers_ratio", "of one", "(a) two workers, MobileNet v2", least=1.9),
    Figure("two_workers_cpu_ms", "ms", "CPU of agent and both workers for a picture"),
    Figure("two_workers_beside", "cores", "broker and load meanwhile, on the same cores"),
    Figure("two_workers_room", "of one", "what that leaves room for on these cores"),
    Figure("script_vww_fps", "1/s", "60-line script, 96x96 model"),
    Figure("script_vww_cpu_s_per_1000", "s", "its CPU for 1000 pictures"),
    Figure("agent_vww_cpu_s_per_1000", "s", "agent and worker, CPU for 1000 pictures"),
    Figure("cpu_vww_of_script", "of script", "(b) the same, of the script", most=0.55),
    Figure("cpu_vww_60fps_of_script", "of script", "the same at 60 pictures a second"),
    *(
        Figure(f"{who}_{fps}fps_{quantile}_ms", "ms", f"{words} at {fps} a second, {quantile}")
        for fps in (5, 20, 60)
        for who, words in (("compute", "bare compute"), ("latency", "publish to verdict"))
        for quantile in ("p50", "p99")
    ),
    Figure("over_20fps_p50_ms", "ms", "(c) p50 at 20 above bare compute p50", most=1.5),
    Figure("over_20fps_p99_ms", "ms", "(c) p99 at 20 above bare compute p50", most=5.0),
    Figure("bare_over_20fps_p99_ms", "ms", "the bare compute's own p99 above its p50"),
    Figure("disk_commit_p50_ms", "ms", "one fdatasync of this disk, alone"),
    Figure("memory_over_20fps_p50_ms", "ms", "p50 as above, outbox on tmpfs"),
    Figure("memory_over_20fps_p99_ms", "ms", "p99 as above, outbox on tmpfs"),
    Figure("overload_offered", "of limit", "pictures offered, of the agent's limit"),
    Figure("overload_p99_frames", "frames", "(d) p99 in frame times of the model", most=3.0),
    Figure("overload_unaccounted", "pictures", "(d) sent - answered - counted drops", most=0),
    Figure("sensor_json_hz", "1/s", "(e) JSON messages of ten channels", least=30_000),
    Figure("sensor_json_lost", "rows", "(e) of which lost", most=0),
    Figure("sensor_block_samples_hz", "1/s", "(e) samples in raw blocks of 100", least=100_000),
    Figure("sensor_block_lost", "rows", "(e) of which lost", most=0),
    Figure("agent_rss_mb", "MB", "(f) agent, RSS", most=60),
    Figure("worker_rss_mb", "MB", "(f) MobileNet worker, RSS", most=90),
    Figure("further_worker_pss_mb", "MB", "(f) a further worker, PSS", most=45),
    Figure("start_s", "s", "(g) start to first verdict", most=1.0),
    Figure("sixteen_cpu_ratio", "of one", "16 pipelines: CPU at the frame rate of 1", most=1.2),
    Figure("sixteen_worker_pss_mb", "MB", "16 pipelines: each worker, PSS"),
    *(
        Figure(f"stage_{thread}_{when}_ms", "ms", f"CPU for a picture, {words}, {thread}")
        for when, words in (("full", "full speed"), ("60fps", "60 a second"))
        for thread in STAGES
    ),
)


class Samples:
    """The values of each figure, one or more a round."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, name: str, *values: float) -> None:
        """Add values of this round."""
        self._values.setdefault(name, []).extend(values)

    def medians(self) -> dict[str, float]:
        """Return the median of each figure that was measured."""
        return {name: statistics.median(values) for name, values in self._values.items()}

    def count(self, name: str) -> int:
        """Return how many rounds measured a figure."""
        return len(self._values.get(name, []))

    def spread(self, name: str) -> float:
        """Return how far apart the rounds of a figure are, as a share of their median."""
        values = self._values.get(name, [0.0])
        return (max(values) - min(values)) / (statistics.median(values) or 1.0)


def quantile(values: list[float], share: float) -> float:
    """Return the value that `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def write_json(path: Path, values: Mapping[str, float]) -> None:
    """Write {name: {value, unit, goal, holds}}."""
    tree = {
        figure.name: {
            "value": values[figure.name],
            "unit": figure.unit,
            "goal": figure.goal,
            "holds": figure.holds(values[figure.name]),
        }
        for figure in FIGURES
        if figure.name in values
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=1) + "\n")


def table(values: Mapping[str, float]) -> str:
    """Return the lines of what was measured."""
    lines = []
    for figure in FIGURES:
        if figure.name not in values:
            continue
        value = values[figure.name]
        verdict = {None: "", True: "holds", False: "DOES NOT HOLD"}[figure.holds(value)]
        lines.append(
            f"{figure.words:50} {value:12,.4g} {figure.unit:10} {figure.goal or '':10} {verdict}"
        )
    return "\n".join(line.rstrip() for line in lines)
