"""What a check of `edge-agent doctor` is given and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `what` was looked at, what was found, and what to do about it ("" where well).

    warn: it works, and may not for long or not well. fail: something will not work.
    """

    level: Level
    what: str
    text: str
    advice: str = ""

    def line(self) -> str:
        """Return it as it is printed."""
        todo = f"\n{'':18}-> {self.advice}" if self.advice else ""
        return f"{self.level:5} {self.what:11} {self.text}{todo}"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The machine that is looked at, and what is to run on it.

    `config`: None where there is none; `folder`: where its relative paths start; `user`: who the
    agent runs as; `every_topic`: publish an empty message on every topic of the agent.
    """

    config: Config | None
    folder: Path
    state: Path
    user: str
    every_topic: bool = False


Check = Callable[[Gateway], Iterator[Finding]]
