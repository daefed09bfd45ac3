"""How a pipeline goes over from one model to the next, by its verdicts.

    python -m tools.swap_gap --device ROOT --pipeline NAME [--host HOST] [--port PORT]

listens until the model has changed, and prints two things. The interval between the last verdict of
the old model and the first of the new one: it is the time between two frames, and more or less by
what those two waited. And what the swap added: how much later than usual after its frame the first
verdict of the new model came. ROOT is what the device's topics begin with.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import re
import statistics
import sys
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_options import BrokerOptions, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_agent.mqtt.broker_options import Message

AROUND = 30  # verdicts on either side that show what is usual
NEAR = 5  # whose times from frame to verdict are shown


@dataclass(frozen=True, slots=True)
class Swap:
    """Milliseconds. `missing`: part ids that were passed over, where they end in a number.

    `gap_ms`: between the last verdict of the old and the first of the new model; `frames_ms`:
    between their frames; `usual_ms`: the mean of intervals around. `last_ms`, `first_ms`: from
    frame to verdict, of the last of the old and the first of the new.
    """

    before: str
    after: str
    gap_ms: float
    frames_ms: float
    usual_ms: float
    last_ms: tuple[float, ...]
    first_ms: tuple[float, ...]
    missing: tuple[int, ...]

    @property
    def added_ms(self) -> float:
        """What the swap added to the time from frame to verdict, beyond the old model's median."""
        return self.first_ms[0] - statistics.median(self.last_ms)

    def sentence(self) -> str:
        """Return it for a person."""
        lost = f"{len(self.missing)} parts missing" if self.missing else "no part missing"
        return (
            f"{self.before} -> {self.after}: {self.gap_ms:.1f} ms between the last verdict of the "
            f"old and the first of the new model, their frames {self.frames_ms:.1f} ms apart "
            f"({self.usual_ms:.1f} ms is usual); from frame to verdict {_listed(self.last_ms)} ms "
            f"with the old, {_listed(self.first_ms)} ms with the new: the swap added "
            f"{self.added_ms:.1f} ms; {lost}"
        )


def swap_of(verdicts: Sequence[dict[str, Any]]) -> Swap | None:
    """Return the last change of models in verdict messages, once enough follow; None: none yet."""
    names = [f"{each['model']}@{each['model_version']}" for each in verdicts]
    changes = [i for i in range(1, len(names)) if names[i] != names[i - 1]]
    if not changes or len(names) - changes[-1] < AROUND // 3:
        return None
    at = changes[-1]
    near = list(verdicts)[max(0, at - AROUND) : at + AROUND]
    old, new = list(verdicts)[max(0, at - NEAR) : at], list(verdicts)[at : at + NEAR]
    gap_ms = _ms(new[0]["ts"]) - _ms(old[-1]["ts"])
    return Swap(
        names[at - 1],
        names[at],
        gap_ms,
        gap_ms - new[0]["latency_ms"] + old[-1]["latency_ms"],
        (_ms(near[-1]["ts"]) - _ms(near[0]["ts"])) / (len(near) - 1),
        tuple(each["latency_ms"] for each in old),
        tuple(each["latency_ms"] for each in new),
        tuple(_missing([each["part_id"] or "" for each in (*old, *new)])),
    )


def _missing(parts: Sequence[str]) -> Iterator[int]:
    found = [int(match[0]) for part in parts if (match := re.search(r"\d+$", part))]
    for before, after in itertools.pairwise(found):
        yield from range(before + 1, after)


def _listed(times_ms: Sequence[float]) -> str:
    return " ".join(f"{time_ms:.1f}" for time_ms in times_ms)


def _ms(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp() * 1e3


def main() -> int:
    """Listen, print, and return 0 once a model has changed."""
    parser = argparse.ArgumentParser(prog="python -m tools.swap_gap", description=__doc__)
    parser.add_argument("--device", required=True, metavar="ROOT")
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--family", default="qc", choices=("qc", "pdm"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    options = parser.parse_args()
    verdicts: deque[dict[str, Any]] = deque(maxlen=10 * AROUND)
    changed = threading.Event()

    def heard(message: Message) -> None:
        verdicts.append(msgspec.json.decode(message.payload))
        if swap_of(verdicts):
            changed.set()

    topic = f"{options.device.rstrip('/')}/{options.family}/{options.pipeline}/verdict"
    connection = Connection(
        BrokerOptions(host=options.host, port=options.port),
        "swap-gap",
        subscriptions=[Subscription(topic, 1, heard)],
    )
    connection.start()
    changed.wait()
    connection.stop()
    found = swap_of(list(verdicts))
    print(found.sentence() if found else "the model did not change")
    return 0


if __name__ == "__main__":
    sys.exit(main())
