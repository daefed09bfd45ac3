"""How long to wait before trying again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


def full_jitter(base_s: float, cap_s: float, rng: random.Random) -> Iterator[float]:
    """Yield waits in seconds, each random between 0 and a bound that doubles up to `cap_s`.

    A thousand gateways that lost the same broker must not come back in step. Source: M. Brooker,
    "Exponential Backoff And Jitter", 2015 (full jitter).
    """
    bound_s = base_s
    while True:
        yield rng.uniform(0, bound_s)
        bound_s = min(cap_s, bound_s * 2)
