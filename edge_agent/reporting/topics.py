"""Where everything is published: `{enterprise}/{site}/{area}/{line}/{cell}/edge/{device}/...`.

The depth is fixed, for consumers that take a topic apart by position (Telegraf), and no topic is
also the folder of another, for those that make a tree of them (Ignition).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edge_agent.config import Device

Family = Literal["qc", "pdm"]


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one device; `root` is what they begin with, without a slash at its end."""

    root: str
    device: str

    @property
    def status(self) -> str:
        """Return the topic that says whether the agent is online; the last will goes there, too."""
        return f"{self.root}/status"

    @property
    def info(self) -> str:
        """Return the topic that says what runs here."""
        return f"{self.root}/info"

    @property
    def gap(self) -> str:
        """Return the topic of records about verdicts that will never come."""
        return f"{self.root}/gap"

    def verdict(self, family: Family, pipeline: str) -> str:
        """Return the topic of all verdicts of a pipeline."""
        return f"{self.root}/{family}/{pipeline}/verdict"

    def defect(self, pipeline: str) -> str:
        """Return the topic of a quality pipeline's fails alone."""
        return f"{self.root}/qc/{pipeline}/defect"

    def last(self, pipeline: str) -> str:
        """Return the retained topic of a quality pipeline's newest verdict."""
        return f"{self.root}/qc/{pipeline}/last"

    def stats(self, family: Family, pipeline: str) -> str:
        """Return the retained topic of a pipeline's figures."""
        return f"{self.root}/{family}/{pipeline}/stats"

    def shift(self, pipeline: str) -> str:
        """Return the retained topic of the figures of a quality pipeline's shift that runs."""
        return f"{self.root}/qc/{pipeline}/shift"

    def last_shift(self, pipeline: str) -> str:
        """Return the retained topic of the figures of the shift that ended last."""
        return f"{self.root}/qc/{pipeline}/last_shift"

    def alerts(self, family: Family, pipeline: str) -> str:
        """Return the retained topic of all alerts of a pipeline, raised or cleared."""
        return f"{self.root}/{family}/{pipeline}/alert"

    def source(self, family: Family, pipeline: str) -> str:
        """Return the retained topic of the state of a pipeline's camera or sensors."""
        return f"{self.root}/{family}/{pipeline}/source"

    def drift(self, family: Family, pipeline: str) -> str:
        """Return the retained topic of how far a pipeline is from what is usual."""
        return f"{self.root}/{family}/{pipeline}/drift"

    def health(self, pipeline: str) -> str:
        """Return the retained topic of a machine's condition."""
        return f"{self.root}/pdm/{pipeline}/health"

    def retained(self, family: Family, pipeline: str) -> list[str]:
        """Return the topics on which a pipeline leaves something behind."""
        leaves = ["stats", "last", "health", "alert", "source", "drift", "shift", "last_shift"]
        return [f"{self.root}/{family}/{pipeline}/{leaf}" for leaf in leaves]

    def config(self, leaf: Literal["set", "result", "reported", "schema"]) -> str:
        """Return a topic of the config: two for asking, two retained."""
        return f"{self.root}/config/{leaf}"

    @property
    def doctor(self) -> str:
        """Return the topic that `edge-agent doctor` tries its right to publish on."""
        return f"{self.root}/doctor"

    def model(self, slot: str) -> str:
        """Return the retained topic of a slot's way from model to model."""
        return f"{self.root}/model/{slot}/status"

    @property
    def model_nudge(self) -> str:
        """Return the topic on which anybody may ask the agent to look for models now."""
        return f"{self.root}/model/nudge"

    def command(self, verb: str) -> str:
        """Return the topic that the agent takes the command `verb` from."""
        return f"{self.root}/cmd/{verb}"


def topics(device: Device) -> Topics:
    """Return the topics of a device."""
    levels = (device.enterprise, device.site, device.area, device.line, device.cell)
    return Topics("/".join((*levels, "edge", device.name)), device.name)
