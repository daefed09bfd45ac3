"""Make five Keras models and take each the whole way: train, compress, bundle, verify, agent.

    python -m tools.keras_zoo [NAME ...] --data ../shared/data --out build/keras-zoo

Needs the environment of tools/requirements-keras.txt. The models are examples, not to be shipped:
MNIST and CIFAR-10 are at hand as test sets only, which are parted into training and test here, so
no figure compares with published ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import ModelError
from tools.compress.failures import CompressFailed
from tools.compress.formats.keras import check_tensorflow
from tools.compress.quantise import QuantisationFailed
from tools.keras_zoo.recipes import RECIPES
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what came of each model; return 1 with a sentence where one fails."""
    known = {recipe.name: recipe for recipe in RECIPES}
    parser = argparse.ArgumentParser(
        prog="python -m tools.keras_zoo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", default=list(known), help=", ".join(known))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/keras-zoo"))
    parser.add_argument("--items", type=int, default=0, help="take so many only, for a quick look")
    parser.add_argument("--epochs", type=int, default=0, help="instead of the model's own")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.name if name not in known]
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(known)}")
    failed = []
    try:
        check_tensorflow("making Keras models")
        from tools.keras_zoo.way import HEADINGS, whole_way  # noqa: PLC0415  needs TensorFlow

        rows = []
        for name in options.name:
            row = whole_way(known[name], options)
            rows.append(row.cells())
            failed += [] if row.passed else [name]
    except (CompressFailed, DataUnfit, QuantisationFailed, ModelError, FileExistsError) as failure:
        print(f"keras_zoo: {failure}", file=sys.stderr)
        return 1
    for cells in (HEADINGS, ["---"] * len(HEADINGS), *rows):
        print("| " + " | ".join(cells) + " |")
    if failed:
        print(f"keras_zoo: not verified: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
