"""Verdicts to test with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from edge_agent.types import Defect, Outcome, Verdict

AT_NS = 1_767_323_045_678_900_000  # 2026-01-02T03:04:05.678Z

PLAIN = Verdict(
    id="0",
    pipeline="camera",
    family="qc",
    part_id=None,
    outcome="pass",
    score=0.25,
    threshold=0.5,
    unit="",
    label="good",
    defects=(),
    model="parts",
    model_version="1.2.0",
    model_sha256="0" * 64,
    config_rev=3,
    captured_ns=AT_NS,
    decided_ns=AT_NS + 20_000_000,
    latency_ns=20_000_000,
    accelerator="cpu",
)


def verdict(number: int = 0, outcome: Outcome = "pass", **rest: Any) -> Verdict:
    """Return a verdict whose id is `number`."""
    return replace(PLAIN, id=str(number), outcome=outcome, **rest)


_numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-1000, 1000)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_times = st.integers(-(2**63), 2**63 - 1)

any_verdict = st.builds(
    Verdict,
    id=_texts,
    pipeline=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    family=st.sampled_from(["qc", "pdm"]),
    part_id=_texts | st.none(),
    outcome=st.sampled_from(["pass", "fail", "uncertain", "error"]),
    score=_numbers,
    threshold=_numbers,
    unit=_texts,
    label=_texts,
    defects=st.lists(
        st.builds(
            Defect, label=_texts, score=_numbers, x=_numbers, y=_numbers, w=_numbers, h=_numbers
        ),
        max_size=3,
    ).map(tuple),
    model=_texts,
    model_version=_texts,
    model_sha256=_texts,
    config_rev=st.integers(0, 2**31),
    captured_ns=_times,
    decided_ns=_times,
    latency_ns=_times,
    accelerator=_texts,
    reason=_texts,
    evidence=_texts,
)
