"""floor.json: what may not go back on this gateway, whoever signs it.

The online keys of a repository can be stolen, its backup of last year restored, the gateway's clock
lose its battery. So the gateway remembers the highest epoch of each fleet's document, for each
model the lowest `seq` its makers still allow and the `seq` that was confirmed here, and a time that
is certainly past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_agent.durable import write_file
from edge_agent.errors import SyncError

if TYPE_CHECKING:
    from pathlib import Path

# Longer than a gateway lies in a cupboard between two uses, shorter than the clock errors seen in
# the field, which are years (dead battery: 1970 or 2000; a wrong digit: + 10 years).
MAX_DARK_S = 400 * 86_400.0
# 2026-01-01: no clock that is right is before this program.
FIRST_S = 1_767_225_600.0
# A fresh signature outlives the one before by more than this.
BEFORE_EXPIRY_S = 3600.0


class Floors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. `time_s`: seconds since 1970, 0 before the first poll that succeeded."""

    schema: int = 1
    time_s: float = 0.0
    epochs: dict[str, int] = {}
    min_seqs: dict[str, int] = {}
    confirmed_seqs: dict[str, int] = {}


def believed_time_s(clock_s: float, floors: Floors) -> float:
    """Return the time to judge expiry by, seconds since 1970.

    The clock's, where it can be right: not before the floor and not 400 days after it. Else the
    floor's own: then metadata that was already old is still refused, and a clock in the far future
    does not lock updates out.
    """
    floor_s = max(floors.time_s, FIRST_S)
    if clock_s < floor_s:
        return floor_s
    return floor_s if floors.time_s and clock_s > floor_s + MAX_DARK_S else clock_s


def after_refresh(floors: Floors, clock_s: float, expires_s: float) -> Floors:
    """Return the floors after metadata that expires at `expires_s` was accepted.

    The time floor never passes the metadata's own expiry: a clock in the far future cannot poison
    it, for the next metadata expires later still.
    """
    proven_s = min(clock_s, expires_s - BEFORE_EXPIRY_S)
    return msgspec.structs.replace(floors, time_s=max(floors.time_s, proven_s))


def with_epoch(floors: Floors, fleet: str, epoch: int) -> Floors:
    """Return the floors after a document was seen. Raises SyncError `rolled_back`."""
    seen = floors.epochs.get(fleet, 0)
    if epoch < seen:
        raise SyncError("rolled_back", f"desired.json of {fleet}: epoch {epoch} after {seen}")
    return msgspec.structs.replace(floors, epochs=floors.epochs | {fleet: epoch})


def with_min_seq(floors: Floors, model_id: str, min_seq: int) -> Floors:
    """Return the floors after the makers of a model said what is too old by now."""
    highest = max(min_seq, floors.min_seqs.get(model_id, 0))
    return msgspec.structs.replace(floors, min_seqs=floors.min_seqs | {model_id: highest})


def with_confirmed(floors: Floors, model_id: str, seq: int) -> Floors:
    """Return the floors after a model was confirmed: also downward, where that was allowed."""
    return msgspec.structs.replace(floors, confirmed_seqs=floors.confirmed_seqs | {model_id: seq})


def admit(floors: Floors, model_id: str, seq: int, *, allow_downgrade: bool) -> None:
    """Raise SyncError `too_old` where this gateway must not go to `seq`.

    `allow_downgrade` is the word of an online key: it lifts the floor of what was confirmed here,
    never the one that the makers set with `min_seq`.
    """
    least = floors.min_seqs.get(model_id, 0)
    if seq < least:
        raise SyncError("too_old", f"{model_id} seq {seq}: its makers allow {least} and later")
    confirmed = floors.confirmed_seqs.get(model_id, 0)
    if seq < confirmed and not allow_downgrade:
        raise SyncError("too_old", f"{model_id} seq {seq}: here ran {confirmed}, and no downgrade")


class FloorFile:
    """The file on disk. One process uses it, under the store's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Floors:
        """Return the floors; the lowest ones where there is no file.

        A damaged file raises SyncError `bad_document`: starting anew would forget them all.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Floors)
        except FileNotFoundError:
            return Floors()
        except (OSError, msgspec.DecodeError) as error:
            raise SyncError("bad_document", f"{self._path}: {error}") from None

    def write(self, floors: Floors) -> None:
        """Put the floors on the disk, if they changed. Raises OSError."""
        content = msgspec.json.encode(floors) + b"\n"
        if not self._path.exists() or self._path.read_bytes() != content:
            write_file(self._path, content)
