"""Who asks for a change of the config: somebody on config/set, or a command in its course."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_agent.reporting.control_messages import CommandResult
from edge_agent.reporting.messages import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_agent.control.mailbox import Sender
    from edge_agent.reporting.control_messages import ConfigResult, Fault


@dataclass(frozen=True, slots=True)
class Asker:
    """`verb`: of the command, "" for config/set.

    `found` and `doubts`: what a command's answer holds once it is done, and warns of.
    """

    sender: Sender
    verb: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    doubts: Sequence[Fault] = ()

    def answer(self, result: ConfigResult) -> bytes:
        """Return what became of the change as the message that whoever asked waits for."""
        if not self.verb:
            return encode(result)
        done = result.code == 200  # noqa: PLR2004  as in HTTP
        command = CommandResult(
            id=result.id,
            verb=self.verb,
            status="done" if done else "failed",
            code=result.code,
            errors=result.errors,
            warnings=[*self.doubts, *result.warnings] if done else [],
            result={**self.found, "rev": result.rev} if done else {},
        )
        return encode(command)
