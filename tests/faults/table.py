"""A pytest plugin: the table of `make faults`, printed and written to build/faults.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

COLUMNS = ("fault", "injected", "lost", "recovery", "remark", "holds")
WRITTEN_TO = Path("build/faults.json")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="as often and long as the goals say")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Table())


class _Table:
    """Collects what the tests found, in their order."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        found = [value for name, value in report.user_properties if name == "finding"]
        if found:
            self._rows += [value | {"holds": report.passed} for value in found]  # type: ignore[operator]
        elif report.failed or report.skipped:
            # A fault that could not be judged is in the table, too: it has not passed.
            name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
            remark = "NOT RUN" if report.skipped else "failed before it could be judged"
            row = {"fault": name, "injected": 0, "lost": "?", "recovery": "?", "remark": remark}
            self._rows.append(row | {"holds": False})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._rows:
            return
        terminalreporter.section("faults")
        for line in _markdown(self._rows):
            terminalreporter.write_line(line)
        WRITTEN_TO.parent.mkdir(exist_ok=True)
        WRITTEN_TO.write_text(json.dumps(self._rows, indent=1) + "\n")
        terminalreporter.write_line(f"written to {WRITTEN_TO}")


def _markdown(rows: list[dict[str, Any]]) -> list[str]:
    cells = [COLUMNS, *([_cell(row[column]) for column in COLUMNS] for row in rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "|" + "---|" * len(COLUMNS), *lines[1:]]


def _cell(value: object) -> str:
    return ("yes" if value else "NO") if isinstance(value, bool) else str(value)
