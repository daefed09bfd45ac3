"""What is wrong with data before anything is trained on it: errors stop, warnings are printed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Of each kind of finding so many are shown by name: a folder of 10,000 broken files is one line.
NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the data, as a sentence for whoever collected it."""

    severity: Literal["error", "warning"]
    text: str


class DataUnfit(Exception):
    """Nothing can be made from this data; `findings` say why, one sentence each."""

    def __init__(self, findings: Sequence[Finding] | str) -> None:
        if isinstance(findings, str):
            findings = [Finding("error", findings)]
        super().__init__("\n".join(finding.text for finding in findings))
        self.findings = tuple(findings)


def print_findings(findings: Iterable[Finding], file: TextIO | None = None) -> None:
    """Print each finding on a line of its own, errors first."""
    for finding in sorted(findings, key=lambda finding: finding.severity != "error"):
        print(f"{finding.severity}: {finding.text}", file=file or sys.stderr)


def settle(findings: Sequence[Finding]) -> None:
    """Print warnings and go on, or raise DataUnfit with the errors if there are any."""
    errors = [finding for finding in findings if finding.severity == "error"]
    print_findings(finding for finding in findings if finding.severity == "warning")
    if errors:
        raise DataUnfit(errors)


def named(names: Sequence[str]) -> str:
    """Return names as they stand in a sentence: the first few, and how many more there are."""
    shown = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
