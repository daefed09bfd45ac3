"""Shows what runs each model, where that was to be an accelerator: in `info`, and as alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.clock import utc_text
from edge_agent.reporting import messages
from edge_agent.reporting.alerts import Said
from edge_agent.reporting.subjects import Subject

if TYPE_CHECKING:
    from edge_agent.acceleration.report import AccelerationReport
    from edge_agent.reporting.alerts import Alerts
    from edge_agent.reporting.topics import Family


class Accelerators:
    """One thread at a time: the board calls it with its lock held."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._models: dict[str, AccelerationReport] = {}
        # By pipeline: what its last alert is about; its worker may have begun again since.
        self._missed: dict[str, str] = {}

    def take(self, name: str, family: Family, report: AccelerationReport | None) -> bool:
        """Take a pipeline's report; return whether it says anything new."""
        if report is None:
            return self._models.pop(name, None) is not None
        if self._models.get(name) == report:
            return False
        self._models[name] = report
        subject = Subject(family, name, "accelerator")
        if self._missed.get(name, report.requested) != report.requested:
            self._alerts.clear(subject, Said(f"the model is to run on {report.requested} now"))
        if report.reason != "starting":
            tell = self._alerts.clear if report.is_effective else self._alerts.raise_
            tell(subject, Said(sentence(report)))
            self._missed[name] = report.requested
        return True

    def states(self, fallbacks: dict[str, int]) -> list[messages.AcceleratorState]:
        """Return all of them; `fallbacks`: by pipeline, how often the CPU had to step in."""
        return [
            messages.AcceleratorState(
                pipeline=name,
                requested=model.requested,
                effective=model.effective,
                reason=model.reason,
                detail=model.detail,
                since_ts=utc_text(model.since_ns),
                share=model.share,
                fallbacks=fallbacks.get(name, 0),
            )
            for name, model in self._models.items()
        ]

    def keep(self, names: set[str]) -> None:
        """Forget pipelines that are no more."""
        self._models = {name: each for name, each in self._models.items() if name in names}
        self._missed = {name: word for name, word in self._missed.items() if name in names}


def sentence(report: AccelerationReport) -> str:
    """Return what runs the model, and why."""
    if report.is_effective:
        return f"the model runs on {report.requested}"
    instead = "on the CPU" if report.effective == "cpu" else "nowhere"
    why = f"{report.reason}: {report.detail}".removesuffix(": ")
    return f"the model runs {instead}, not on {report.requested}: {why}"
