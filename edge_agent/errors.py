"""What can go wrong, as a tree: each leaf has one place in the agent that answers it.

    EdgeAgentError
      NotConnected   a camera, broker or server is away      -> retried with backoff
      EndOfStream    a file or recording has no more items   -> the pipeline ends
      BadInput       one item cannot be used                 -> dropped, counted, `error` verdict
      ConfigError    a config is wrong                       -> refused, what runs keeps running
      ModelError     a model or its manifest is wrong        -> refused, what runs keeps running
        AcceleratorError  what should run it does not        -> the CPU runs it; tried again later
      SyncError      no model came from the repository       -> reported, what runs keeps running

Anything else that is raised is a bug.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

# Why an accelerator does not run a model. unavailable: the runtime or this machine offers none of
# the kind; refused_graph: it was loaded and takes no operator of this model; unproven: the bundle
# has no golden samples, so nothing tells whether its answers are right; disappeared: it ran, and
# cannot be loaded any more.
Trouble = Literal[
    "library_missing",
    "wrong_architecture",
    "unavailable",
    "refused_graph",
    "refused_run",
    "hung",
    "crashed",
    "wrong_answers",
    "unproven",
    "disappeared",
]


SHOWN_MOST = 64  # characters of a word that somebody said


def shown(word: str) -> str:
    """Return a word that somebody said in quotes, and not more of it than shows which it is."""
    return repr(word if len(word) <= SHOWN_MOST else f"{word[:SHOWN_MOST]}...")


def no_such(kind: str, word: str, known: Iterable[str]) -> str:
    """Return what to say of a word that names nothing: the word, and those that there are."""
    return f"no such {kind}: {shown(word)}; there are: {', '.join(known) or 'none'}"


def at(path: str, message: str) -> str:
    """Return what is wrong where, as a person reads it; what is wrong as a whole has no path."""
    return f"{path}: {message}" if path else message


def refusal(error: OSError) -> str:
    """Return what the system refused in words: the file, and why."""
    if error.filename is None or error.strerror is None:
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"{error.filename}: no such file"
    return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"


class EdgeAgentError(Exception):
    """Any failure that the agent expects and answers."""


class NotConnected(EdgeAgentError):
    """The other side is away; trying again later may help."""


class EndOfStream(EdgeAgentError):
    """There will be no further item."""


class BadInput(EdgeAgentError):
    """One payload, picture or window cannot be used.

    `reason` is a short stable word (`truncated`, `too_large`, `nan`, ...): it names a counter.
    `part_id`: the part that it shows, where that is known all the same.
    """

    def __init__(self, reason: str, detail: str = "", part_id: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.part_id = part_id


class ModelError(EdgeAgentError):
    """A model, its manifest or one of its files cannot be used; the text names which."""


class AcceleratorError(ModelError):
    """An accelerator does not run a model that the CPU may run; `detail`: a sentence."""

    def __init__(self, reason: Trouble, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Trouble = reason
        self.detail = detail


class SyncError(EdgeAgentError):
    """Metadata, a manifest or a blob did not arrive, or must not be used.

    `code` is a short stable word for the status of a slot (`offline`, `expired`, `untrusted`, ...;
    all of them in edge_agent/modelstore/codes.py), `detail` a sentence for a person.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: `path` is a JSON pointer (RFC 6901), `message` says what is allowed."""

    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        """Return both in one sentence."""
        return at(self.path, self.message)


class ConfigError(EdgeAgentError):
    """A config is wrong; `fields` names every wrong field at once."""

    def __init__(self, fields: list[FieldError]) -> None:
        super().__init__("; ".join(str(field) for field in fields))
        self.fields = fields
