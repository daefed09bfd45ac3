"""What differs between two configs, and what a file that is not there is, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.cli import main
from edge_agent.commands.remote_lines import change_lines
from tests.control import camera

if TYPE_CHECKING:
    from pathlib import Path

EARLY = {"name": "early", "begins": "06:00"}
LATE = {"name": "late", "begins": "14:00"}


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"fps": 8.0}, {"fps": 8}, []),
        ({"on": 1}, {"on": True}, ["~ /on: 1 -> true"]),
        ({"a": [1.0, 2]}, {"a": [1, 3]}, ["~ /a/1: 2 -> 3"]),
        (
            {"shifts": [EARLY, LATE]},
            {"shifts": [EARLY, LATE | {"begins": "15:00"}]},
            ['~ /shifts/1/begins: "14:00" -> "15:00"'],
        ),
        ({"keep": ["fail"]}, {"keep": ["fail", "pass"]}, ['+ /keep/1: "pass"']),
        ({"keep": ["fail", "pass"]}, {"keep": ["fail"]}, ['- /keep/1: "pass"']),
        ({"keep": []}, {}, ["- /keep: []"]),
    ],
)
def test_numbers_differ_by_their_value_and_lists_by_what_is_in_them(
    before: dict[str, Any], after: dict[str, Any], lines: list[str]
) -> None:
    assert change_lines(before, after) == lines


def test_a_pipeline_that_comes_or_goes_is_a_line_that_says_which_one_it_is() -> None:
    one = camera(model="models/parts")
    line = "/pipelines/one: qc, source simulator, model models/parts"
    assert change_lines({"pipelines": {}}, {"pipelines": {"one": one}}) == [f"+ {line}"]
    assert change_lines({"pipelines": {"one": one}}, {"pipelines": {}}) == [f"- {line}"]
    assert change_lines({"pipelines": {}}, {"pipelines": {"one": 5}}) == ["+ /pipelines/one: 5"]
    (part,) = change_lines({"pipelines": {}}, {"pipelines": {"one": {"threads": 2}}})
    assert part == '+ /pipelines/one: {"threads": 2}', (
        "a slip of the pen: there is no such pipeline"
    )


@pytest.mark.parametrize("command", ["check", "doctor", "run"])
def test_a_file_that_is_not_there_is_named_without_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    file = tmp_path / "nofile.json"
    assert main([command, str(file)]) == 69
    assert capsys.readouterr().err == f"edge-agent: {file}: no such file\n"


def test_what_the_system_refuses_otherwise_is_said_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path)]) == 69
    assert capsys.readouterr().err == f"edge-agent: {tmp_path}: is a directory\n"
