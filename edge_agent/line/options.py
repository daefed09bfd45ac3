"""What a line tells a pipeline over MQTT: when to inspect, and which product it makes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edge_agent import pointer
from edge_agent.options import StrictOptions, Topic


class TriggerOptions(StrictOptions):
    """Inspect only when asked: each message on `topic` is answered by exactly one verdict.

    One that comes while the agent is down or away from the broker is not heard: whoever asks needs
    a time limit of their own.
    """

    topic: Topic
    part_id: str = ""
    """JSON pointer to the part id in the message; "" takes the whole message as the part id."""
    deadline_ms: Annotated[float, Field(ge=1, le=600_000)]
    """After this time without a result the answer is an `error` verdict."""
    lookback_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """A picture that came up to this long before the trigger may answer it. Pictures over MQTT
    and triggers may overtake each other on their ways: give them some 50 ms."""


class ProductOptions(StrictOptions):
    """Where the line says which product it makes: the pipeline goes over to its recipe."""

    topic: Topic
    """Of the PLC, or of whoever else knows; what is retained there counts."""
    code: str = ""
    """JSON pointer to the product code in the message; "" takes the whole message as the code."""
    codes: dict[str, str] = Field(default_factory=dict, max_length=1024)
    """Recipes by product code, where the code is not the recipe's name itself; "" stands for the
    pipeline's own model and rule."""

    @model_validator(mode="after")
    def _code_is_a_pointer(self) -> ProductOptions:
        pointer.parse(self.code)
        return self
