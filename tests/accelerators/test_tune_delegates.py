"""`edge-agent tune` on a real shared library that works, refuses, crashes and answers wrongly."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from edge_agent.commands import tuning
from edge_agent.config import parse_toml
from edge_agent.inference.accelerator import CPU
from tests.agents import MODELS
from tests.test_tune import CONFIG
from tools.accel import stand_ins

if TYPE_CHECKING:
    from pathlib import Path


def test_each_set_of_options_is_a_row_and_only_what_answers_rightly_is_timed(
    tmp_path: Path, library: Path
) -> None:
    shutil.copytree(MODELS / "conveyor-parts", tmp_path / "model")
    faults = ("none", "refuse_graph", "crash_run", "wrong")
    delegates = [stand_ins.options(stand_ins.delegate(library, fault=fault)) for fault in faults]
    wanted = tuning.Wanted("it", (CPU, *delegates), threads=(1,), seconds=0.05)
    found = tuning.tune(parse_toml(CONFIG.encode()), tmp_path, wanted, lambda _: None)
    reasons = [row.failure.partition(":")[0] for row in found.rows]
    assert reasons == ["", "", "refused_graph", "crashed", "wrong_answers"]
    works = found.rows[1].measured
    assert works is not None
    assert (works.effective, works.share) == (library.name, 1.0)
    # Operator by operator with the runtime's own kernels, and the way there and back.
    assert works.against < 1
    assert found.best == 0
