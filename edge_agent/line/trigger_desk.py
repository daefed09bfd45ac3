"""Answers every trigger exactly once, by its deadline, whatever becomes of camera and worker.

It lives in the agent process: a worker that hangs or dies cannot keep its own deadlines.

    open --item found--> taken --verdict in time--> answered
    open, taken --deadline--> answered with `error`; a verdict that comes later is dropped

While the agent stops, what is open is still answered so; a new trigger gets its `error` at once.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_agent import threads
from edge_agent.errors import BadInput
from edge_agent.line.pipeline import error_verdict
from edge_agent.pointer import resolve
from edge_agent.processes.wire import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.line.options import TriggerOptions
    from edge_agent.line.pipeline import Identity
    from edge_agent.types import Verdict

MAX_PART_ID = 256  # a part id is a label, not a document
MAX_PAYLOAD_BYTES = 64 * 1024
STOPPING = "the agent is stopping"


@dataclass
class _Open:
    trigger: Trigger
    identity: Identity
    received_ns: int
    taken: bool = False


class TriggerDesk:
    """All triggers that wait for an answer. Any thread may call anything.

    `ask` passes a trigger to its worker (False: the worker is away). `answer` is given each
    verdict once. `why` says what state a pipeline is in, for the reason of an error.
    """

    def __init__(
        self,
        ask: Callable[[Trigger], bool],
        answer: Callable[[Verdict], None],
        why: Callable[[str], str],
    ) -> None:
        self._ask = ask
        self._answer = answer
        self._why = why
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._changed = threading.Condition(self._lock)
        self._refusing = self._closed = False
        self._thread = threads.thread(self._keep_deadlines, "triggers")
        self._thread.start()

    def trigger(self, identity: Identity, options: TriggerOptions, payload: bytes) -> None:
        """Take a trigger message. Raises BadInput for a payload without a part id."""
        part_id = _part_id(payload, options.part_id)
        now = time.monotonic_ns()
        trigger = Trigger(
            id=str(uuid.uuid4()),
            pipeline=identity.pipeline,
            part_id=part_id,
            since_mono_ns=now,
            deadline_mono_ns=now + int(options.deadline_ms * 1e6),
        )
        entry = _Open(trigger, identity, time.time_ns())
        if self._admit(entry):
            self._ask(trigger)
        else:
            self._answer(_error(entry, STOPPING))

    def taken(self, trigger_id: str) -> None:
        """Note that an item was found for a trigger."""
        with self._lock:
            if trigger_id in self._open:
                self._open[trigger_id].taken = True

    def settle(self, verdict: Verdict) -> bool:
        """Claim the trigger that this verdict answers; False when it was answered already."""
        with self._lock:
            return self._open.pop(verdict.id, None) is not None

    def refuse_more(self) -> None:
        """Answer what comes from now on at once, with `error`; what is open may be settled yet."""
        with self._lock:
            self._refusing = True

    def close(self) -> None:
        """Answer everything that is still open, and what comes from now on, with `error`."""
        with self._changed:
            self._refusing = self._closed = True
            self._changed.notify()
        self._thread.join()
        with self._lock:
            left = list(self._open.values())
        self._expire(left, STOPPING)

    def _admit(self, entry: _Open) -> bool:
        with self._changed:
            if not self._refusing:
                self._open[entry.trigger.id] = entry
                self._changed.notify()
            return not self._refusing

    def _keep_deadlines(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic_ns()
                late = [o for o in self._open.values() if o.trigger.deadline_mono_ns <= now]
                if not late:
                    due = [o.trigger.deadline_mono_ns - now for o in self._open.values()]
                    self._changed.wait(min(due) / 1e9 if due else None)
                    continue
            self._expire(late, "")

    def _expire(self, late: list[_Open], reason: str) -> None:
        for entry in late:
            with self._lock:
                if self._open.pop(entry.trigger.id, None) is None:
                    continue  # answered since
            self._answer(_error(entry, reason or self._missed(entry)))

    def _missed(self, entry: _Open) -> str:
        deadline_ms = (entry.trigger.deadline_mono_ns - entry.trigger.since_mono_ns) / 1e6
        what = "the model gave no result" if entry.taken else "no item came"
        why = self._why(entry.identity.pipeline)
        return f"{what} within {deadline_ms:g} ms" + (f" ({why})" if why else "")


def _error(entry: _Open, reason: str) -> Verdict:
    trigger = entry.trigger
    return error_verdict(
        entry.identity,
        reason,
        verdict_id=trigger.id,
        part_id=trigger.part_id,
        captured=(entry.received_ns, trigger.since_mono_ns),
    )


def _part_id(payload: bytes, pointer: str) -> str:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadInput("too_large", f"trigger of {len(payload)} bytes")
    try:
        if not pointer:
            part_id: object = payload.decode()
        else:
            part_id = resolve(msgspec.json.decode(payload), pointer)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise BadInput("trigger", f"payload: {error}") from None
    except KeyError:
        raise BadInput("trigger", f"no part id at {pointer}") from None
    if isinstance(part_id, bool) or not isinstance(part_id, str | int):
        raise BadInput("trigger", f"the part id at {pointer} is neither text nor a whole number")
    if len(str(part_id)) > MAX_PART_ID:
        raise BadInput("trigger", f"part id longer than {MAX_PART_ID}")
    return str(part_id)
