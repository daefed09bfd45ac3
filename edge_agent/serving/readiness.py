"""Keeps what the checks say and since when, tells changes once, and publishes them in `status`."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge_agent.clock import utc_text
from edge_agent.reporting.messages import CheckState
from edge_agent.serving import checks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.publisher import Publisher
    from edge_agent.serving.checks import Finding, PipelineFacts
    from edge_agent.serving.options import HealthOptions
    from edge_agent.types import Outcome, Verdict
    from edge_agent.upload.figures import Figures

log = logging.getLogger(__name__)

EVERY_S = 1.0
# What is more was not drift: somebody, or a time server, has set the clock.
CLOCK_STEP_S = 2.0
# At a start the broker, say, is not connected yet: that is no trouble until it lasts.
BEGINS_S = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """When a pipeline last judged something, and first and last could not since then.

    On the monotonic clock; None: never.
    """

    judged_s: float | None = None
    first_error_s: float | None = None
    error_s: float | None = None

    def after(self, outcome: Outcome, now_s: float) -> Seen:
        """Return what is seen once a verdict has come, now."""
        if outcome != "error":
            return Seen(now_s)
        first_s = now_s if self.first_error_s is None else self.first_error_s
        return Seen(self.judged_s, first_s, now_s)


class Living(Protocol):
    """A part of the agent with threads of its own."""

    @property
    def alive(self) -> bool:
        """Whether they run: if not, a bug ended one."""


class Readiness:
    """The agent's loop calls `step` and `decided`; any thread may read."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        state_folder: Path,
        options: HealthOptions,
        uploads: Callable[[], Figures | None] = lambda: None,
    ) -> None:
        """Look at nothing yet. `uploads`: how evidence is sent, None where none is."""
        self.options = options
        self._parts: dict[str, Living] = {"outbox": outbox, "publisher": publisher}
        self._uploads = uploads
        self._outbox = outbox
        self._publisher = publisher
        self._state_folder = state_folder
        self._lock = threading.Lock()
        self._checks: tuple[CheckState, ...] = ()
        self._alive = _check("agent_alive", "ok", utc_text(time.time_ns()))
        self._told_later_s: dict[str, float] = {}
        self._seen: dict[str, Seen] = {}
        self._looped_s = time.monotonic()
        self._due_s = 0.0
        self._offset_s = time.time() - time.monotonic()
        self._step_s = 0.0
        self._stepped_s: float | None = None

    def depends_on(self, **parts: Living) -> None:
        """Look at these parts of the agent, too."""
        self._parts |= parts

    def end(self) -> None:
        """Take it from now on for no bug that threads end: the agent stops."""
        self._parts = {}

    def decided(self, verdict: Verdict) -> None:
        """Note a verdict."""
        seen = self._seen.get(verdict.pipeline, Seen())
        self._seen[verdict.pipeline] = seen.after(verdict.outcome, time.monotonic())

    def step(
        self,
        mono_s: float,
        facts: Callable[[Mapping[str, Seen]], list[PipelineFacts]],
        *,
        at_once: bool = False,
    ) -> None:
        """Look at everything, once a second or at once, and publish what has changed."""
        self._looped_s = mono_s
        if mono_s < self._due_s and not at_once:
            return
        self._due_s = mono_s + EVERY_S
        gateway = self._gateway(mono_s)
        findings = checks.findings(gateway, facts(self._seen), self.options, mono_s)
        changed = self._take(findings, mono_s)
        if changed:
            self._publisher.note_checks(self.states)

    @property
    def states(self) -> tuple[CheckState, ...]:
        """What every check says."""
        with self._lock:
            return self._checks

    def free_bytes(self) -> int | None:
        """Return how much room is left for the state folder; None: it cannot be looked at."""
        return _free_bytes(self._state_folder)

    def dead_threads(self) -> tuple[str, ...]:
        """Return the parts of the agent of which a bug has ended a thread."""
        return tuple(name for name, part in self._parts.items() if not part.alive)

    def alive(self) -> CheckState:
        """Ask, now, whether the agent itself lives: also where its loop no longer does."""
        mono_s = time.monotonic()
        finding = checks.agent_alive(self._looped_s, self.dead_threads(), mono_s)
        with self._lock:
            before, now_ts = self._alive, utc_text(time.time_ns())
            since_ts = before.since_ts if before.state == finding.state else now_ts
            self._alive = _check(finding.name, finding.state, since_ts, reason=finding.reason)
            return self._alive

    def _gateway(self, mono_s: float) -> checks.GatewayFacts:
        offset_s = time.time() - time.monotonic()
        if abs(offset_s - self._offset_s) > CLOCK_STEP_S:
            self._step_s, self._stepped_s = offset_s - self._offset_s, mono_s
        self._offset_s = offset_s
        uploads = self._uploads()
        return checks.GatewayFacts(
            looped_s=self._looped_s,
            dead_threads=self.dead_threads(),
            connected=self._publisher.connected,
            broker_detail=self._publisher.detail,
            acked_s=self._publisher.acked_s,
            parked=self._outbox.parked_depth,
            disk_free_bytes=_free_bytes(self._state_folder),
            disk_detail=self._outbox.detail,
            utc_ns=time.time_ns(),
            clock_step_s=self._step_s,
            clock_stepped_s=self._stepped_s,
            upload_trouble=uploads.trouble if uploads else None,
        )

    def _take(self, findings: list[Finding], mono_s: float) -> bool:
        """Keep them; return whether any differs from before. A new reason is no new state."""
        before = {(check.name, check.pipeline): check for check in self.states}
        now_ts = utc_text(time.time_ns())
        kept = []
        for finding in findings:
            old = before.get((finding.name, finding.pipeline))
            same = old is not None and old.state == finding.state
            since_ts = old.since_ts if old is not None and same else now_ts
            kept.append(
                _check(
                    finding.name,
                    finding.state,
                    since_ts,
                    pipeline=finding.pipeline,
                    reason=finding.reason,
                )
            )
            if self._is_news(finding, old, mono_s):
                _tell(finding)
        with self._lock:
            changed = self._checks != tuple(kept)
            self._checks = tuple(kept)
        return changed

    def _is_news(self, finding: Finding, old: CheckState | None, mono_s: float) -> bool:
        """Say whether it is to be told: a change, or what has failed for long since the start."""
        if old is None:
            # A pipeline that begins fails most of its checks at first, and says so itself.
            if finding.state != "ok" and not finding.pipeline:
                self._told_later_s[finding.name] = mono_s + BEGINS_S
            return False
        due_s = None if finding.pipeline else self._told_later_s.get(finding.name)
        if due_s is None:
            return old.state != finding.state
        if finding.state != "ok" and mono_s < due_s:
            return False
        del self._told_later_s[finding.name]
        return finding.state != "ok"


def _check(
    name: str, state: str, since_ts: str, *, pipeline: str = "", reason: str = ""
) -> CheckState:
    return CheckState(
        name=name,
        pipeline=pipeline,
        state=state,  # type: ignore[arg-type]
        reason=reason,
        since_ts=since_ts,
    )


def _tell(finding: Finding) -> None:
    well = finding.state == "ok" or finding.asked_for
    level = logging.INFO if well else logging.WARNING
    whose = finding.pipeline or "gateway"
    reason = f": {finding.reason}" if finding.reason else ""
    log.log(level, "%s: %s: %s%s", whose, finding.name, finding.state, reason)


def _free_bytes(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
