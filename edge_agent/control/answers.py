"""What was answered lately: a request that comes again gets that answer, and is not obeyed again.

It is the same request where its id, its topic and its content are: an id that comes with another
one is refused, and does nothing. Both hold for some minutes: who asks again does so soon, and an id
that somebody typed is used once more some day.

Age is counted by a clock that only runs, so that one that is set meanwhile changes nothing. Over a
start it is counted by UTC, and an answer from the future is as if it were new: none is held for
longer than `held_s` while an agent runs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from edge_agent.control.ledger import Answered
from edge_agent.control.requests import Refused
from edge_agent.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.control.ledger import Ledger

HELD_S = 600.0  # a program asks again within seconds, a person within minutes
MOST = 64
USED = "this id was used for another request: give each request an id of its own"


class Answers:
    """One thread uses it.

    `signed_within_s`: for how long a signature holds. `utc_s`, `mono_s`: the time now; only the
    first one can be set.
    """

    def __init__(
        self,
        ledger: Ledger,
        signed_within_s: float,
        utc_s: Callable[[], float],
        mono_s: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        # Signed by a clock that is ahead, a request holds for twice as long, and is obeyed once.
        self._held_s = max(HELD_S, 2 * signed_within_s)
        self._utc_s = utc_s
        self._mono_s = mono_s
        self._under_way: dict[str, str] = {}
        kept = ledger.document.answered.items()
        ages_s = {request_id: max(0.0, utc_s() - each.utc_s) for request_id, each in kept}
        self._until_s = {each: mono_s() + self._held_s - age_s for each, age_s in ages_s.items()}

    def of(self, request_id: str, request: str) -> bytes | None:
        """Return what this request was answered before, marked as repeated, or None.

        `request`: its fingerprint. Raises Refused where the id is another request's.
        """
        if self._under_way.get(request_id, request) != request:
            raise _used()
        if not self._held(request_id):
            return None
        answered = self._ledger.document.answered[request_id]
        if answered.request != request:
            raise _used()
        return msgspec.json.encode({**msgspec.json.decode(answered.answer), "repeated": True})

    def begin(self, request_id: str, request: str) -> bool:
        """Note that a request is to be obeyed; say whether it was not already."""
        if request_id in self._under_way:
            return False
        if request_id:
            self._under_way[request_id] = request
        return True

    def note(self, request_id: str, request: str, answer: bytes) -> None:
        """Keep an answer, also where the disk refuses: for as long as this process lives.

        Raises OSError then.
        """
        if not request_id:
            return
        self._under_way.pop(request_id, None)
        self._until_s[request_id] = self._mono_s() + self._held_s
        kept = {**self._ledger.document.answered}
        kept.pop(request_id, None)
        kept[request_id] = Answered(answer, request, self._utc_s())
        newest = [each for each in kept if self._held(each)][-MOST:]
        self._until_s = {each: self._until_s[each] for each in newest}
        self._ledger.note_answers({each: kept[each] for each in newest})

    def _held(self, request_id: str) -> bool:
        return self._mono_s() < self._until_s.get(request_id, 0.0)


def fingerprint(topic: str, content: bytes) -> str:
    """Return what tells one request from another, whatever its id."""
    return hashlib.sha256(topic.encode() + b"\0" + content).hexdigest()[:16]


def _used() -> Refused:
    return Refused(409, "refused", [FieldError("/id", "used", USED)])
