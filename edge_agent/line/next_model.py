"""The model that is to follow: loaded and warmed in a thread of its own, then a shadow.

Its thread ends when the shadow has agreed, or the model is given up.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_agent import registry
from edge_agent.errors import BadInput, EdgeAgentError, ModelError
from edge_agent.inference.model import load_model
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.inference.warming import warm
from edge_agent.line.tally import Bounds, Tally
from edge_agent.line.variants import Ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.acceleration.accelerated import Acceleration
    from edge_agent.config import PipelineOptions
    from edge_agent.inference.model import Model
    from edge_agent.line.pipeline_context import PipelineContext
    from edge_agent.line.succession_report import Phase
    from edge_agent.line.variants import Variants
    from edge_agent.types import Decision, Item

INBOX_ITEMS = 4  # pictures of a large camera: more would be a matter of memory
LOOK_S = 0.2
# What a task may raise for answers that nobody thought of: here they tell of the model.
UNEXPECTED = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Stand:
    """The pipeline, as far as a change of its model is concerned.

    `exchange`: put a model and its rule in place, return those before; any thread.
    """

    context: PipelineContext
    options: Callable[[], PipelineOptions]
    exchange: Callable[[Ready], Ready]
    variants: Variants
    acceleration: Acceleration | None = None

    @property
    def current(self) -> Model:
        """The pipeline's own model; that of a product variant may decide meanwhile."""
        return self.variants.any_model

    def ready(self, folder: Path) -> Ready:
        """Return the model in `folder`, warm, and a rule for it. Raises ModelError, MemoryError."""
        options = self.options()
        model = load_model(
            folder,
            threads=options.threads,
            roi=options.roi,
            calibration=self.context.calibration,
            acceleration=self.acceleration,
        )
        require_fit(model, self.current)
        warm(model)
        chosen = options.rule or model.bundle.manifest.decision.rule
        return Ready(model, registry.create("rules", chosen), chosen)


@dataclass(slots=True)
class NextModel:
    """How it stands with one; the thread that follows it up holds `lock` to change the phase.

    `before`: model and rule that it took the place of, as long as they are at hand. `since_s`: of
    the phase; `busy_s`: since when it decides about an item of the shadow.
    """

    folder: Path
    pause: bool
    former_folder: Path
    since_s: float
    phase: Phase = "loading"
    why: tuple[str, str] = ("", "")
    ready: Ready | None = None
    before: Ready | None = None
    shadow: Tally | None = None
    trial: Tally | None = None
    skipped: int = 0
    busy_s: float | None = None
    due: bool = False
    thread: threading.Thread | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    inbox: queue.Queue[tuple[Item, Decision]] = field(
        default_factory=lambda: queue.Queue(INBOX_ITEMS)
    )

    @property
    def given_up(self) -> bool:
        """Whether there is nothing left to do for it."""
        return self.phase in {"failed", "reverted", "kept"}

    @property
    def on_trial(self) -> bool:
        """Whether it decides, and may be taken back."""
        return self.phase in {"trial", "well"}

    def offer(self, item: Item, decision: Decision) -> None:
        """Have the shadow decide about an item, if it has the time."""
        try:
            self.inbox.put_nowait((item, decision))
        except queue.Full:
            self.skipped += 1


def follow(
    new: NextModel,
    stand: Stand,
    give_up: Callable[[NextModel, str, str], None],
    mono_s: Callable[[], float],
) -> None:
    """Load the model, then let it decide beside the one that runs, until that is enough."""
    try:
        ready = stand.ready(new.folder)
    except MemoryError:
        give_up(new, "memory", "no memory for it beside the model that runs")
        return
    except (EdgeAgentError, *UNEXPECTED) as error:
        give_up(new, "model", str(error))
        return
    with new.lock:
        if new.phase != "loading":
            ready.model.backend.close()  # it was taken back meanwhile
            return
        new.ready, new.shadow = ready, Tally()
        new.phase, new.since_s = "shadow", mono_s()
    manifest = ready.model.bundle.manifest
    bounds = bounds_of(ready.model, manifest.shadow.max_disagree)
    while new.phase == "shadow":
        passed_s = mono_s() - new.since_s
        if new.shadow.items >= manifest.shadow.min_items or passed_s >= manifest.shadow.max_s:
            with new.lock:
                new.phase = "agreed" if new.phase == "shadow" else new.phase
            break
        _decide_one(new, ready, new.shadow, mono_s)
        if breach := new.shadow.breach(bounds, manifest.shadow.min_items):
            give_up(new, *breach)
    if new.given_up:
        ready.model.backend.close()


def _decide_one(new: NextModel, ready: Ready, tally: Tally, mono_s: Callable[[], float]) -> None:
    model, rule = ready.model, ready.rule
    try:
        item, decision = new.inbox.get(timeout=LOOK_S)
        new.busy_s = mono_s()
        tensors = model.task.prepare(item)
        began_ns = time.monotonic_ns()
        outputs = model.backend.run(tensors)
        run_ms = (time.monotonic_ns() - began_ns) / 1e6
        found = rule.decide(model.task.interpret(outputs, item), item)
        tally.decided(run_ms, agrees=found.outcome == decision.outcome)
    except queue.Empty:
        return
    except (BadInput, ModelError, *UNEXPECTED) as error:
        tally.erred(str(error))
    finally:
        new.busy_s = None


def bounds_of(model: Model, max_disagree: float = 1.0) -> Bounds:
    """Return what the model's manifest allows of it."""
    manifest = model.bundle.manifest
    return Bounds(manifest.trial.max_error_rate, max_disagree, manifest.selftest.p95_ms_max)


def require_fit(model: Model, current: Model) -> None:
    """Raise ModelError where the source cannot feed the next model as it feeds this one."""
    takes, comes = (_cut(each.bundle.manifest.task.preprocess) for each in (model, current))
    if takes != comes:
        raise ModelError("it takes other items than the model that runs, and the source stays")


def _cut(preprocess: object) -> object:
    """Return what a source must know of a model: nothing where it takes pictures."""
    if not isinstance(preprocess, WindowPreprocess):
        return None
    cut = preprocess
    return cut.channels, cut.samples, cut.hop, cut.rate_hz, cut.pad
