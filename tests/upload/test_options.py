"""Where pictures go is said on the gateway alone."""

from __future__ import annotations

import pytest

from edge_agent.config import Config, parse_tree
from edge_agent.control.candidates import candidate, tree_of
from edge_agent.errors import ConfigError
from tests.agents import DEVICE

UPLOAD = {"url": "https://label.example/", "picture": "crop"}


def test_over_mqtt_nobody_begins_an_upload_or_sends_it_elsewhere() -> None:
    without = parse_tree({"device": DEVICE, "pipelines": {}})
    with_one = parse_tree({"device": DEVICE, "pipelines": {}, "upload": UPLOAD})
    for current, wanted in (
        (without, UPLOAD),
        (with_one, UPLOAD | {"url": "https://thief.example/"}),
        (with_one, UPLOAD | {"picture": "whole"}),
        (with_one, UPLOAD | {"outcomes": ["pass", "fail"]}),
    ):
        with pytest.raises(ConfigError, match="/upload"):
            candidate(tree_of(current) | {"upload": wanted}, current)
    assert candidate(tree_of(with_one), with_one) == with_one


def test_it_is_off_unless_the_config_has_it() -> None:
    assert Config.model_fields["upload"].default is None
