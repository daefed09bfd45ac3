"""A long run at full load: does any process of the agent grow? `python -m tools.soak --minutes 30`.

Two cameras of large pictures as fast as the cores allow, one motor, a real broker and a consumer
that counts; with `--faults`, every fault of soak_faults.py in turn. Printed for each process and
written to build/soak.json: memory, descriptors and threads, and how memory grows: the median of
each few minutes, by least squares over all but the first fifth, with its standard error. Each fault
has come by then; and in each few minutes every process has given back what it does not need, which
it does once a minute. The median, and not the least: a process that got no core for a while has
less than it needs. A worker that a fault kills begins anew each time: its memory is shown alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tests.agents import MODELS
from tests.conftest import free_port
from tests.faults.plant import Broker, Consumer, Gateway, camera, until
from tools.soak_faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterator

# Often enough that pictures which are under way at one sample are no growth of a median.
EVERY_S = 1.0
MOST_MB_PER_H = 1.0
# Allocators settle for a while: a slope over less says nothing.
JUDGED_FROM_MINUTES = 10
# Two of a process's tidyings at least, and a fault's trouble at most in a part of it.
WINDOW_S = 180.0
# Children that check a config or fetch a model live for seconds.
FEWEST_SAMPLES = 50
MISSING_NAMED = 10
WRITTEN_TO = Path("build/soak.json")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process takes at one time (s, monotonic)."""

    at_s: float
    pid: int
    rss_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Growth:
    """A row of the table."""

    process: str
    rss_mb: tuple[float, float, float]
    """After a fifth of the time, after half of it, at the end."""
    mb_per_h: float | None
    """Of the median of each window after the first fifth; None: the process began anew in them."""
    error_mb_per_h: float
    """How far that may be off (standard error), by how the medians lie about the line."""
    more_descriptors: int
    more_threads: int
    holds: bool


def main() -> int:
    """Run, print, write; 1 where something grew, or a verdict was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--faults", action="store_true", help="inject faults meanwhile")
    arguments = parser.parse_args()
    minutes: float = arguments.minutes
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends as well
    with tempfile.TemporaryDirectory() as name:
        samples, came_s, trouble = run(Path(name), minutes, faults=arguments.faults)
    verdicts, lost, injected = len(came_s), max(came_s) - len(came_s), dict(trouble.injected)
    lasting = {name: of for name, of in samples.items() if len(of) >= FEWEST_SAMPLES}
    rows = [growth(process, of_one, minutes) for process, of_one in sorted(lasting.items())]
    print("| process | MB at 1/5 | at 1/2 | at end | MB an hour | descriptors | threads | holds |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.process} | {' | '.join(f'{mb:.1f}' for mb in row.rss_mb)}"
            f" | {_slope(row)}"
            f" | {row.more_descriptors:+d} | {row.more_threads:+d}"
            f" | {'yes' if row.holds else 'NO'} |"
        )
    print(f"{minutes:g} minutes, {verdicts} verdicts, {lost} lost")
    for seq in missing(came_s)[:MISSING_NAMED]:
        print(f"lost: {seq}, {where(seq, came_s, trouble)}")
    if injected:
        print("faults:", ", ".join(f"{name} {times}" for name, times in injected.items()))
    if minutes < JUDGED_FROM_MINUTES:
        print(f"memory is judged from {JUDGED_FROM_MINUTES} minutes on")
    WRITTEN_TO.parent.mkdir(exist_ok=True)
    found: dict[str, Any] = {"minutes": minutes, "verdicts": verdicts, "lost": lost}
    found |= {"injected": injected}
    found |= {"rows": [asdict(row) for row in rows]}
    found |= {"rss_mb": {name: [one.rss_mb for one in of] for name, of in samples.items()}}
    WRITTEN_TO.write_text(json.dumps(found, indent=1))
    return int(bool(lost) or not all(row.holds for row in rows))


def _slope(row: Growth) -> str:
    if row.mb_per_h is None:
        return "begins anew"
    return f"{row.mb_per_h:+.2f} ± {row.error_mb_per_h:.2f}"


def run(
    folder: Path, minutes: float, *, faults: bool
) -> tuple[dict[str, list[Sample]], dict[int, float], Faults]:
    """Return samples by process, when the verdict of each number came (s), and the faults."""
    samples: dict[str, list[Sample]] = {}
    broker = Broker(folder)
    consumer = Consumer(broker.consumer_port)
    http_port = free_port()
    trouble = Faults(broker, consumer, http_port)
    wanted = pipelines(folder) | (trouble.pipelines() if faults else {})
    gateway = Gateway(folder, broker.port, wanted, http={"port": http_port})
    gateway.start()
    try:
        until(lambda: {a.pipeline for a in consumer.arrivals} >= {"left", "right"}, 60)
        if faults:
            trouble.start(gateway)
        came_s = watch(gateway, consumer, samples, time.monotonic() + minutes * 60)
        trouble.stop()
        gateway.stop()
        until(lambda: not consumer.arrivals or settled(consumer), 30)
        came_s |= {a.seq: a.at_s for a in consumer.arrivals}
        return samples, came_s, trouble
    finally:
        trouble.stop()
        gateway.end()
        consumer.close()
        broker.end()


def watch(
    gateway: Gateway, consumer: Consumer, samples: dict[str, list[Sample]], end_s: float
) -> dict[int, float]:
    """Measure until `end_s`; return when the verdict of each number came."""
    came_s: dict[int, float] = {}
    while time.monotonic() < end_s:
        time.sleep(EVERY_S)
        for process, pid in processes(gateway.pid):
            with contextlib.suppress(OSError, KeyError):  # it ended meanwhile
                samples.setdefault(process, []).append(sample(pid))
        came_s |= {a.seq: a.at_s for a in consumer.take()}
    return came_s


def missing(came_s: dict[int, float]) -> list[int]:
    """Return the numbers up to the highest that did not come."""
    return sorted(set(range(1, max(came_s) + 1)) - came_s.keys())


def where(seq: int, came_s: dict[int, float], trouble: Faults) -> str:
    """Say beside which faults the number before this one came."""
    before = max((number for number in came_s if number < seq), default=seq)
    at_s = came_s.get(before, 0.0)
    last = [(name, began_s) for began_s, name in trouble.began if began_s <= at_s][-2:]
    return f"{before} came " + ", ".join(
        f"{at_s - began_s:.1f} s after {name}" for name, began_s in last
    )


def settled(consumer: Consumer) -> bool:
    """Say whether nothing came for a second."""
    return time.monotonic() - consumer.arrivals[-1].at_s > 1


def pipelines(folder: Path) -> dict[str, Any]:
    """Return what keeps all cores busy; fails are kept as evidence, as ever."""
    large = folder / "large"
    large.mkdir()
    rng = np.random.default_rng(5)
    for index in range(8):
        pixels = cv2.GaussianBlur(rng.integers(0, 256, (1080, 1920, 3), np.uint8), (9, 9), 0)
        cv2.imwrite(str(large / f"{index}.jpg"), pixels)
    cameras = {name: camera(large, 1000, evidence={"max_mb": 20.0}) for name in ("left", "right")}
    motor = {
        "family": "pdm",
        "model": str(MODELS / "motor-bearing"),
        "source": {"kind": "simulator", "scene": "motor"},
        "evidence": {"max_mb": 5.0},  # full within minutes: until then its list of files grows
    }
    return cameras | {"motor": motor}


def processes(agent: int) -> Iterator[tuple[str, int]]:
    """Yield name and id of the agent and of all that it started: one session (setsid(2))."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            _, _, rest = (entry / "stat").read_text().rpartition(")")
            name = (entry / "comm").read_text().strip()
        except OSError:
            continue  # gone since
        if int(rest.split()[3]) == agent:
            pid = int(entry.name)
            yield "agent" if pid == agent else name if "ea:" in name else f"{name} {pid}", pid


def sample(pid: int) -> Sample:
    """Measure a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return Sample(
        at_s=time.monotonic(),
        pid=pid,
        rss_mb=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"]),
    )


def medians_of_windows(samples: list[Sample]) -> list[float]:
    """Return the median of memory (MB) in each whole window."""
    windows: dict[int, list[float]] = {}
    for one in samples:
        windows.setdefault(int((one.at_s - samples[0].at_s) / WINDOW_S), []).append(one.rss_mb)
    whole = int((samples[-1].at_s - samples[0].at_s + EVERY_S) / WINDOW_S)
    return [statistics.median(windows[number]) for number in range(whole) if number in windows]


def line_through(values: list[float]) -> tuple[float, float]:
    """Return slope, of one value to the next, and its standard error; 0 where too few say any."""
    count = len(values)
    if count < 3:  # two points lie on a line
        return 0.0, 0.0
    slope, start = statistics.linear_regression(range(count), values)
    off = sum((value - start - slope * at) ** 2 for at, value in enumerate(values))
    return slope, math.sqrt(off / (count - 2) * 12 / (count**3 - count))


def growth(process: str, samples: list[Sample], minutes: float) -> Growth:
    """Judge one process."""
    late = samples[len(samples) // 5 :]
    rss_mb = (late[0].rss_mb, samples[len(samples) // 2].rss_mb, late[-1].rss_mb)
    if len({one.pid for one in late}) > 1:
        return Growth(process, rss_mb, None, 0.0, 0, 0, holds=True)
    slope, error = (each * 3600 / WINDOW_S for each in line_through(medians_of_windows(late)))
    half = len(late) // 2
    # In the middle: a file that is open at one sample is no leak, nor is a child that is away.
    early, later = late[: half or 1], late[half:]
    more_descriptors, more_threads = (
        round(statistics.median(map(count, later)) - statistics.median(map(count, early)))
        for count in (attrgetter("descriptors"), attrgetter("threads"))
    )
    flat = slope < MOST_MB_PER_H or minutes < JUDGED_FROM_MINUTES
    holds = flat and more_descriptors <= 0 and more_threads <= 0
    return Growth(process, rss_mb, slope, error, more_descriptors, more_threads, holds)


if __name__ == "__main__":
    sys.exit(main())
