"""The parts that were judged last, and how: in blocks of one size, whatever the parts are called.

A dict of as many takes several times the room, and grows for as long as a slow line needs to make
them. Places are found as zlib's deflate finds its matches: `_heads` has the newest part of each
hash, `_before` the one of the same hash before it; where the numbers are too old, their places have
been given to other parts, and the chain ends.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from edge_agent.types import Outcome

# A part that comes again after so many others counts as a new one: memory has an end.
RECENT_PARTS = 5000
KEY_BYTES = 6  # two of 5,000 ids are taken for the same once in 20 million
HEADS = 4096
OUTCOMES: tuple[Outcome, ...] = ("pass", "uncertain", "fail")


class RecentParts(msgspec.Struct, dict=True):
    """What is kept on disk: a key and an outcome for each place, and how many parts there were."""

    keys: bytearray = msgspec.field(default_factory=lambda: bytearray(KEY_BYTES * RECENT_PARTS))
    outcomes: bytearray = msgspec.field(default_factory=lambda: bytearray(RECENT_PARTS))
    """Places in OUTCOMES."""
    count: int = 0
    """Part number n, from 1, has place n % RECENT_PARTS."""

    def __post_init__(self) -> None:
        """Index what was read; raise ValueError where it is not what was written."""
        fits = len(self.keys) == KEY_BYTES * RECENT_PARTS and len(self.outcomes) == RECENT_PARTS
        if not fits or max(self.outcomes) >= len(OUTCOMES) or not 0 <= self.count < 2**32:
            raise ValueError("no list of recent parts")
        self._heads = array("L", bytes(array("L").itemsize * HEADS))
        self._before = array("L", bytes(array("L").itemsize * RECENT_PARTS))
        for number in range(max(1, self.count - RECENT_PARTS + 1), self.count + 1):
            place = number % RECENT_PARTS
            self._chain(number, bytes(self.keys[KEY_BYTES * place : KEY_BYTES * (place + 1)]))

    def put(self, part_id: str, outcome: Outcome) -> Outcome | None:
        """Note a part's newest outcome; return the one before, None for a part not judged yet."""
        key = hashlib.blake2b(part_id.encode(errors="replace"), digest_size=KEY_BYTES).digest()
        code = OUTCOMES.index(outcome)
        number = self._heads[_head(key)]
        while number > max(0, self.count - RECENT_PARTS):
            place = number % RECENT_PARTS
            if self.keys[KEY_BYTES * place : KEY_BYTES * (place + 1)] == key:
                before = OUTCOMES[self.outcomes[place]]
                self.outcomes[place] = code
                return before
            number = self._before[place]
        self.count += 1
        place = self.count % RECENT_PARTS
        self.keys[KEY_BYTES * place : KEY_BYTES * (place + 1)] = key
        self.outcomes[place] = code
        self._chain(self.count, key)
        return None

    def _chain(self, number: int, key: bytes) -> None:
        head = _head(key)
        self._before[number % RECENT_PARTS] = self._heads[head]
        self._heads[head] = number


def _head(key: bytes) -> int:
    return int.from_bytes(key[:2], "little") % HEADS
