"""The product code that a PLC says on a topic of its own: pipelines go over to its recipe.

Nothing here waits: it runs in the network's thread, and the next part may be the new product's.
What is retained on the topic counts, unlike with commands: it says what the line makes now. After a
reconnect it comes again and means nothing new, so that a person's command of meanwhile holds.

    no alert --code without a recipe, no code--> raised --code with a recipe--> no alert
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from edge_agent.clock import utc_text
from edge_agent.control.recipes import Choice
from edge_agent.errors import BadInput, no_such
from edge_agent.mqtt.broker_options import Subscription
from edge_agent.pointer import resolve
from edge_agent.reporting.messages import AlertMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config import Config, PipelineOptions
    from edge_agent.control.recipes import Recipes
    from edge_agent.line.options import ProductOptions
    from edge_agent.mqtt.broker_options import Message
    from edge_agent.reporting.topics import Topics

log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Raised:
    """An alert that stands, and the message that it is about."""

    id: str
    since_ns: int
    payload: bytes


class Products:
    """Safe to use from any thread. `tell`: publish an alert on a topic."""

    def __init__(
        self, recipes: Recipes, topics: Topics, tell: Callable[[str, AlertMessage], None]
    ) -> None:
        self._recipes = recipes
        self._topics = topics
        self._tell = tell
        self._lock = threading.Lock()
        self._said: dict[str, bytes] = {}
        self._raised: dict[str, _Raised] = {}

    def subscriptions(self, config: Config) -> list[Subscription]:
        """Return what has to be heard for these pipelines."""
        return [
            Subscription(options.product.topic, 1, partial(self._take, name, options))
            for name, options in config.pipelines.items()
            if options.product is not None
        ]

    def configure(self, config: Config) -> None:
        """Go over to another config: it may have the recipe that was missing."""
        with self._lock:
            raised = dict(self._raised)
        for name, alert in raised.items():
            options = config.pipelines.get(name)
            if options is not None and options.product is not None:
                self._follow(name, options, alert.payload)
            elif options is not None:
                self._clear(name, options, "no product topic any more")
            else:
                with self._lock:
                    self._raised.pop(name, None)

    def _take(self, name: str, options: PipelineOptions, message: Message) -> None:
        if not message.payload:
            return  # the retained message was taken away: the line says nothing
        with self._lock:
            known = self._said.get(name) == message.payload
            self._said[name] = message.payload
        if not (known and message.retain):
            self._follow(name, options, message.payload)

    def _follow(self, name: str, options: PipelineOptions, payload: bytes) -> None:
        if options.product is None:
            return
        try:
            code = _recipe(_code(payload, options.product), options)
        except BadInput as error:
            self._raise(name, options, payload, error.detail)
            return
        self._recipes.choose(name, Choice(code, options.recipe))
        self._clear(name, options, f"the line makes what recipe {code or '(own)'} is for")

    def _raise(self, name: str, options: PipelineOptions, payload: bytes, why: str) -> None:
        now_ns = time.time_ns()
        raised = _Raised(str(uuid.uuid4()), now_ns, payload)
        with self._lock:
            before = self._raised.get(name)
            if before is not None and before.payload == payload:
                return
            self._raised[name] = raised
        if before is not None:
            self._alert(name, options, before, "another code was said", now_ns)
        log.warning("%s: product: %s", name, why)
        self._alert(name, options, raised, why)

    def _clear(self, name: str, options: PipelineOptions, why: str) -> None:
        with self._lock:
            raised = self._raised.pop(name, None)
        if raised is not None:
            log.info("%s: product: %s", name, why)
            self._alert(name, options, raised, why, time.time_ns())

    def _alert(
        self,
        name: str,
        options: PipelineOptions,
        raised: _Raised,
        message: str,
        cleared_ns: int | None = None,
    ) -> None:
        alert = AlertMessage(
            ts=utc_text(cleared_ns or raised.since_ns),
            device=self._topics.device,
            pipeline=name,
            id=raised.id,
            kind="product",
            alert="raised" if cleared_ns is None else "cleared",
            message=message,
            raised_ts=utc_text(raised.since_ns),
            cleared_ts=None if cleared_ns is None else utc_text(cleared_ns),
        )
        self._tell(self._topics.alerts(options.family, name), alert)


def _code(payload: bytes, product: ProductOptions) -> str:
    """Return the product code in a payload. Raises BadInput where there is none."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadInput("product", f"{len(payload)} bytes on {product.topic}: no product code")
    if not product.code:
        return _stripped(payload, product)
    try:
        found = resolve(msgspec.json.decode(payload), product.code)
    except (msgspec.DecodeError, KeyError, RecursionError):
        raise BadInput("product", f"no product code at {product.code}") from None
    if isinstance(found, bool) or not isinstance(found, str | int):
        text = f"what is at {product.code} is neither text nor a whole number"
        raise BadInput("product", text)
    return _stripped(str(found).encode(), product)


def _stripped(text: bytes, product: ProductOptions) -> str:
    """Return a code without the blanks and zero bytes that PLCs fill their strings up with."""
    try:
        return text.decode().strip("\0 \t\r\n")
    except UnicodeDecodeError:
        raise BadInput("product", f"what is said on {product.topic} is no text") from None


def _recipe(said: str, options: PipelineOptions) -> str:
    """Return the recipe of a product code, "" for the pipeline's own model. Raises BadInput."""
    codes = options.product.codes if options.product else {}
    if said in codes:
        return codes[said]
    if said in options.recipes:
        return said
    known = [*codes, *(name for name in options.recipes if name not in codes)]
    raise BadInput("product", f"{no_such('product code', said, known)}; nothing is changed")
