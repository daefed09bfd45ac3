"""The alerts of all pipelines: which stand, and every change of that told to everybody.

    nothing --raise_ (a new id)--> stands --clear (the same id)--> nothing

An alert stands through restarts of the agent, until what raised it is over or can be no more. Each
pipeline has one retained topic for all of its alerts: when every change was told on it, the newest
alert that stands is told again, so that what is retained says whether anything is wrong.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge_agent import threads
from edge_agent.clock import utc_text
from edge_agent.durable import write_file
from edge_agent.reporting import messages
from edge_agent.reporting.in_order import InOrder
from edge_agent.reporting.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.reporting.topics import Topics

log = logging.getLogger(__name__)

# A disk may take its time; one that hangs is not waited for.
CLOSE_S = 5.0
RETRY_S = 5.0  # after it refused

GONE = "nothing can raise it any more: its pipeline, or what it is about, has left the config"


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an alert as it is raised or cleared."""

    message: str
    score: float | None = None
    threshold: float | None = None
    unit: str = ""
    at_ns: int = field(default_factory=time.time_ns)


class Standing(msgspec.Struct, frozen=True):
    """An alert that is raised."""

    subject: Subject
    message: messages.AlertMessage


class _Kept(msgspec.Struct):
    """The file. `root`: of the topics; `untold`: by topic, what the broker does not have yet."""

    root: str
    standing: list[Standing] = []
    untold: dict[str, list[bytes]] = {}


class Alerts:
    """Safe from any thread.

    The file is written by a thread of its own: a disk that takes its time holds up no alert.
    """

    def __init__(self, topics: Topics, path: Path) -> None:
        """Read the file: what stood, and what was not told, when the run before ended."""
        self._topics = topics
        self._path = path
        kept = _read(path, topics.root)
        self._lock = threading.Lock()
        self._subjects: frozenset[Subject] = frozenset()
        self._standing = {each.subject: each.message for each in kept.standing}
        self._telling = InOrder(kept.untold)
        self._changed = threading.Event()
        self._closing = False
        self._thread = threads.thread(self._save_on, "alerts")

    def start(self, show: Callable[[str, bytes], None]) -> None:
        """Publish through `show(topic, payload)`, first again what stands; write the file."""
        with self._lock:
            self._telling.begin(show)
            for topic in {self._topic(subject) for subject in self._standing}:
                self._tell_newest(topic)
        self._thread.start()

    def close(self) -> None:
        """Write the file, and end; a disk that hangs is not waited for."""
        self._closing = True
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def watch(self, subjects: frozenset[Subject]) -> None:
        """Have alerts about these from now on; those that stand about others are cleared."""
        with self._lock:
            self._subjects = subjects
            for subject in [each for each in self._standing if each not in subjects]:
                self._clear(subject, Said(GONE))

    def stands(self, subject: Subject) -> messages.AlertMessage | None:
        """Return the alert that stands about this."""
        with self._lock:
            return self._standing.get(subject)

    def raise_(self, subject: Subject, said: Said) -> bool:
        """Raise an alert, unless one stands about this; return whether that was news."""
        with self._lock:
            if subject in self._standing or subject not in self._subjects:
                return False
            message = self._message(subject, said)
            self._standing[subject] = message
            self._put(self._topic(subject), messages.encode(message))
            return True

    def clear(self, subject: Subject, said: Said) -> bool:
        """Clear the alert that stands about this; return whether there was one."""
        with self._lock:
            return self._clear(subject, said)

    def none_of(self, subject: Subject, said: Said) -> None:
        """Tell that there is no alert, where none stands: displays begin with that."""
        with self._lock:
            topic = self._topic(subject)
            if subject in self._subjects and self._newest(topic) is None:
                self._put(topic, messages.encode(_cleared(self._message(subject, said), said)))

    def empty(self, topic: str) -> bool:
        """Empty the topic of a pipeline that is gone, once all is told; False: no alerts' topic."""
        if not topic.endswith("/alert"):
            return False
        with self._lock:
            self._put(topic, b"")
        return True

    def taken(self, topic: str, payload: bytes) -> None:
        """Note that the broker has a message."""
        with self._lock:
            if self._telling.taken(topic, payload):
                self._changed.set()
                self._tell_newest(topic, told=payload)

    def _clear(self, subject: Subject, said: Said) -> bool:
        message = self._standing.pop(subject, None)
        if message is None:
            return False
        topic = self._topic(subject)
        if self._telling.withdraw(topic, messages.encode(message)):
            self._changed.set()  # nobody has heard of it, nor will
        else:
            self._put(topic, messages.encode(_cleared(message, said)))
        return True

    def _put(self, topic: str, payload: bytes) -> None:
        self._telling.put(topic, payload)
        self._changed.set()

    def _tell_newest(self, topic: str, told: bytes | None = None) -> None:
        newest = self._newest(topic)
        if newest is not None and newest != told and topic not in self._telling.waiting:
            self._put(topic, newest)

    def _newest(self, topic: str) -> bytes | None:
        found = [each for subject, each in self._standing.items() if self._topic(subject) == topic]
        return messages.encode(found[-1]) if found else None

    def _topic(self, subject: Subject) -> str:
        return self._topics.alerts(subject.family, subject.pipeline)

    def _message(self, subject: Subject, said: Said) -> messages.AlertMessage:
        at_ts = utc_text(said.at_ns)
        return messages.AlertMessage(
            ts=at_ts,
            device=self._topics.device,
            pipeline=subject.pipeline,
            id=str(uuid.uuid4()),
            kind=subject.kind,
            alert="raised",
            message=said.message,
            raised_ts=at_ts,
            score=said.score,
            threshold=said.threshold,
            unit=said.unit,
        )

    # ------------------------------------------------------------------ the thread that writes

    def _save_on(self) -> None:
        closing = refused = False
        while not closing:
            self._changed.wait(RETRY_S if refused else None)
            self._changed.clear()
            closing = self._closing
            try:
                write_file(self._path, self._text())
                refused = False
            except OSError as error:
                if not refused:
                    log.warning("alerts: not written: %s", error)
                refused = True

    def _text(self) -> bytes:
        with self._lock:
            standing = [Standing(subject, each) for subject, each in self._standing.items()]
            return msgspec.json.encode(_Kept(self._topics.root, standing, self._telling.waiting))


def _cleared(raised: messages.AlertMessage, said: Said) -> messages.AlertMessage:
    at_ts = utc_text(said.at_ns)
    return msgspec.structs.replace(
        raised,
        ts=at_ts,
        alert="cleared",
        message=said.message,
        cleared_ts=at_ts,
        score=said.score,
        threshold=said.threshold,
        unit=said.unit,
    )


def _read(path: Path, root: str) -> _Kept:
    """Return what the run before left; nothing of another device, and nothing where it is damaged.

    Alerts that stand are worth a warning, and no reason not to inspect.
    """
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return _Kept(root)
    except (OSError, msgspec.DecodeError) as error:
        log.warning("alerts: %s cannot be read: %s", path.name, error)
        return _Kept(root)
    return kept if kept.root == root else _Kept(root)
