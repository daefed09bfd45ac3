"""Run the models on every accelerator that is here, and break one in every way.

    python -m tools.accel [parity] [faults] [--data ../shared/data] [--inputs 200]

prints what docs/accelerators.md says was seen. What stands in for the hardware: stand_ins.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.accel import faults, inputs, parity, stand_ins

PARTS = ("parity", "faults")
MOST_S = 60.0  # runs of one model on one accelerator: a software GPU may take seconds for each


def main() -> int:
    """Print the tables; return 1 where inspection did not go on within 2 s or did not return."""
    parser = argparse.ArgumentParser(prog="python -m tools.accel", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--most-s", type=float, default=MOST_S, help="runs of one row")
    parser.add_argument("--models", nargs="*", default=[], help="only those with such a name")
    options = parser.parse_args()
    parts = options.parts or PARTS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= stand_ins.gpu_environment(folder)
        library = stand_ins.build_delegate(folder)
        accelerators: dict[str, Any] = {"cpu apart": "cpu", "delegate": stand_ins.delegate(library)}
        for kind, accelerator in (("gpu", "gpu"), ("npu", stand_ins.NPU)):
            if reason := stand_ins.missing(kind):
                print(f"NOT RUN on {kind}: {reason}")
            else:
                accelerators[kind] = accelerator
        if "parity" in parts:
            _parity(options, accelerators)
        return faults.table(folder, library) if "faults" in parts else 0


def _parity(options: argparse.Namespace, accelerators: dict[str, Any]) -> None:
    print("cpu apart: the CPU, in a process of its own: what that process costs by itself")
    print(
        f"{'model':<24} {'on':<9} {'share':>6} {'inputs':>6} {'furthest':>9} {'within':>7} "
        f"{'right':>6} {'p50 ms':>8}  check at load"
    )
    for subject in inputs.subjects(options.data, options.inputs):
        if not subject.inputs or (
            options.models and not any(part in subject.name for part in options.models)
        ):
            continue
        for row in parity.compare(subject, accelerators, options.most_s):
            share = "" if row.share is None else f"{row.share:.0%}"
            right = "" if row.right < 0 else str(row.right)
            print(
                f"{subject.name[:24]:<24} {row.accelerator:<9} {share:>6} {row.inputs:>6} "
                f"{row.most:>9.4g} {row.within:>7} {right:>6} {row.p50_ms:>8.2f}  {row.proof}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
