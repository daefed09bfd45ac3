"""card.md: what a person must know of a model before it judges parts, beside what was measured.

Facts that the manifest holds are read from it, so that card and manifest cannot disagree; what
only who trained it knows (the data, the split, what it is not for) comes as text.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.modelstore.manifest import load_bundle, parse_manifest
from tools.bundling.bundle import build
from tools.scoring.report import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edge_agent.modelstore.manifest import Manifest
    from tools.bundling.bundle import Draft
    from tools.scoring.report import Figure


@dataclass(frozen=True, slots=True)
class Account:
    """What was done and what came of it.

    `about`: Markdown on data, split, network, use and limits. `figures`: what `command` printed.
    `variants`: rows of what pruning and quantisation cost and gained, the column names as keys.
    """

    about: str
    command: str
    figures: Sequence[Figure]
    variants: Sequence[Mapping[str, str]] = ()


def card_of_draft(draft: Draft, account: Account) -> str:
    """Return the card of a bundle that is still to be written."""
    manifest = parse_manifest(build(draft)[1])
    return _page(manifest, len(draft.model), len(zlib.compress(draft.model, 9)), account)


def write_card_of(folder: Path, account: Account) -> None:
    """Write card.md into a bundle that stands."""
    bundle = load_bundle(folder)
    zipped = len(zlib.compress(bundle.model, 9))
    text = _page(bundle.manifest, len(bundle.model), zipped, account)
    (folder / "card.md").write_text(text, encoding="utf-8")


def thresholds_in_words(rule: Mapping[str, Any]) -> str:
    """Return what the rule of a manifest's `decision` does, as a sentence."""
    below = rule.get("direction") == "below"
    beyond, short = ("or less", "more than") if below else ("or more", "less than")
    fail_at, pass_at = rule["fail_at"], rule.get("pass_at")
    text = f"`fail` at {fail_at:g} {beyond}"
    if pass_at is not None and pass_at != fail_at:
        text += f", `pass` at {short} {pass_at:g}, `uncertain` between"
    if rule.get("k"):
        text += f"; {rule['k']} of the last {rule['n']} scores must be beyond"
    if rule.get("hysteresis"):
        text += f"; the outcome gets better only {rule['hysteresis']:g} short of a limit"
    return text + "."


def _page(manifest: Manifest, size: int, zipped: int, account: Account) -> str:
    about = account.about.strip()
    if not about.startswith("# "):
        about = f"# {manifest.model_id}\n\n{about}"
    rule = json.loads(manifest.decision.rule.model_dump_json())
    parts = [
        about,
        "## Measured",
        f"By `{account.command}`:",
        table(account.figures).strip(),
        *_variants(account.variants),
        "## Verdicts",
        thresholds_in_words(rule),
        "## Facts",
        table(_facts(manifest, size, zipped)).strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _variants(rows: Sequence[Mapping[str, str]]) -> list[str]:
    if not rows:
        return []
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(row.get(name, '') for name in names)} |" for row in rows]
    return ["## What pruning and quantisation cost and gained", "\n".join(lines)]


def _facts(manifest: Manifest, size: int, zipped: int) -> list[Figure]:
    variant, source = manifest.variants[0], manifest.source
    facts = [
        ("task", manifest.task.kind),
        ("precision", variant.precision),
        ("model file", f"{size / 1000:.0f} kB, {zipped / 1000:.0f} kB zipped"),
        ("golden samples", str(len(manifest.selftest.cases))),
        ("licence", manifest.license.spdx),
        ("attribution", manifest.license.attribution),
        ("made by", f"`{source.training}`" if source.training else ""),
        ("sha256 of the data", source.data_sha256),
    ]
    if variant.resources is not None:
        needs = f"{variant.resources.ram_mb:g} MB, p95 {variant.resources.p95_ms:g} ms"
        facts.append(("measured need", needs))
    return [(what, value) for what, value in facts if value]
