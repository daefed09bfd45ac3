"""What runs a pipeline's model at this moment, and why it is not what the config asks for."""

from __future__ import annotations

import msgspec


class AccelerationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for and what there is, both as AcceleratorOptions.name.

    `effective`: "cpu" without it, and "none" where the config says to answer with `error` then.
    `reason`: "" while it runs; "starting" before the first try has ended; then errors.Trouble, with
    a sentence in `detail`. `since_ns`: when `effective` became what it is, UTC. `share`: of the
    model's operators, how many it runs, 0..1; None: not known, or it does not run.
    """

    requested: str
    effective: str
    reason: str
    detail: str
    since_ns: int
    share: float | None = None

    @property
    def is_effective(self) -> bool:
        """Whether the model runs on what was asked for."""
        return self.requested == self.effective
