"""One model after another in a pipeline that goes on: the next is loaded, compared, swapped, kept.

Theory of operation. The next model decides about live items beside the one that runs
(next_model.py) before it takes its place. To swap is to replace one reference, the terms of the
pipeline, between two items. The old model stays loaded until the new one is kept: whatever breaks
the bounds of the new one's manifest puts the old one back at once, without asking the agent. With
`pause` there is no shadow: inspection stops while the old model makes room, from one item to the
next.

    load -> loading -> shadow -> agreed --swap--> trial -> well --keep--> kept
            any of them --gave up--> failed       trial, well --gave up--> reverted
"""

from __future__ import annotations

import logging
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.errors import EdgeAgentError
from edge_agent.line.next_model import NextModel, bounds_of, follow
from edge_agent.line.succession_report import SuccessionReport
from edge_agent.line.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.inference.model import Model
    from edge_agent.line.next_model import Stand
    from edge_agent.line.pipeline import Terms
    from edge_agent.line.variants import Ready
    from edge_agent.processes.wire import Succeed
    from edge_agent.types import Decision, Item

log = logging.getLogger(__name__)

LEAVE_S = 2.0
LOAD_LIMIT_S = 60.0
# A run is taken for hung after this, or after ten times what the manifest allows.
RUN_LIMIT_S = 3.0


class Succession:
    """The worker's main thread gives orders and asks; the pipeline's thread tells of items."""

    def __init__(self, stand: Stand, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._stand = stand
        self._mono_s = mono_s
        self._next: NextModel | None = None
        self._leaving: deque[Model] = deque()

    # ------------------------------------------------------------------ the worker's main thread

    def obey(self, order: Succeed) -> None:
        """Go one step."""
        match order.step:
            case "load":
                self._load(Path(order.folder), pause=order.pause)
            case "swap":
                self._swap()
            case "keep":
                self._keep()
            case "revert":
                self._revert("recalled", "the agent took it back")

    def close(self) -> None:
        """Free what no pipeline will free: a model that did not come to decide."""
        new = self._next
        if new is not None and not new.on_trial:
            self._revert("recalled", "the pipeline ended")
        while self._leaving:
            self._leaving.popleft().backend.close()

    def report(self) -> SuccessionReport | None:
        """Return how far it is; None before the first order."""
        new = self._next
        if new is None:
            return None
        self._judge_thread(new)
        self._judge_trial(new)
        tally = new.trial or new.shadow or Tally()
        return SuccessionReport(
            folder=str(new.folder),
            phase=new.phase,
            code=new.why[0],
            detail=new.why[1],
            items=tally.items,
            errors=tally.errors,
            disagreements=new.shadow.disagreements if new.shadow else 0,
            shadow_items=new.shadow.items if new.shadow else 0,
            skipped=new.skipped,
            p50_ms=round(tally.p50_ms, 3),
            run_limit_s=_run_limit_s(new) if new.on_trial else 0.0,
        )

    def _load(self, folder: Path, *, pause: bool) -> None:
        self._revert("recalled", "another model was wanted")
        context, running = self._stand.context, self._stand.options().model
        new = NextModel(folder, pause, context.folder / running, self._mono_s())
        self._next = new
        if pause:
            new.phase = "agreed"
            return
        name = f"next-{context.identity.pipeline}"
        new.thread = threads.thread(follow, name, (new, self._stand, self._give_up, self._mono_s))
        new.thread.start()

    def _swap(self) -> None:
        new = self._next
        if new is None or new.phase != "agreed":
            return
        if new.pause:
            new.due = True
            return
        if new.thread is not None:
            new.thread.join(LEAVE_S)
        with new.lock:
            if new.ready is not None and new.phase == "agreed":
                self._begin_trial(new, new.ready)

    def _keep(self) -> None:
        new = self._next
        if new is None or not new.on_trial:
            return
        with new.lock:
            new.phase = "kept"
            before, new.before = new.before, None
        if before is not None and not new.pause:
            self._leaving.append(before.model)

    def _revert(self, code: str, why: str) -> None:
        if self._next is not None:
            self._give_up(self._next, code, why)

    def _judge_thread(self, new: NextModel) -> None:
        """See whether the thread of the next model came to a bad end, or to none."""
        if new.thread is None or new.phase not in {"loading", "shadow"}:
            return
        limit_s = LOAD_LIMIT_S if new.phase == "loading" else _run_limit_s(new)
        began_s = new.since_s if new.phase == "loading" else new.busy_s
        if not new.thread.is_alive():
            self._give_up(new, "model", "a bug ended its thread; see the log")
        elif began_s is not None and self._mono_s() - began_s > limit_s:
            self._give_up(new, "hang", f"no end of its {new.phase} after {limit_s:g} s")

    # ------------------------------------------------------------------ the pipeline's thread

    def between(self) -> None:
        """Do what must not happen during an item: with `pause`, the swap itself."""
        while self._leaving:
            self._leaving.popleft().backend.close()
        new = self._next
        if new is not None and new.due:
            new.due = False
            self._pause(new)

    def decided(self, item: Item, terms: Terms, decision: Decision, run_ns: int) -> None:
        """Take an item that the running model decided about."""
        new = self._next
        if new is None:
            return
        if new.phase == "shadow" and terms.model is self._stand.current:
            new.offer(item, decision)
        elif trial := _trial(new, terms):
            trial.decided(run_ns / 1e6)
            self._judge_trial(new)

    def erred(self, terms: Terms, error: EdgeAgentError) -> None:
        """Take an item that the running model could not decide about."""
        new = self._next
        if new is not None and (trial := _trial(new, terms)):
            trial.erred(str(error))
            self._judge_trial(new)

    def _pause(self, new: NextModel) -> None:
        """Load one model in the place of the other, in the thread that would inspect."""
        back = new.phase == "reverted"
        self._stand.current.backend.close()
        try:
            ready = self._stand.ready(new.former_folder if back else new.folder)
        except (EdgeAgentError, MemoryError) as error:
            if back:
                raise  # the pipeline fails, and the agent answers that
            new.phase, new.why = "reverted", ("model", str(error) or "no memory for it")
            self._pause(new)
            return
        with new.lock:
            if back:
                self._stand.exchange(ready)
                return
            if not new.given_up:
                new.ready = ready
                self._begin_trial(new, ready)
                return
            new.phase = "reverted"
        # It was given up while it was loaded: now it makes room in turn.
        ready.model.backend.close()
        self._pause(new)

    # ------------------------------------------------------------------ any thread

    def _begin_trial(self, new: NextModel, ready: Ready) -> None:
        new.trial, new.since_s = Tally(), self._mono_s()
        new.before = self._stand.exchange(ready)
        new.phase = "trial"
        manifest = ready.model.bundle.manifest
        name = self._stand.context.identity.pipeline
        log.info("%s: %s %s is on trial", name, manifest.model_id, manifest.version)

    def _judge_trial(self, new: NextModel) -> None:
        if not new.on_trial or new.ready is None or new.trial is None:
            return
        terms = new.ready.model.bundle.manifest.trial
        if breach := new.trial.breach(bounds_of(new.ready.model), terms.min_items):
            self._give_up(new, *breach)
        elif new.trial.items >= max(1, terms.min_items):
            with new.lock:
                if new.phase == "trial" and self._mono_s() - new.since_s >= terms.soak_s:
                    new.phase = "well"

    def _give_up(self, new: NextModel, code: str, detail: str) -> None:
        """Take the next model back; where it decides, the old one does so again at once."""
        with new.lock:
            if new.given_up:
                return
            decides = new.on_trial
            if new.ready is not None and new.phase != "shadow" and not new.pause:
                self._leaving.append(new.ready.model)  # its own thread closes a shadow's
            new.phase, new.why = ("reverted" if decides else "failed"), (code, detail)
            new.due = decides and new.pause
            if new.before is not None and not new.pause:
                self._stand.exchange(new.before)
        name = self._stand.context.identity.pipeline
        log.warning("%s: the next model is given up: %s", name, detail)


def _trial(new: NextModel, terms: Terms) -> Tally | None:
    """Return the tally that an item with these terms counts for, if it counts."""
    decides = new.on_trial and new.ready is not None and terms.model is new.ready.model
    return new.trial if decides else None


def _run_limit_s(new: NextModel) -> float:
    allowed_ms = new.ready.model.bundle.manifest.selftest.p95_ms_max if new.ready else None
    return max(RUN_LIMIT_S, (allowed_ms or 0.0) / 100)
