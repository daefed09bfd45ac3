"""A fleet on this machine: python -m tools.fleet_sim [--gateways 100 300 1000] (make fleet-sim).

Every gateway runs the agent's own code for trust, fetching, states and reports, with a stub for
inference; one nginx, one mosquitto, one controller. A model that errs on 5 % of them must be halted
in its second ring (1 % -> 25 % -> 100 %), and a good one go through. All on loopback.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from itertools import pairwise
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
    began_s = time.monotonic()
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
    print(f"  as it should be, {time.monotonic() - began_s:.0f} s in all", flush=True)
    return rows


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
    """Print by how much more the same part took in the next larger fleet."""
    sizes = sorted({row.gateways for row in rows})
    by_part: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_part.setdefault(row.part, {})[row.gateways] = row
    for part, of in by_part.items():
        for less, more in pairwise(sizes):
            before, after = of[less], of[more]
            print(
                f"{part}: {less} -> {more} gateways (x {more / less:.1f}): requests "
                f"x {after.traffic.requests / before.traffic.requests:.1f}, bytes "
                f"x {after.traffic.sent_bytes / before.traffic.sent_bytes:.1f}, "
                f"time x {after.took_s / before.took_s:.1f}"
            )


if __name__ == "__main__":
    sys.exit(main())
