"""Whether a camera's pictures can be trusted: a state, and why.

    state        seen in                                    may be named after
    away         the source is not connected                at once
    late         no picture for `late_after_s`              at once; left with the next one
    wrong_size   a picture's width and height               hold_s
    frozen       the same pixels again and again            frozen_after_s
    dark         mean grey value                            hold_s
    bright       mean grey value                            hold_s
    blurred      sharpness, beside what is usual            hold_s
    dropped      pictures overtaken before inspection       hold_s
    connected    none of these

In all but `connected` a picture is answered by an `error` verdict that names the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import BadInput
from edge_agent.monitoring.conditions import Conditions, Rule, State
from edge_agent.pictures.figures import mark
from edge_agent.types import Frame

if TYPE_CHECKING:
    from edge_agent.monitoring.options import CameraLimits
    from edge_agent.monitoring.report import SourceKind
    from edge_agent.pictures.figures import PictureFigures
    from edge_agent.types import Item

# For a live camera where the config says nothing. Together with the second between two reports a
# state is known within 3 s.
LIVE_LATE_S, LIVE_FROZEN_S = 1.5, 1.0
SAME_PICTURES = 3  # two alike may be one that came twice
DROPS_OVER = 20  # pictures that a share of dropped ones is counted over


class CameraHealth:
    """Looks at the pictures of one source. One thread uses it.

    `live`: the source is a camera, that gives pictures by itself and never the same one.
    """

    kind: SourceKind = "camera"

    def __init__(self, limits: CameraLimits, *, live: bool) -> None:
        self._limits = limits
        self._live = live
        self._late_s = limits.late_after_s or (LIVE_LATE_S if live else None)
        self._frozen_s = limits.frozen_after_s or (LIVE_FROZEN_S if live else None)
        self._size = limits.size
        hold_s = limits.hold_s
        self._conditions = Conditions(
            [
                Rule("away"),
                Rule("late"),
                Rule("wrong_size", hold_s, hold_s),
                Rule("frozen"),
                Rule("dark", hold_s, hold_s),
                Rule("bright", hold_s, hold_s),
                Rule("blurred", hold_s, hold_s),
                Rule("dropped", hold_s, hold_s),
            ]
        )
        self._last_s: float | None = None
        self._mark = -1
        self._same, self._same_since_s = 0, 0.0
        self._seen_index: int | None = None
        self._looked_at = self._given = 0

    @property
    def state(self) -> State:
        """What the camera is like now."""
        return self._conditions.state

    def away(self, mono_s: float, detail: str) -> None:
        """Note that the source is not connected."""
        self._conditions.see("away", mono_s, detail)
        self._conditions.see("late", mono_s, seen=False)
        self._last_s = self._seen_index = None
        self._same = 0

    def connected(self, mono_s: float) -> None:
        """Note that the source is connected again; `away` holds until its first picture."""
        self._last_s = mono_s

    def waiting(self, mono_s: float) -> None:
        """Note that a picture is waited for from now on.

        Not from the last one on: a model may take longer for it than a camera may be late.
        """
        if self._last_s is not None:
            self._last_s = mono_s

    def silent(self, mono_s: float) -> None:
        """Note that no picture has come up to now."""
        if self._late_s is None or self._last_s is None:
            return
        late = mono_s - self._last_s >= self._late_s
        detail = f"no picture for {self._late_s:g} s" if late else ""
        self._conditions.see("late", mono_s, detail, seen=late)

    def item(self, item: Item, mono_s: float, utc_ns: int) -> None:  # noqa: ARG002  sensors need it
        """Look at a picture, quickly: it is done for each of them."""
        if not isinstance(item, Frame):
            return
        self._conditions.see("away", mono_s, seen=False)
        self._conditions.see("late", mono_s, seen=False)
        self._last_s = mono_s
        if self._frozen_s is not None:
            self._look_for_repeats(item, mono_s, self._frozen_s)
        self._check_size(item, mono_s)
        self._count_drops(item.index, mono_s)

    def look(self, figures: PictureFigures, usual_sharpness: float | None, mono_s: float) -> None:
        """Look at the figures of a picture; `usual_sharpness` is None where it is not known."""
        see, limits = self._conditions.see, self._limits
        grey, sharpness = figures.brightness, figures.sharpness
        light = f"mean grey value {grey:.0f} of 255"
        see("dark", mono_s, light, seen=grey < limits.dark_below)
        see("bright", mono_s, light, seen=grey > limits.bright_above)
        if sharpness is not None and usual_sharpness is not None:
            detail = f"sharpness {sharpness:.2f}, usually {usual_sharpness:.2f}"
            blurred = sharpness < limits.blurred_below * usual_sharpness
            see("blurred", mono_s, detail, seen=blurred)

    def check(self) -> None:
        """Raise BadInput where pictures are not to be trusted: `camera_dark`, `camera_frozen`..."""
        state = self.state
        if not state.good:
            raise BadInput(f"camera_{state.name}", state.detail)

    def _look_for_repeats(self, frame: Frame, mono_s: float, limit_s: float) -> None:
        now = mark(frame.pixels)
        if now != self._mark:
            self._mark, self._same, self._same_since_s = now, 1, mono_s
        else:
            self._same += 1
        lasted_s = mono_s - self._same_since_s
        frozen = self._same >= SAME_PICTURES and lasted_s >= limit_s
        detail = f"the same picture for {limit_s:g} s"
        self._conditions.see("frozen", mono_s, detail, seen=frozen)

    def _check_size(self, frame: Frame, mono_s: float) -> None:
        height, width = frame.pixels.shape[:2]
        if self._size is None and self._live:
            self._size = (width, height)
        if self._size is None or self._size == (width, height):
            self._conditions.see("wrong_size", mono_s, seen=False)
            return
        detail = f"{width}x{height} pixels, not {self._size[0]}x{self._size[1]}"
        self._conditions.see("wrong_size", mono_s, detail)

    def _count_drops(self, index: int, mono_s: float) -> None:
        if self._limits.dropped_above is None:
            return
        if self._seen_index is None or index <= self._seen_index:
            self._seen_index, self._looked_at, self._given = index, 0, 0
            return
        self._given += index - self._seen_index
        self._looked_at += 1
        self._seen_index = index
        if self._given >= DROPS_OVER:
            share = 1 - self._looked_at / self._given
            detail = f"{share:.0%} of the pictures are overtaken"
            self._conditions.see("dropped", mono_s, detail, seen=share > self._limits.dropped_above)
            self._looked_at = self._given = 0
