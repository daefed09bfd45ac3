"""Train every model in models/ anew, verify each, and print the tables of docs/models.md.

    python -m tools.shipped --data ../shared/data             what `make models` does
    python -m tools.shipped --only turbofan-rul               one of them
    python -m tools.shipped --tables                          the tables of those that stand
    python -m tools.shipped --tables --into docs/models.md    the same, put into the page

What memory and time a model needed here is entered into its manifest; those two numbers are all
that differs from one build to the next on the same kind of CPU (--no-measure leaves them out).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands.verification import verify
from edge_agent.errors import EdgeAgentError
from edge_agent.modelstore.manifest import load_bundle
from tools.bundling.bundle import enter_resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Each with the module that makes it and whether it reads the recordings, in the order of need:
# the forecast of wear learns from what the pitting model sees.
SHIPPED = {
    "conveyor-parts": ("tools.train_conveyor", False),
    "motor-bearing": ("tools.train_motor", False),
    "ballscrew-pitting": ("tools.train_ballscrew", True),
    "ballscrew-wear": ("tools.train_ballscrew_wear", True),
    "ballscrew-good": ("tools.train_ballscrew_good", True),
    "turbofan-rul": ("tools.train_turbofan", True),
}
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, verify and print; return 1 where a model was not made or is not verified."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.shipped",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--only", nargs="+", choices=SHIPPED, default=list(SHIPPED))
    parser.add_argument("--tables", action="store_true", help="print, and train nothing")
    parser.add_argument("--into", type=Path, help="put the tables into this page")
    parser.add_argument("--no-measure", action="store_true", help="enter no memory and time")
    options = parser.parse_args(arguments)
    if not options.tables and not all(_built(model_id, options) for model_id in options.only):
        return 1
    text = tables(options.out, [name for name in SHIPPED if (options.out / name).is_dir()])
    print(f"\n{text}")
    if options.into is not None:
        put_into(options.into, text)
    return 0


def tables(models: Path, model_ids: Iterable[str]) -> str:
    """Return Markdown: an overview, and for each model what its card says was measured."""
    rows = [
        "| model | task | precision | size | zipped | memory | p95 | licence |",
        "|---" * 8 + "|",
    ]
    sections = []
    for model_id in model_ids:
        rows.append(_row(models / model_id))
        card = (models / model_id / "card.md").read_text(encoding="utf-8")
        sections.append(f"## {model_id}\n\n{_measured(card, model_id)}")
    return "\n".join(rows) + "\n\n" + "\n".join(sections)


def put_into(page: Path, text: str) -> None:
    """Replace what stands between the two marks of the page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN.strip()} or {END.strip()}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _built(model_id: str, options: argparse.Namespace) -> bool:
    module, reads_data = SHIPPED[model_id]
    command = [sys.executable, "-m", module, "--out", str(options.out)]
    command += ["--data", str(options.data)] if reads_data else []
    print(f"=== {model_id}: {' '.join(command[1:])}", flush=True)
    began = time.monotonic()
    if subprocess.run(command, check=False).returncode != 0:
        print(f"=== {model_id}: NOT MADE (see above)", flush=True)
        return False
    folder = options.out / model_id
    found = verify(folder)
    print(f"=== {model_id}: {time.monotonic() - began:.0f} s, {found.sentence()}", flush=True)
    if found.passed and not options.no_measure:
        enter_resources(folder, {"ram_mb": found.ram_mb, "p95_ms": found.p95_ms})
    return found.passed


def _row(folder: Path) -> str:
    bundle = load_bundle(folder)
    manifest, variant = bundle.manifest, bundle.variant
    zipped = len(zlib.compress(bundle.model, 9))
    needs = variant.resources
    cells = (
        f"[{manifest.model_id}](../models/{folder.name}/card.md)",
        manifest.task.kind,
        variant.precision,
        f"{len(bundle.model) / 1000:.0f} kB",
        f"{zipped / 1000:.0f} kB",
        "" if needs is None else f"{needs.ram_mb:g} MB",
        "" if needs is None else f"{needs.p95_ms:g} ms",
        manifest.license.spdx,
    )
    return f"| {' | '.join(cells)} |"


def _measured(card: str, model_id: str) -> str:
    """Return the card's sections that hold tables of figures, without their headings."""
    parts = dict(part.split("\n", 1) for part in card.split("\n## ")[1:])
    wanted = [
        text.strip() for title, text in parts.items() if title.startswith(("Measured", "What"))
    ]
    if not wanted:
        raise EdgeAgentError(f"models/{model_id}/card.md has no section Measured")
    return "\n\n".join(wanted) + "\n"


if __name__ == "__main__":
    sys.exit(main())
