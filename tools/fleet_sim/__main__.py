"""A fleet on this machine: python -m tools.fleet_sim [--gateways 100 300 1000] (make fleet-sim).

Every gateway runs the agent's own code for trust, fetching, states and reports, with a stub for
inference; one nginx, one mosquitto, one controller. A model that errs on 5 % of them must be halted
in its second ring (1 % -> 25 % -> 100 %), and a good one go through. All on loopback.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.fleet_sim.story import NotAsExpected, Settings, story

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.fleet_sim.story import Row

MEMORY = Path("/dev/shm")  # noqa: S108  a folder of its own in it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run fleets of these sizes, print what they cost; 1 where one did not do what it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--model-kb", type=int, default=200)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="default: in memory, as no disk is measured")
    options = parser.parse_args(arguments)
    if shutil.which("mosquitto") is None:
        print("NOT RUN: there is no mosquitto here (apt-get install mosquitto)")
        return 1
    # The web server and the broker must not outlive it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = options.folder or (MEMORY if MEMORY.is_dir() else None)
    rows: list[Row] = []
    for gateways in options.gateways:
        settings = Settings(
            gateways, max(1, gateways // 300), options.model_kb * 1000, options.processes
        )
        try:
            rows += _run(settings, folder)
        except NotAsExpected as error:
            print(f"NOT AS IT SHOULD: {error}", file=sys.stderr)
            return 1
    _print_rows(rows)
    _print_growth(rows)
    return 0


def _run(settings: Settings, folder: Path | None) -> list[Row]:
    began_s, before_s = time.monotonic(), _processor_s()
    with (
        tempfile.TemporaryDirectory(prefix="fleet-sim-", dir=folder) as name,
        story(settings, Path(name)) as told,
    ):
        print(
            f"{settings.gateways} gateways in {settings.processes} processes, {told.web.name}; "
            f"{settings.failures} failures halt a rollout",
            flush=True,
        )
        if told.web.name != "nginx":
            print("  there is no nginx here (apt-get install nginx-light)")
        rows = told.tell()
    largest_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"  as it should be: {time.monotonic() - began_s:.0f} s in all, "
        f"{_processor_s() - before_s:.0f} s of processor, largest process {largest_mb:.0f} MB",
        flush=True,
    )
    return rows


def _processor_s() -> float:
    """Return what this process and those that ended have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _print_rows(rows: list[Row]) -> None:
    print("\n| gateways | part | polls of each | requests | each | MB | KB each | s | requests/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        requests, sent = row.traffic.requests, row.traffic.sent_bytes
        print(
            f"| {row.gateways} | {row.part} | {row.rounds} | {requests} "
            f"| {requests / row.gateways:.2f} | {sent / 1e6:.2f} | {sent / 1e3 / row.gateways:.2f} "
            f"| {row.took_s:.1f} | {requests / row.took_s:.0f} |"
        )


def _print_growth(rows: list[Row]) -> None:
    """Print by how much more each part took in the largest fleet than in the smallest."""
    sizes = sorted({row.gateways for row in rows})
    if len(sizes) < 2:
        return
    less, more = sizes[0], sizes[-1]
    print(f"\n{less} -> {more} gateways (x {more / less:.1f}):")
    for before, after in zip(_of(rows, less), _of(rows, more), strict=True):
        print(
            f"  {before.part}: requests "
            f"x {after.traffic.requests / before.traffic.requests:.1f}, bytes "
            f"x {after.traffic.sent_bytes / before.traffic.sent_bytes:.1f}, "
            f"time x {after.took_s / before.took_s:.1f}"
        )


def _of(rows: list[Row], gateways: int) -> list[Row]:
    return [row for row in rows if row.gateways == gateways]


if __name__ == "__main__":
    sys.exit(main())
