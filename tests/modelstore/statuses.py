"""What forty gateways say of one slot while a rollout is on its way."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_agent.modelstore.desired import (
    Desired,
    Gateway,
    Match,
    ModelRef,
    Rollout,
    Stage,
    takes_part,
)
from edge_agent.reporting.model_messages import ModelStatusMessage, SlotError
from tools.repo import rollouts
from tools.repo.control import SlotStatus

SLOT = "spindle"
OLD, NEW = ModelRef("wear", "1.0.0"), ModelRef("wear", "2.0.0")
ROLLOUT = Rollout(id="r1", to=NEW, stages=(Stage(10.0), Stage(50.0), Stage(100.0)))
GATEWAYS = [f"gw-{number}" for number in range(40)]
RING = [name for name in GATEWAYS if takes_part(ROLLOUT, Gateway(name))]


def status(device: str, state: str, code: str = "", **fields: Any) -> ModelStatusMessage:
    """Return what a gateway says; `idle` and `trial` ones run the old model."""
    running = NEW if state == "confirmed" else OLD
    said: dict[str, Any] = {
        "ts": "2026-06-01T12:00:00.000Z",
        "device": device,
        "slot": SLOT,
        "state": state,
        "stale": False,
        "pinned": False,
        "rollout_id": "" if state == "idle" else "r1",
        "from_": str(running),
        "to": "" if state == "idle" else str(NEW),
        "error": SlotError(code, "as the test wants it") if code else None,
    }
    return ModelStatusMessage(**(said | fields))


def seen(message: ModelStatusMessage, site: str = "graz", line: str = "1") -> SlotStatus:
    return SlotStatus(f"acme/{site}/m/{line}/3/edge/{message.device}", site, line, message)


def document(rollout: Rollout = ROLLOUT, **match: Any) -> Desired:
    wanted = msgspec.convert(match, Match)
    return rollouts.with_rollout(rollouts.EMPTY, SLOT, wanted, rollout)


def fleet_with(state: str, code: str = "", count: int = 1) -> list[ModelStatusMessage]:
    """Return all gateways: `count` of the ring in a state, the rest of the ring confirmed."""
    special = RING[:count]
    return [
        status(name, state, code)
        if name in special
        else status(name, "confirmed" if name in RING else "idle")
        for name in GATEWAYS
    ]
