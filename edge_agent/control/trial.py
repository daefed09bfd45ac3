"""Whether a changed config does its work: the pipelines it touches, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_agent.line.variants import same_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.config import Config
    from edge_agent.reporting.standing import Standing

# A pipeline has this long to come up. On a small gateway loading a model takes most of it.
TRIAL_S = 25.0
# And has then to stay up for so long: a model that crashes does so with its first pictures.
SETTLE_S = 2.0

Finding = Literal["pending", "well", "failed"]
GIVEN_UP = {"failed", "degraded"}
WORKS = {"running", "ended"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """`pipeline` and `why`: of what failed, or what is waited for."""

    finding: Finding
    pipeline: str = ""
    why: str = ""


def touched(before: Config, after: Config) -> tuple[str, ...]:
    """Return the pipelines that are new or changed."""
    everyone = before.worker_memory_mb != after.worker_memory_mb
    return tuple(
        name
        for name, options in after.pipelines.items()
        if everyone or before.pipelines.get(name) != options
    )


def differences(before: Config, after: Config) -> str:
    """Return in words what a change does to the pipelines."""
    changed = touched(before, after)
    if before.worker_memory_mb != after.worker_memory_mb:
        return "all pipelines are built anew"
    live = [
        name
        for name in changed
        if name in before.pipelines and same_line(before.pipelines[name], after.pipelines[name])
    ]
    what = {
        "built anew": [name for name in changed if name not in live],
        "changed between two items": live,
        "taken out": [name for name in before.pipelines if name not in after.pipelines],
    }
    said = [f"{how}: {', '.join(names)}" for how, names in what.items() if names]
    return "; ".join(said) or "no pipeline is touched"


def excused(before: Config, after: Config, seen: Mapping[str, Standing]) -> frozenset[str]:
    """Return the pipelines that need not run: their source was away before, and is the same."""
    return frozenset(
        name
        for name, options in before.pipelines.items()
        if name in after.pipelines
        and name in seen
        and options.source == after.pipelines[name].source
        and seen[name].state == "waiting"
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """What is expected of which pipelines; `restarts`: of their workers, before."""

    config_rev: int
    pipelines: tuple[str, ...]
    excused: frozenset[str]
    restarts: Mapping[str, int]

    def judge(self, seen: Mapping[str, Standing]) -> Judgement:
        """Return how it stands."""
        waits = Judgement("well")
        for name in self.pipelines:
            judgement = self._judge_one(name, seen.get(name))
            if judgement.finding == "failed":
                return judgement
            if judgement.finding == "pending":
                waits = judgement
        return waits

    def _judge_one(self, name: str, now: Standing | None) -> Judgement:
        if now is not None and now.restarts > self.restarts.get(name, 0):
            return Judgement("failed", name, now.detail or "its worker died")
        if now is None or now.config_rev != self.config_rev:
            return Judgement("pending", name, "not started")
        how = f"{now.state}: {now.detail}".removesuffix(": ")
        if now.state in GIVEN_UP:
            return Judgement("failed", name, how)
        waits = now.state == "waiting" and name in self.excused
        if now.state not in WORKS and not waits:
            return Judgement("pending", name, how)
        # That its source is away is told by an error verdict, too.
        if not waits and now.errors and now.errors == now.items:
            return Judgement("pending", name, "every item so far ended in an error verdict")
        return Judgement("well")
