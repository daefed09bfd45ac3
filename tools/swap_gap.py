"""How a pipeline goes over from one model to the next, by its verdicts.

    python -m tools.swap_gap --device ROOT --pipeline NAME [--host HOST] [--port PORT]

listens until the model has changed, and prints the gap between the last verdict of the old model
and the first of the new one. ROOT is what the device's topics begin with.
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


@dataclass(frozen=True, slots=True)
class Swap:
    """Milliseconds. `missing`: part ids that were passed over, where they end in a number."""

    before: str
    after: str
    gap_ms: float
    usual_ms: float
    missing: tuple[int, ...]

    def sentence(self) -> str:
        """Return it for a person."""
        lost = f"{len(self.missing)} parts missing" if self.missing else "no part missing"
        return (
            f"{self.before} -> {self.after}: {self.gap_ms:.0f} ms between the last verdict of the "
            f"old and the first of the new model, {self.usual_ms:.1f} ms is usual; {lost}"
        )


def swap_of(verdicts: Sequence[dict[str, Any]]) -> Swap | None:
    """Return the last change of models in verdict messages, once enough follow; None: none yet."""
    names = [f"{each['model']}@{each['model_version']}" for each in verdicts]
    changes = [i for i in range(1, len(names)) if names[i] != names[i - 1]]
    if not changes or len(names) - changes[-1] < AROUND // 3:
        return None
    at = changes[-1]
    near = list(verdicts)[max(0, at - AROUND) : at + AROUND]
    times_ms = [_ms(each["ts"]) for each in near]
    gaps_ms = [after - before for before, after in itertools.pairwise(times_ms)]
    return Swap(
        names[at - 1],
        names[at],
        _ms(verdicts[at]["ts"]) - _ms(verdicts[at - 1]["ts"]),
        statistics.mean(gaps_ms),
        tuple(
            _missing([each["part_id"] or "" for each in list(verdicts)[max(0, at - 5) : at + 5]])
        ),
    )


def _missing(parts: Sequence[str]) -> Iterator[int]:
    found = [int(match[0]) for part in parts if (match := re.search(r"\d+$", part))]
    for before, after in itertools.pairwise(found):
        yield from range(before + 1, after)


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
