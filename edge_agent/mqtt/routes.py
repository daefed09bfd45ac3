"""Which handlers take a message: topics and wildcards of a connection's subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_agent.mqtt.broker_options import Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.mqtt.broker_options import Subscription

Handlers = tuple[Callable[[Message], None], ...]

# Topics whose handlers are remembered: a wildcard may match without end.
REMEMBERED_MOST = 4096


class Routes:
    """The subscriptions of one connection; one thread uses it, another may replace them."""

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._by_pattern: dict[str, tuple[int, Handlers]] = {}
        self._remembered: dict[str, Handlers] = {}
        self._refused: set[str] = set()
        self.replace(subscriptions)

    def replace(
        self, subscriptions: Iterable[Subscription]
    ) -> tuple[list[str], list[tuple[str, int]]]:
        """Take these instead; return the patterns to unsubscribe from, and those to subscribe to.

        A pattern that stays is in neither: asking for it again would bring its retained messages.
        """
        by_pattern: dict[str, tuple[int, Handlers]] = {}
        for each in subscriptions:
            qos, handlers = by_pattern.get(each.topic, (0, ()))
            by_pattern[each.topic] = (max(qos, each.qos), (*handlers, each.handler))
        before = self.patterns()
        self._by_pattern, self._remembered = by_pattern, {}
        gone = [pattern for pattern, _ in before if pattern not in by_pattern]
        return gone, [asked for asked in self.patterns() if asked not in before]

    def patterns(self) -> list[tuple[str, int]]:
        """Return each pattern once, with the highest quality of service asked for."""
        return [(pattern, qos) for pattern, (qos, _) in self._by_pattern.items()]

    def answered(self, asked: Iterable[tuple[str, int]], granted: Iterable[bool]) -> None:
        """Note which of the patterns that were asked for the broker lets us receive."""
        for (pattern, _), is_granted in zip(asked, granted, strict=True):
            (self._refused.discard if is_granted else self._refused.add)(pattern)

    @property
    def refused(self) -> str:
        """What the broker does not let us receive and somebody here wants, in words; or ""."""
        patterns = sorted(self._refused & self._by_pattern.keys())
        return f"not allowed to subscribe to {', '.join(patterns)}" if patterns else ""

    def handlers(self, topic: str) -> Handlers:
        """Return who takes messages on `topic`, in the order of the subscriptions."""
        handlers = self._remembered.get(topic)
        if handlers is None:
            if len(self._remembered) >= REMEMBERED_MOST:
                self._remembered.clear()
            handlers = self._remembered[topic] = tuple(
                handler
                for pattern, (_, taking) in self._by_pattern.items()
                if matches(pattern, topic)
                for handler in taking
            )
        return handlers


def matches(pattern: str, topic: str) -> bool:
    """Say whether `pattern` with wildcards covers `topic` (MQTT 5.0, 4.7)."""
    if topic.startswith("$") and pattern[0] in "#+":
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        want in ("+", level) for want, level in zip(wanted, levels, strict=True)
    )
