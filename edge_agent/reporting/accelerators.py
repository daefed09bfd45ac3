"""Shows what runs each model, where that was to be an accelerator: in `info`, and as alerts."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.clock import utc_text
from edge_agent.reporting import messages

if TYPE_CHECKING:
    from edge_agent.acceleration.report import AccelerationReport
    from edge_agent.reporting.alerts import Alerts
    from edge_agent.reporting.topics import Family, Topics


@dataclass
class _Model:
    report: AccelerationReport
    raised: tuple[str, int] | None = None  # the alert's id, and when it was raised


class Accelerators:
    """One thread at a time: the board calls it with its lock held."""

    def __init__(self, topics: Topics, alerts: Alerts) -> None:
        self._topics = topics
        self._alerts = alerts
        self._models: dict[str, _Model] = {}

    def take(self, name: str, family: Family, report: AccelerationReport | None) -> bool:
        """Take a pipeline's report; return whether it says anything new."""
        if report is None:
            return self._models.pop(name, None) is not None
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = _Model(report)
        elif model.report == report:
            return False
        model.report = report
        if report.reason != "starting" and report.is_effective != (model.raised is None):
            self._alert(name, family, model)
        return True

    def states(self, fallbacks: dict[str, int]) -> list[messages.AcceleratorState]:
        """Return all of them; `fallbacks`: by pipeline, how often the CPU had to step in."""
        return [
            messages.AcceleratorState(
                pipeline=name,
                requested=model.report.requested,
                effective=model.report.effective,
                reason=model.report.reason,
                detail=model.report.detail,
                since_ts=utc_text(model.report.since_ns),
                share=model.report.share,
                fallbacks=fallbacks.get(name, 0),
            )
            for name, model in self._models.items()
        ]

    def keep(self, names: set[str]) -> None:
        """Forget pipelines that are no more."""
        self._models = {name: each for name, each in self._models.items() if name in names}

    def _alert(self, name: str, family: Family, model: _Model) -> None:
        now_ns, report = time.time_ns(), model.report
        alert_id, raised_ns = model.raised or (str(uuid.uuid4()), now_ns)
        cleared = report.is_effective
        model.raised = None if cleared else (alert_id, raised_ns)
        message = messages.AlertMessage(
            ts=utc_text(now_ns),
            device=self._topics.device,
            pipeline=name,
            id=alert_id,
            kind="accelerator",
            alert="cleared" if cleared else "raised",
            message=sentence(report),
            raised_ts=utc_text(raised_ns),
            cleared_ts=utc_text(now_ns) if cleared else None,
        )
        self._alerts.tell(self._topics.alerts(family, name), message)


def sentence(report: AccelerationReport) -> str:
    """Return what runs the model, and why."""
    if report.is_effective:
        return f"the model runs on {report.requested}"
    instead = "on the CPU" if report.effective == "cpu" else "nowhere"
    why = f"{report.reason}: {report.detail}".removesuffix(": ")
    return f"the model runs {instead}, not on {report.requested}: {why}"
