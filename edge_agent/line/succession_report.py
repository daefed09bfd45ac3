"""How far a pipeline is with its next model."""

from __future__ import annotations

from typing import Literal

import msgspec

# loading, shadow: beside what runs. agreed: the shadow did well, the old model still decides.
# trial: the new one decides, the old one is at hand. well: the trial did well. failed: given up
# before the trial. reverted: given up in it, the old model decides again. kept: it stays.
Phase = Literal["loading", "shadow", "agreed", "trial", "well", "failed", "reverted", "kept"]


class SuccessionReport(msgspec.Struct, frozen=True, kw_only=True):
    """`folder`: the bundle of the next model. `code`, `detail`: why it was given up.

    `items`, `errors`, `p50_ms` (half of its runs took longer): of the trial, and before it of the
    shadow. `disagreements`: outcomes of the shadow other than the running model's, of
    `shadow_items`; `skipped`: items it had no time for. `run_limit_s`: a run of the trial that
    takes longer is taken for hung.
    """

    folder: str
    phase: Phase
    code: str = ""
    detail: str = ""
    items: int = 0
    errors: int = 0
    disagreements: int = 0
    shadow_items: int = 0
    skipped: int = 0
    p50_ms: float = 0.0
    run_limit_s: float = 0.0
