"""What the updater needs of the agent around it: the slots of the config, and hands to act with."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.modelstore.layout import StoreLayout
    from edge_agent.modelstore.slot_steps import Verified
    from edge_agent.modelstore.supplier import Supplier
    from edge_agent.processes import wire


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as the config has it: `factory` is the bundle of its pipelines."""

    name: str
    pipelines: tuple[str, ...]
    workers: frozenset[str]
    factory: Path


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the updater needs of the agent; all of it from any thread.

    `show(slot, payload)`: publish a status, retained. `order`: tell a pipeline's worker. `moved`:
    have the workers follow what is in force now. `test`: verify a bundle in a child.
    `fleet_server`: what reports go through, None: nobody wants any. `fault_point`: the state at
    which a test wants the process to end.
    """

    device: str
    layout: StoreLayout
    supplier: Supplier
    poll_s: float
    window: str | None
    pause: bool
    show: Callable[[str, bytes], None]
    order: Callable[[wire.Order], bool]
    moved: Callable[[], None]
    test: Callable[[Path], Verified]
    clock_s: Callable[[], float] = time.time
    mono_s: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    fleet_server: Supplier | None = None
    fault_point: str = ""
