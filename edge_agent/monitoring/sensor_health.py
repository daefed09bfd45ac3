"""Whether the samples of sensors can be trusted: a state, and why.

    state            seen in                                          left when
    away             the source is not connected                      a window comes
    missing_channel  one topic is silent while others speak, or       it speaks again, and
                     messages lack a channel                          a window comes
    late             no topic speaks for `late_after_s`               one speaks
    gap              samples are missing                              a whole window comes
    skewed           samples carry a time far from the gateway's      they do not
    out_of_range     a value beyond its channel's range               a window is within
    stuck            a channel's value does not change                it changes
    connected        none of these

In all but `connected` a window is answered by an `error` verdict that names the state. A gap ends
with the first window after it: windows never reach across one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import BadInput
from edge_agent.lazy import lazy_module
from edge_agent.monitoring.conditions import Conditions, Rule, State
from edge_agent.types import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.metrics import Counters
    from edge_agent.monitoring.options import SensorLimits
    from edge_agent.monitoring.report import SourceKind
    from edge_agent.pictures.figures import PictureFigures
    from edge_agent.types import Item
else:
    np = lazy_module("numpy")

SILENT_MIN_S = 3.0
SILENT_HOPS = 3
# Noise never lets a signal of this rate rest.
RESTLESS_HZ = 10.0
STUCK_S = 10.0
# Counters of messages that lack what they should hold (sensing/sensor_payload.py).
LACKING = ("dropped_missing", "dropped_type")
NS_PER_S = 1e9


class SensorHealth:
    """Looks at the windows of one source. One thread uses it.

    `heard`: when something last came from each topic, on the monotonic clock, written by the
    source; it stays empty where a recording is played, or samples carry no time. `counters`: what
    the source counts.
    """

    kind: SourceKind = "sensor"

    def __init__(
        self,
        limits: SensorLimits,
        shape: WindowPreprocess,
        heard: Mapping[str, float],
        counters: Counters,
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._heard = heard
        hop_s = shape.hop / shape.rate_hz
        silent_s = max(SILENT_MIN_S, SILENT_HOPS * hop_s)
        self._late_s = limits.late_after_s or silent_s
        self._missing_s = limits.missing_after_s or silent_s
        usual_s = STUCK_S if shape.rate_hz >= RESTLESS_HZ else None
        self._stuck_s = limits.stuck_after_s or usual_s
        self._shape = shape
        names = (
            *("away", "missing_channel", "late", "gap"),
            *("skewed", "out_of_range", "stuck"),
        )
        self._conditions = Conditions([Rule(name) for name in names])
        self._still: dict[str, tuple[float, float]] = {}  # channel: its value, for how long
        self._totals = counters.totals()

    @property
    def state(self) -> State:
        """What the sensors are like now."""
        return self._conditions.state

    def away(self, mono_s: float, detail: str) -> None:
        """Note that the source is not connected."""
        self._conditions.see("away", mono_s, detail)

    def connected(self, mono_s: float) -> None:
        """Note that the source is connected again."""
        self._conditions.see("away", mono_s, seen=False)

    def waiting(self, mono_s: float) -> None:
        """Do nothing: the source notes when samples come."""

    def silent(self, mono_s: float) -> None:
        """Look at what the source has counted and heard while no window came."""
        before, self._totals = self._totals, self._counters.totals()
        see, heard = self._conditions.see, dict(self._heard)
        newest_s = max(heard.values(), default=mono_s)
        late = mono_s - newest_s >= self._late_s
        see("late", mono_s, f"no sample for {self._late_s:g} s", seen=late)
        quiet = [each for each, at_s in heard.items() if newest_s - at_s >= self._missing_s]
        lacking = self._grown(before, *LACKING)
        if quiet or lacking:
            fault = self._counters.latest_fault(self._missing_s)
            detail = f"{', '.join(quiet)}: silent" if quiet else fault
            see("missing_channel", mono_s, detail)
        if self._grown(before, "gaps"):
            see("gap", mono_s, "samples are missing")

    def item(self, item: Item, mono_s: float, utc_ns: int) -> None:
        """Look at a window; `utc_ns`: when it came, by the gateway's clock."""
        if not isinstance(item, Window):
            return
        window, see = item, self._conditions.see
        self._totals = self._counters.totals()
        for name in ("away", "late", "gap", "missing_channel"):
            see(name, mono_s, seen=False)
        if self._heard:
            ahead_s = (window.captured_ns - utc_ns) / NS_PER_S
            ago = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the gateway"
            skewed = abs(ahead_s) > self._limits.skew_s
            see("skewed", mono_s, f"samples are {ago}", seen=skewed)
        beyond = self._beyond(window)
        see("out_of_range", mono_s, beyond, seen=bool(beyond))
        still = self._stuck(window)
        see("stuck", mono_s, still, seen=bool(still))

    def look(self, figures: PictureFigures, usual_sharpness: float | None, mono_s: float) -> None:
        """Do nothing: samples are no pictures."""

    def check(self) -> None:
        """Raise BadInput where windows are not to be trusted: `sensor_stuck`, `sensor_skewed`..."""
        state = self.state
        if not state.good:
            raise BadInput(f"sensor_{state.name}", state.detail)

    def _grown(self, before: Mapping[str, int], *names: str) -> bool:
        return any(self._totals.get(name, 0) > before.get(name, 0) for name in names)

    def _beyond(self, window: Window) -> str:
        for column, channel in enumerate(window.channels):
            if channel not in self._limits.ranges:
                continue
            low, high = self._limits.ranges[channel]
            values = window.samples[:, column]
            for value in (float(values.min()), float(values.max())):
                if not low <= value <= high:
                    return f"{channel}: {value:.4g}, not within {low:g} to {high:g}"
        return ""

    def _stuck(self, window: Window) -> str:
        if self._stuck_s is None:
            return ""
        shape = self._shape
        resting = np.ptp(window.samples, axis=0) == 0.0
        for channel, rests, value in zip(
            window.channels, resting.tolist(), window.samples[-1].tolist(), strict=True
        ):
            before, lasted_s = self._still.pop(channel, (value, 0.0))
            if rests and channel not in self._limits.may_rest:
                more = shape.hop if lasted_s and before == value else shape.samples
                lasted_s = lasted_s if before == value else 0.0
                self._still[channel] = (value, lasted_s + more / shape.rate_hz)
        stuck = [each for each, (_, lasted_s) in self._still.items() if lasted_s >= self._stuck_s]
        return f"{', '.join(stuck)}: the same value for {self._stuck_s:g} s" if stuck else ""
