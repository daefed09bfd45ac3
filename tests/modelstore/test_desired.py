from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import SyncError
from edge_agent.modelstore import desired
from edge_agent.modelstore.desired import (
    Choice,
    Desired,
    Gateway,
    Match,
    ModelRef,
    Rollout,
    Rule,
    Stage,
)

OLD, NEW = ModelRef("wear", "1.0.0"), ModelRef("wear", "2.0.0")
STAGES = (Stage(1.0), Stage(25.0), Stage(100.0))
HERE = Gateway("gw-1", "plant-7", "line-a", frozenset({"cpu"}), frozenset({"pilot", "night"}))


ROLLOUT = (
    b'{"schema": 1, "epoch": 1, "rules": [{"slot": "a", "rollout": {"id": "r", '
    b'"to": {"model_id": "m", "version": "1"}, %s}}]}'
)


def rolling(**fields: object) -> Rollout:
    """Return a rollout to NEW in three stages."""
    return msgspec.structs.replace(Rollout("r1", NEW, STAGES), **fields)


def document(*rules: Rule) -> Desired:
    return Desired(1, 7, rules)


def test_the_bucket_is_the_one_that_the_format_names() -> None:
    digest = hashlib.sha256(b"r1\0gw-1").digest()
    assert desired.bucket("r1", "gw-1") == int.from_bytes(digest[:8], "big") % 10_000


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_whoever_is_in_a_ring_is_in_all_that_follow(rollout_id: str, device: str) -> None:
    rollout = rolling(id=rollout_id.replace("\0", "-"))
    inside = [
        desired.takes_part(msgspec.structs.replace(rollout, stage=stage), Gateway(device))
        for stage in range(3)
    ]
    assert inside == sorted(inside)
    assert inside[-1]


def test_a_ring_has_about_as_many_gateways_as_it_says() -> None:
    rollout = rolling(stage=1)
    count = sum(desired.takes_part(rollout, Gateway(f"gw-{n}")) for n in range(10_000))
    assert 2350 < count < 2650


def test_by_site_all_gateways_of_a_line_stay_alike() -> None:
    rollout = rolling(unit="site", stage=1)
    for site in ("a", "b", "c", "d", "e", "f"):
        took = {desired.takes_part(rollout, Gateway(f"gw-{n}", site)) for n in range(50)}
        assert len(took) == 1


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(), True),
        (Match(site=("plant-7",)), True),
        (Match(site=("plant-8", "plant-7"), line=("line-a",)), True),
        (Match(site=("plant-8",)), False),
        (Match(line=("line-b",)), False),
        (Match(hw=("edgetpu", "cpu")), True),
        (Match(hw=("edgetpu",)), False),
        (Match(tags=("pilot", "night")), True),
        (Match(tags=("pilot", "day")), False),
    ],
)
def test_a_rule_is_for_gateways_that_meet_all_its_conditions(
    match: Match, *, expected: bool
) -> None:
    assert desired.matches(match, HERE) is expected


def test_the_first_rule_that_matches_counts_and_other_slots_stay_as_they_are() -> None:
    rules = (
        Rule("spindle", Match(site=("elsewhere",)), ModelRef("never", "1")),
        Rule("spindle", Match(line=("line-a",)), OLD),
        Rule("spindle", Match(), NEW),
    )
    assert desired.choices(document(*rules), HERE, {}) == {"spindle": Choice("spindle", OLD)}


def test_a_rollout_at_nought_percent_leaves_the_default_and_at_all_takes_everybody() -> None:
    for pct, model in ((0.0, OLD), (100.0, NEW)):
        rule = Rule("spindle", Match(), OLD, rolling(stages=(Stage(pct),)))
        assert desired.choices(document(rule), HERE, {})["spindle"].model == model


@pytest.mark.parametrize(("running", "stays"), [(OLD, OLD), (NEW, NEW)])
def test_a_halted_rollout_takes_no_further_gateway_and_gives_none_back(
    running: ModelRef, stays: ModelRef
) -> None:
    rule = Rule("spindle", Match(), OLD, rolling(stages=(Stage(100.0),), halted=True))
    chosen = desired.choices(document(rule), HERE, {"spindle": running})
    assert chosen["spindle"].model == stays


def test_a_document_survives_writing_and_reading() -> None:
    rule = Rule("spindle", Match(tags=("pilot",)), OLD, rolling(window="22:00-06:00"))
    assert desired.parse(desired.encode(document(rule))) == document(rule)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"<html>", "malformed"),
        (b'{"schema": 2, "epoch": 1, "rules": []}', "schema"),
        (b'{"schema": 1, "epoch": -1, "rules": []}', "epoch"),
        (b'{"schema": 1, "epoch": 1, "rules": [], "extra": 1}', "extra"),
        (b'{"schema": 1, "epoch": 1, "rules": [{"slot": "a/b"}]}', "slot"),
        (b'{"schema": 1, "epoch": 1, "rules": [{"slot": "a", "match": {"city": []}}]}', "city"),
        (
            ROLLOUT % b'"stages": [{"pct": 1}], "stage": 1',
            "stage",
        ),
        (
            ROLLOUT % b'"stages": [{"pct": 9}, {"pct": 1}]',
            "fewer",
        ),
    ],
)
def test_a_document_that_does_not_follow_the_schema_is_refused_by_its_field(
    content: bytes, named: str
) -> None:
    with pytest.raises(SyncError, match=named) as caught:
        desired.parse(content)
    assert caught.value.code == "bad_document"
