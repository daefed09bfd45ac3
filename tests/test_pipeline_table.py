"""The live view's table at all widths: whole numbers and headings, and bars in the rest."""

from __future__ import annotations

import json
import re

import pytest

from edge_agent.commands.overview import Overview
from tests.test_overview import TOPICS, stats, verdict
from tests.test_terminal import busy, drawn_lines

HEADINGS = {"pipeline", "recipe", "verdict", "score", "limit", "found", "per", "s", "p50", "p99"}
HEADINGS |= {"ms", "pass", "fail", "unc.", "err.", "scores"}


def _shift_under_way(recipe: str = "", name: str = "surface") -> Overview:
    overview = Overview()
    for seq in range(1, 61):
        measured = verdict(seq, score=0.0213, threshold=0.0217, unit="mm", label="good")
        overview.take(TOPICS.verdict("qc", name), measured, seq / 20)
    told = {"detail": "", "passes": 1941, "fails": 1234, "errors": 10555, "recipe": recipe}
    payload = json.dumps(json.loads(stats("running")) | told).encode()
    overview.take(TOPICS.stats("qc", name), payload, 3.0)
    return overview


@pytest.mark.parametrize("width", range(80, 201))
@pytest.mark.parametrize("recipe", ["", "variant-blue"])
@pytest.mark.parametrize("name", ["surface", "left-side-surface"])
def test_no_number_and_no_heading_is_cut(width: int, recipe: str, name: str) -> None:
    drawn = drawn_lines(_shift_under_way(recipe, name), width, 24)
    row = next(index for index, line in enumerate(drawn) if name in line)
    headings, cells = (re.split(r" {1,}", drawn[line].strip()) for line in (row - 1, row))
    assert max(map(len, drawn)) <= width
    assert set(headings) <= HEADINGS
    assert not any("\u2026" in line for line in drawn[row - 1 : row + 1])
    assert [cell for cell in cells if not _is_bars(cell)][-4:] == ["1941", "1234", "0", "10555"]
    assert cells[cells.index("mm") - 1] == "0.0213"
    bars = [cell for cell in cells if _is_bars(cell)]
    assert bool(bars) == ("scores" in headings)
    assert all(len(each) >= 10 for each in bars), "few bars say nothing"


@pytest.mark.parametrize("width", range(100, 201, 10))
def test_from_100_columns_on_there_are_the_limit_and_bars(width: int) -> None:
    drawn = drawn_lines(busy(), width, 24)
    row = next(index for index, line in enumerate(drawn) if "qc surface" in line)
    heading, cells = drawn[row - 1].split(), drawn[row].split()
    assert "limit" in heading
    assert heading[-1] == "scores"
    assert _is_bars(cells[-1])


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_recipe_in_force_stands_beside_its_pipeline(width: int) -> None:
    drawn = drawn_lines(_shift_under_way("blue"), width, 24)
    assert "qc surface blue" in " ".join(" ".join(drawn).split())
    assert "recipe" not in " ".join(drawn_lines(_shift_under_way(), width, 24))


@pytest.mark.parametrize("width", [80, 90, 100])
def test_what_is_wrong_is_said_where_there_would_be_no_room_for_bars(width: int) -> None:
    overview = _shift_under_way()
    overview.take(TOPICS.stats("qc", "surface"), stats("waiting", 1941, 1234), 3.0)
    assert any("waiting" in line for line in drawn_lines(overview, width, 24)[:4])


def _is_bars(cell: str) -> bool:
    return bool(cell) and set(cell) <= set("▁▂▃▄▅▆▇█")
