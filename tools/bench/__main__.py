"""Run the bench: `python -m tools.bench [--quick] [PART ...]`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
from pathlib import Path

from tools.bench import figures
from tools.bench.material import ROOT, gather
from tools.bench.parts import FULL, QUICK, Bench

PARTS = (
    "throughput",
    "stages",
    "two_workers",
    "latency",
    "overload",
    "sensors",
    "start",
    "sixteen",
)
ROUNDS = 3


def main() -> int:
    """Measure, print the table, write the JSON."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends as well
    folder = options.build / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    material = gather(folder / "models", options.data)
    bench = Bench(folder, material, QUICK if options.quick else FULL)
    bench.start()  # a first time, so that everything is compiled and in the page cache
    bench.samples = figures.Samples()
    for number in range(1 if options.quick else ROUNDS):
        for part in options.part or PARTS:
            began_s = time.monotonic()
            getattr(bench, part)()
            print(f"round {number + 1}: {part}: {time.monotonic() - began_s:.0f} s", flush=True)
    values = bench.values()
    figures.write_json(options.build / "bench.json", values)
    print(f"\n{material.words}\n{_noise(bench)}\n\n{figures.table(values)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.bench", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    return parser


def _noise(bench: Bench) -> str:
    load = os.getloadavg()[1]
    if bench.samples.count("bare_mobilenet_fps") < ROUNDS:
        return (
            f"{os.cpu_count()} cores, load average {load:.1f} over 5 minutes; less than {ROUNDS}"
            " rounds of the bare loop: nothing tells how noisy the machine was."
        )
    spread = bench.samples.spread("bare_mobilenet_fps")
    return (
        f"{os.cpu_count()} cores, load average {load:.1f} over 5 minutes; the bare loop's rounds "
        f"lie {spread:.0%} apart. Trust the ratios: both sides of each ran in the same round."
    )


if __name__ == "__main__":
    raise SystemExit(main())
