"""A real agent: a reject is put down to a class of defects, and never to the one that is good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.agents import ROOT, AgentProcess
from tests.control import Desk, camera

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import WaitFor

DEFECTS = {"scratch", "dent", "stain", "missing_hole"}


def test_a_reject_whose_likeliest_class_is_good_counts_for_the_likeliest_defect(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    # So strict that every part fails, those among them that are good beyond doubt.
    start({"one": camera(rule={"kind": "threshold", "fail_at": 0.0})})

    def pareto() -> list[dict[str, Any]]:
        shift = json.loads(desk.client.payloads(f"{ROOT}/qc/one/shift")[-1])
        return list(shift["pareto"]) if shift["rejects"] > 20 else []

    classes = {bar["defect_class"] for bar in wait_for(pareto)}
    assert classes <= DEFECTS
    fails = desk.verdicts("one")
    assert any(each["score"] < 0.5 for each in fails), "the good class is the likeliest"
    assert {each["verdict"] for each in fails} == {"fail"}
    assert {each["label"] for each in fails} <= DEFECTS
    assert all(each["defect_class"] == each["label"] for each in fails)
