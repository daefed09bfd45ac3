"""What of a sensor source's options cannot work together is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.errors import ConfigError
from edge_agent.sources.mqtt_sensor import Options
from tests.sources import create, source_context, window_shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either channels or columns"),
        ({"topic": "t", "channels": {"x": {}}, "columns": ["x"]}, "either channels or columns"),
        ({"channels": {"x": {}}}, "topic must be given"),
        ({"columns": ["x"]}, "topic must be given"),
        ({"topic": "t/#", "columns": ["x"]}, "topic"),
        ({"topic": "t", "channels": {"x": {}, "y": {}}}, "same topic and pointer"),
        ({"topic": "t", "columns": ["x", "x"]}, "same name"),
        ({"topic": "t", "channels": {"x": {"pointer": "x"}}}, "JSON pointer begins with /"),
        ({"topic": "t", "channels": {"x": {}}, "clock": "event"}, "belong together"),
        ({"topic": "t", "channels": {"x": {}}, "time": "/t"}, "belong together"),
        (
            {"topic": "t", "columns": ["x"], "format": "float32", "part_id": "/u"},
            "no place for time, part_id",
        ),
        (
            {"format": "float32", "channels": {"x": {"topic": "t", "pointer": "/x"}}},
            "no place for time, part_id",
        ),
        (
            {"channels": {"x": {"topic": "a"}, "y": {"topic": "b"}}, "clock": "index"},
            "need all channels on one topic",
        ),
        (
            {"channels": {"x": {"topic": "a"}, "y": {"topic": "b"}}, "part_id": "/u"},
            "need all channels on one topic",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options.model_validate_json(json.dumps({"kind": "mqtt_sensor", **options}))


def test_a_channel_that_the_model_wants_and_nobody_brings_is_named() -> None:
    context = source_context(window=window_shape("x", "rpm"))
    with pytest.raises(ConfigError, match="the model takes rpm; there are x") as error:
        create(context, kind="mqtt_sensor", topic="t", channels={"x": {}})
    assert error.value.fields[0].path == "/source/channels"


def test_a_model_of_pictures_is_refused() -> None:
    with pytest.raises(ConfigError, match="the model takes pictures"):
        create(source_context(), kind="mqtt_sensor", topic="t", channels={"x": {}})
