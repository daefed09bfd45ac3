"""Load a bundle as the agent would and run its golden samples, in a child with capped memory.

    python -m tools.verify BUNDLE [BUNDLE ...] [--measure]

The same as `edge-agent verify`. With --measure what it needed here is entered into the manifest
(`resources`): do that on the kind of machine that will run it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands.verification import MEMORY_MB, verify
from tools.bundling.bundle import enter_resources

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a sentence for each bundle; return 1 if one of them may not run."""
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="+", help="the folder of a bundle")
    parser.add_argument("--memory-mb", type=int, default=MEMORY_MB, help="what it may have")
    parser.add_argument(
        "--measure", action="store_true", help="enter memory and p95 into its manifest"
    )
    options = parser.parse_args(arguments)
    failed = 0
    for folder in options.bundle:
        found = verify(folder, memory_mb=options.memory_mb)
        print(f"{folder}: {found.sentence()}", flush=True)
        failed += not found.passed
        if options.measure and found.passed:
            enter_resources(folder, {"ram_mb": found.ram_mb, "p95_ms": found.p95_ms})
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
