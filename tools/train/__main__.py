"""Train a model from your own data: `python -m tools.train RECIPE DATA OUT`.

A recipe is a module in this folder with SUMMARY, add_arguments(parser) and run(options).
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import tools.train
from edge_agent.errors import EdgeAgentError
from tools.bundling.bundle import enter_doubts
from tools.bundling.fresh_folder import check_replaceable
from tools.compress.quantise import QuantisationFailed
from tools.training.data_checks import DataUnfit, Finding, print_findings

if TYPE_CHECKING:
    from collections.abc import Sequence


class Recipe(Protocol):
    """What a module in this folder offers."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the recipe's own options."""

    def run(self, options: argparse.Namespace) -> Sequence[Finding] | None:
        """Train from `options.data` and write the bundle `options.out`, or nothing at all.

        Returns why a bundle that was written may not be fit for use.
        """


def main(arguments: list[str] | None = None) -> int:
    """Run one recipe; return 1 where the data or the model made from it will not do."""
    words = sys.argv[1:] if arguments is None else arguments
    began = time.monotonic()
    try:
        options = parser(recipes(words[:1])).parse_args(words)
    except ModuleNotFoundError as error:
        return _not_installed(error)
    if (options.out / "manifest.json").is_file():
        print(f"{options.out} is a bundle already: this one replaces it once it is done")
    try:
        check_replaceable(options.out)
        doubts = options.run(options)
    except ModuleNotFoundError as error:
        return _not_installed(error)
    except DataUnfit as unfit:
        print_findings(unfit.findings)
    except (EdgeAgentError, QuantisationFailed, OSError) as error:
        other = isinstance(error, QuantisationFailed) and "precision" in options
        hint = ". --precision float32 does without int8" if other else ""
        print(f"error: {error}{hint}", file=sys.stderr)
    else:
        taken = f"after {time.monotonic() - began:.0f} s"
        print_findings(doubts or ())
        if doubts:
            enter_doubts(options.out, [doubt.text for doubt in doubts])
        note = f"was written {taken}; see the warning above" if doubts else f"is ready {taken}"
        print(f"{options.out} {note}")
        return 0
    print(f"nothing was written to {options.out}", file=sys.stderr)
    return 1


def recipes(wanted: Sequence[str] = ()) -> dict[str, Recipe]:
    """Return the recipes by name; only those `wanted` if there are such, which is faster."""
    names = [module.name for module in pkgutil.iter_modules(tools.train.__path__)]
    names = sorted(name for name in names if not name.startswith("_"))
    chosen = [name for name in names if name in {word.replace("-", "_") for word in wanted}]
    return {
        name: cast("Recipe", importlib.import_module(f"tools.train.{name}"))
        for name in chosen or names
    }


def parser(found: dict[str, Recipe]) -> argparse.ArgumentParser:
    """Return the parser with a sub-command for each recipe."""
    whole = argparse.ArgumentParser(prog="python -m tools.train", description=__doc__)
    commands = whole.add_subparsers(metavar="RECIPE", required=True)
    for name, recipe in found.items():
        one = commands.add_parser(
            name.replace("_", "-"),
            aliases=[name] if "_" in name else [],
            help=recipe.SUMMARY,
            description=recipe.SUMMARY,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        one.add_argument("data", type=Path, metavar="DATA", help="the folder, or a CSV file")
        one.add_argument("out", type=Path, metavar="OUT", help="the bundle's folder")
        one.add_argument("--seed", type=int, default=0, help="the same seed, the same bundle")
        recipe.add_arguments(one)
        one.set_defaults(run=recipe.run)
    return whole


def _not_installed(error: ModuleNotFoundError) -> int:
    print(
        f"error: {error.name} is missing: training has an environment of its own "
        "(`make training-environment`, then .venv-train/bin/python)",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
