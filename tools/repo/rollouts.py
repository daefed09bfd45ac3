"""Edits of desired.json: pure functions from one document to the next, one epoch later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_agent.modelstore.desired import Desired, Match, ModelRef, Rollout, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = Desired(schema=1, epoch=0, rules=())


class NoSuchRule(Exception):
    """The document has no such rule, or it is not in the state for this edit."""


def with_default(desired: Desired, slot: str, match: Match, model: ModelRef) -> Desired:
    """Return the document in which gateways that match run `model` in `slot`, at once."""
    return _edited(desired, slot, match, lambda rule: _replace(rule, default=model, rollout=None))


def with_rollout(desired: Desired, slot: str, match: Match, rollout: Rollout) -> Desired:
    """Return the document with a rollout; one that is on its way on the same rule is replaced."""
    return _edited(desired, slot, match, lambda rule: _replace(rule, rollout=rollout))


def promoted(desired: Desired, rollout_id: str) -> Desired:
    """Return the document with the rollout in its next stage; after the last, as the default."""

    def promote(rule: Rule, rollout: Rollout) -> Rule:
        if rollout.halted:
            raise NoSuchRule(f"rollout {rollout.id} is halted: `promote --resume` goes on with it")
        if rollout.stage + 1 < len(rollout.stages):
            return _replace(rule, rollout=_replace(rollout, stage=rollout.stage + 1))
        return _replace(rule, default=rollout.to, rollout=None)

    return _with(desired, rollout_id, promote)


def halted(desired: Desired, rollout_id: str, *, halt: bool) -> Desired:
    """Return the document in which the rollout takes no further gateway, or goes on."""
    return _with(
        desired,
        rollout_id,
        lambda rule, rollout: _replace(rule, rollout=_replace(rollout, halted=halt)),
    )


def _edited(desired: Desired, slot: str, match: Match, change: Callable[[Rule], Rule]) -> Desired:
    """Change the rule with this slot and match, or add it before those that match more widely."""
    rules = list(desired.rules)
    for place, rule in enumerate(rules):
        if (rule.slot, rule.match) == (slot, match):
            rules[place] = change(rule)
            return _next(desired, rules)
    added = change(Rule(slot=slot, match=match))
    wider = (n for n, rule in enumerate(rules) if rule.slot == slot and rule.match == Match())
    rules.insert(next(wider, len(rules)), added)
    return _next(desired, rules)


def _with(desired: Desired, rollout_id: str, change: Callable[[Rule, Rollout], Rule]) -> Desired:
    rules = list(desired.rules)
    for place, rule in enumerate(rules):
        if rule.rollout is not None and rule.rollout.id == rollout_id:
            rules[place] = change(rule, rule.rollout)
            return _next(desired, rules)
    known = ", ".join(r.rollout.id for r in rules if r.rollout) or "none"
    raise NoSuchRule(f"no rollout {rollout_id}; there are: {known}")


def _next(desired: Desired, rules: list[Rule]) -> Desired:
    return Desired(schema=1, epoch=desired.epoch + 1, rules=tuple(rules))


_replace = msgspec.structs.replace
