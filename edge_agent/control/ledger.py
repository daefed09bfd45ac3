"""What the disk knows of the config: the last good one, the one on trial, and the latest answers.

One file, replaced as a whole: after a power cut at any moment it is the old or the new one. It is
written before a change is put in force, and before it is answered. A trial that is found at the
start was cut short: the last good config is in force again, and whoever asked is told.

The config file on the gateway is where it all begins. A config that came over MQTT is in force
until the file says something new (docs/adr/0013).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edge_agent.config import parse_tree
from edge_agent.control import candidates
from edge_agent.control.recipes import Choice
from edge_agent.control.trees import digest
from edge_agent.durable import write_file
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config

log = logging.getLogger(__name__)

FILE = "control.json"
INTERRUPTED = "the agent ended before it had proved itself, or was confirmed: it was taken back"


class Revision(msgspec.Struct, frozen=True):
    """One config: its number and its tree, as a person would write it, without the password."""

    rev: int
    tree: dict[str, Any]


class OnTrial(msgspec.Struct, frozen=True):
    """What is tried, and whom to tell: where the answer goes beside the request's id.

    `verb`: of the command that asked for it, "" where none did; `request`: see Answered.
    """

    revision: Revision
    request_id: str
    answer_topic: str
    correlation: bytes | None = None
    verb: str = ""
    request: str = ""


class Answered(msgspec.Struct, frozen=True):
    """An answer, the fingerprint of the request that got it, and when."""

    answer: bytes
    request: str
    utc_s: float


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    schema: Literal[1] = 1
    file_hash: str
    highest_rev: int
    good: Revision
    trial: OnTrial | None = None
    status: Literal["applied", "rolled_back"] = "applied"
    source: Literal["file", "mqtt"] = "file"
    last_error: str = ""
    choices: dict[str, Choice] = {}
    answered: dict[str, Answered] = {}  # earlier files have `answers`, without when and to what


@dataclass(frozen=True, slots=True)
class InForce:
    """A config with its number and the tree that says it."""

    rev: int
    config: Config
    tree: dict[str, Any]


class Ledger:
    """Read at the start; one thread writes. Writing raises OSError, and changes nothing then."""

    def __init__(self, folder: Path, file_config: Config) -> None:
        """`file_config`: what the config file says now."""
        self._path = folder / FILE
        self.file_config = file_config
        tree = candidates.tree_of(file_config)
        self.document = self._begin(tree, digest(tree))
        self.interrupted = self.document.trial
        self.good = self._in_force(self.document.good)

    def begin(self, trial: OnTrial) -> None:
        """Keep a change that is about to be tried."""
        rev = max(self.document.highest_rev, trial.revision.rev)
        # Why the change before this one was not applied is not said beside this one.
        self._write(
            msgspec.structs.replace(self.document, trial=trial, highest_rev=rev, last_error="")
        )

    def commit(self, found: InForce) -> None:
        """Make what was tried the last good config."""
        good = Revision(found.rev, found.tree)
        self._write(
            msgspec.structs.replace(
                self.document,
                highest_rev=max(self.document.highest_rev, found.rev),
                good=good,
                trial=None,
                status="applied",
                source="mqtt",
                last_error="",
            )
        )
        self.good = found

    def adopt(self, file_config: Config) -> None:
        """Make what the config file says now the last good config, also where the disk refuses."""
        tree = candidates.tree_of(file_config)
        anew = _anew(self.document, tree, digest(tree))
        self.file_config = file_config
        self.document = self._kept(msgspec.structs.replace(anew, trial=self.interrupted))
        self.good = InForce(self.document.good.rev, file_config, tree)

    def roll_back(self, why: str) -> None:
        """Forget what was tried, but not why."""
        self.interrupted = None
        self._write(
            msgspec.structs.replace(self.document, trial=None, status="rolled_back", last_error=why)
        )

    def refused(self, why: str) -> None:
        """Note why the last request changed nothing; it stays in memory until the next write."""
        self.document = msgspec.structs.replace(self.document, last_error=why)

    def note_recipes(self, choices: dict[str, Choice]) -> None:
        """Keep which product variant each pipeline inspects."""
        self._write(msgspec.structs.replace(self.document, choices=choices))

    def note_answers(self, answered: dict[str, Answered]) -> None:
        """Keep the answers for requests that come again, by id."""
        document = msgspec.structs.replace(self.document, answered=answered)
        self.document = document  # also when the disk refuses: for as long as this process lives
        self._write(document)

    def _begin(self, tree: dict[str, Any], file_hash: str) -> Document:
        fresh = Document(file_hash=file_hash, highest_rev=1, good=Revision(1, tree))
        kept = self._read()
        if kept is None:
            return self._kept(fresh)  # or another config would get its number at the next start
        # Whoever asked for what was on trial is yet to be told that it is over.
        anew = msgspec.structs.replace(_anew(kept, tree, file_hash), trial=kept.trial)
        if kept.file_hash != file_hash:
            log.info("config: the file has changed: it is in force, as revision %d", anew.good.rev)
            return self._kept(anew)
        try:
            self._in_force(kept.good)
        except ConfigError as error:
            log.warning("config: revision %d is no longer valid: %s", kept.good.rev, error)
            return self._kept(msgspec.structs.replace(anew, last_error=str(error)))
        log.info("config: revision %d is in force (%s)", kept.good.rev, kept.source)
        return kept

    def _kept(self, document: Document) -> Document:
        try:
            self._write(document)
        except OSError as error:
            log.warning("config: cannot be kept: %s", error)
        return document

    def _read(self) -> Document | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Document)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.warning("config: %s cannot be read, the file's config is used: %s", FILE, error)
            return None

    def _write(self, document: Document) -> None:
        # The tree may hold a camera's password.
        write_file(self._path, msgspec.json.encode(document), mode=0o600)
        self.document = document

    def _in_force(self, revision: Revision) -> InForce:
        config = candidates.with_fixed(parse_tree(revision.tree), self.file_config)
        return InForce(revision.rev, config, revision.tree)


def _anew(kept: Document, tree: dict[str, Any], file_hash: str) -> Document:
    """Return what follows when the file says something new."""
    rev = kept.highest_rev + 1
    return Document(
        file_hash=file_hash,
        highest_rev=rev,
        good=Revision(rev, tree),
        choices=kept.choices,
        answered=kept.answered,
    )


def in_force(state_folder: Path, file_config: Config) -> str:
    """Return in a sentence which config `run` would begin with; changes nothing."""
    path = state_folder / "config" / FILE
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Document)
    except (OSError, msgspec.DecodeError):
        return "a start begins with this file; nothing was changed over MQTT"
    if kept.file_hash != digest(candidates.tree_of(file_config)):
        # It may have changed since, or never have been started: files of one folder share a state.
        dropped = "; what came over MQTT is dropped then" if kept.source == "mqtt" else ""
        return f"a start begins with this file, not with what the agent ran last{dropped}"
    if kept.source == "file":
        return f"this file is in force, as revision {kept.good.rev}"
    return f"revision {kept.good.rev} is in force: this file was changed over MQTT since"
