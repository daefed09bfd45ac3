"""Run the models on every accelerator that is here, and break one in every way.

    python -m tools.accel [tolerances] [parity] [faults] [--data ../shared/data] [--inputs 200]

prints what docs/accelerators.md says was seen. What stands in for the hardware: stand_ins.py.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands import tune_table
from tools.accel import faults, kernels, parity, published, shipped, stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.accel.subjects import Subject

CPU_APART = "cpu apart"
PARTS = ("tolerances", "parity", "faults")
MOST_S = 240.0  # runs of one model on one accelerator: a software GPU may take seconds for each


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
        subjects = list(_subjects(options)) if {"tolerances", "parity"} & set(parts) else []
        if "tolerances" in parts:
            _tolerances(subjects)
        if "parity" in parts:
            _parity(subjects, library, options.most_s)
        return faults.table(folder, library) if "faults" in parts else 0


def _subjects(options: argparse.Namespace) -> Iterator[Subject]:
    """Yield every model that is wanted and has inputs here."""
    own = (shipped.shipped(name, options.data, options.inputs) for name in shipped.NAMES)
    others = published.published(options.data, options.inputs) if options.data.is_dir() else ()
    for subject in itertools.chain(filter(None, own), others):
        if not options.models or any(part in subject.name for part in options.models):
            yield subject


def _tolerances(subjects: list[Subject]) -> None:
    """Print how far apart the two kernels of the CPU are, and what is allowed."""
    print("XNNPACK against the runtime's own kernels, both on the CPU")
    print(
        f"{'model':<24} {'output':<18} {'inputs':>6} {'furthest':>9} {'steps':>6} {'allowed':>8} "
        f"{'flips':>5}  on"
    )
    for subject in subjects:
        one = kernels.by_xnnpack(subject.model, subject.inputs)
        other = kernels.by_own_kernels(subject.model, subject.inputs)
        steps = kernels.steps(subject.model)
        flips = subject.flips(other, one)
        for name, most in kernels.furthest(one, other).items():
            if (allowed := subject.allowed(name)) is None:
                continue
            flipped = "" if flips is None else str(flips)
            step = f"{most / steps[name]:.0f}" if name in steps else ""
            print(
                f"{subject.name[:24]:<24} {name[:18]:<18} {len(one):>6} {most:>9.4g} {step:>6} "
                f"{allowed:>8.4g} {flipped:>5}  {subject.what}",
                flush=True,
            )


def _parity(subjects: list[Subject], library: Path, most_s: float) -> None:
    """Run every model by one config, of which each row changes one word: its accelerator."""
    print("[accelerators]")
    for word in stand_ins.defined(library):
        table = stand_ins.by_word(word, library).model_dump(exclude_defaults=True)
        print(f"{word} = {tune_table.toml(table, {})}")
    accelerators = {CPU_APART: stand_ins.by_word("cpu", library)}
    for word in ("delegate", "gpu", "npu"):
        if reason := stand_ins.missing(word):
            print(f"NOT RUN on {word}: {reason}")
        else:
            accelerators[word] = stand_ins.by_word(word, library)
    print(f"{CPU_APART}: the CPU, in a process of its own: what that process costs by itself")
    print(parity.HEAD)
    for subject in subjects:
        for row in parity.compare(subject, accelerators, most_s):
            print(row.line(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
