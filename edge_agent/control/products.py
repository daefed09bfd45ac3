"""The product code that a PLC says on a topic of its own: pipelines go over to its recipe.

Nothing here waits: it runs in the network's thread, and the next part may be the new product's.
What is retained on the topic counts, unlike with commands: it says what the line makes now. After a
reconnect it comes again and means nothing new, so that a person's command of meanwhile holds; after
a restart of the agent it is news.

    no alert --code without a recipe, no code--> raised --code with a recipe--> no alert
    raised --another such code--> cleared, and another raised
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edge_agent.control.recipes import Choice
from edge_agent.errors import BadInput, no_such
from edge_agent.mqtt.broker_options import Subscription
from edge_agent.pointer import resolve
from edge_agent.reporting.alerts import Said
from edge_agent.reporting.subjects import Subject

if TYPE_CHECKING:
    from edge_agent.config import Config, PipelineOptions
    from edge_agent.control.recipes import Recipes
    from edge_agent.line.options import ProductOptions
    from edge_agent.mqtt.broker_options import Message
    from edge_agent.reporting.alerts import Alerts

log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 64 * 1024


class Products:
    """Safe to use from any thread."""

    def __init__(self, recipes: Recipes, alerts: Alerts) -> None:
        self._recipes = recipes
        self._alerts = alerts
        self._lock = threading.Lock()
        self._said: dict[str, tuple[str, bytes]] = {}  # by pipeline: on which topic, and what
        # What that meant when it was followed. A config that gives it the same meaning moves
        # nothing: a person may have chosen otherwise since.
        self._meant: dict[str, _Meaning] = {}

    def subscriptions(self, config: Config) -> list[Subscription]:
        """Return what has to be heard for these pipelines."""
        return [
            Subscription(options.product.topic, 1, partial(self._take, name, options))
            for name, options in config.pipelines.items()
            if options.product is not None
        ]

    def configure(self, config: Config) -> None:
        """Go over to another config: it may understand what was said in another way.

        What one pipeline heard on a topic holds for all that listen to it from now on: the broker
        does not say it again for them.
        """
        with self._lock:
            before, on_topic = self._said, dict(self._said.values())
            topics = {name: _topic(config, name) for name in config.pipelines}
            self._said = {
                name: (topic, on_topic[topic])
                for name, topic in topics.items()
                if topic is not None and topic in on_topic
            }
            # Another one may not have come to the newest word yet: each keeps its own.
            self._said |= {
                name: heard for name, heard in before.items() if topics.get(name) == heard[0]
            }
            said = dict(self._said)
        for name in self._meant.keys() - said.keys():
            del self._meant[name]
        for name, (_, payload) in said.items():
            options = config.pipelines[name]
            if self._meant.get(name) != _meaning(payload, options):
                self._follow(name, options, payload)
        for name in before.keys() & config.pipelines.keys() - said.keys():
            subject = _subject(name, config.pipelines[name])
            self._alerts.clear(subject, Said("nothing was said on the topic of now"))

    def _take(self, name: str, options: PipelineOptions, message: Message) -> None:
        if not message.payload:
            return  # the retained message was taken away: the line says nothing
        heard = (options.product.topic if options.product else "", message.payload)
        with self._lock:
            known = self._said.get(name) == heard
            self._said[name] = heard
        if not (known and message.retain):
            self._follow(name, options, message.payload)

    def _follow(self, name: str, options: PipelineOptions, payload: bytes) -> None:
        subject = _subject(name, options)
        meaning = self._meant[name] = _meaning(payload, options)
        if meaning.trouble:
            stands = self._alerts.stands(subject)
            if stands is None or stands.message != meaning.trouble:
                self._alerts.clear(subject, Said("another code was said"))
            if self._alerts.raise_(subject, Said(meaning.trouble)):
                log.warning("%s: product: %s", name, meaning.trouble)
            return
        self._recipes.choose(name, Choice(meaning.recipe, options.recipe))
        why = f"the line makes what recipe {meaning.recipe or '(own)'} is for"
        if self._alerts.clear(subject, Said(why)):
            log.info("%s: product: %s", name, why)


class _Meaning(NamedTuple):
    """The recipe that was said, "" for the pipeline's own model; or why it was none."""

    recipe: str = ""
    trouble: str = ""


def _meaning(payload: bytes, options: PipelineOptions) -> _Meaning:
    if options.product is None:
        return _Meaning(trouble="the pipeline listens to no product code")
    try:
        return _Meaning(recipe=_recipe(_code(payload, options.product), options))
    except BadInput as error:
        return _Meaning(trouble=error.detail)


def _topic(config: Config, name: str) -> str | None:
    options = config.pipelines.get(name)
    return options.product.topic if options and options.product else None


def _subject(name: str, options: PipelineOptions) -> Subject:
    return Subject(options.family, name, "product")


def _code(payload: bytes, product: ProductOptions) -> str:
    """Return the product code in a payload. Raises BadInput where there is none."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadInput("product", f"{len(payload)} bytes on {product.topic}: no product code")
    if not product.code:
        return _stripped(payload, product)
    try:
        tree = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        raise BadInput("product", f"what is said on {product.topic} is not JSON") from None
    try:
        found = resolve(tree, product.code)
    except KeyError:
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
    raise BadInput("product", f"{no_such('product code', said, known)}; it changes nothing")
