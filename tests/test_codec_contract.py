"""What every codec must do: take any verdict, the same way each time, with seq and replay in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import registry
from tests.verdicts import any_verdict, verdict

if TYPE_CHECKING:
    from edge_agent.codecs.base import Codec
    from edge_agent.types import Verdict

CODECS = [registry.plugin("codecs", kind).create() for kind in registry.kinds("codecs")]


@pytest.mark.parametrize("codec", CODECS)
@given(one=any_verdict, seq=st.integers(1, 2**53), replay=st.booleans())
def test_any_verdict_can_be_written_and_gives_the_same_bytes_again(
    codec: Codec, one: Verdict, seq: int, *, replay: bool
) -> None:
    payload = codec.encode(one, device="gw1", seq=seq, replay=replay)
    assert payload
    assert payload == codec.encode(one, device="gw1", seq=seq, replay=replay)


@pytest.mark.parametrize("codec", CODECS)
def test_seq_and_replay_change_the_bytes(codec: Codec) -> None:
    one = verdict(1)
    payloads = {
        codec.encode(one, device="gw1", seq=seq, replay=replay)
        for seq in (1, 2)
        for replay in (False, True)
    }
    assert len(payloads) == 4


@pytest.mark.parametrize("codec", CODECS)
def test_the_content_type_is_a_media_type(codec: Codec) -> None:
    assert codec.content_type.count("/") == 1


def test_json_keeps_the_kind_of_each_number() -> None:
    one = verdict(1, score=70, threshold=70.0, latency_ns=20_000_000, config_rev=3)
    payload = (
        registry.plugin("codecs", "json").create().encode(one, device="gw1", seq=12, replay=False)
    )
    for text in (b'"score":70.0', b'"threshold":70.0', b'"latency_ms":20.0'):
        assert text in payload
    for text in (b'"seq":12,', b'"config_rev":3,', b'"defect_count":0,'):
        assert text in payload


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_json_says_null_for_what_is_no_number(score: float) -> None:
    codec = registry.plugin("codecs", "json").create()
    payload = codec.encode(verdict(1, "error", score=score), device="gw1", seq=1, replay=False)
    assert msgspec.json.decode(payload)["score"] is None


def test_json_names_a_defect_class_for_fails_and_uncertain_parts_only() -> None:
    codec = registry.plugin("codecs", "json").create()
    named = {}
    for outcome in ("pass", "fail", "uncertain", "error"):
        one = verdict(1, outcome, label="scratch")
        tree = msgspec.json.decode(codec.encode(one, device="gw1", seq=1, replay=False))
        named[outcome] = (tree["defect_class"], tree["label"])
    assert named == {
        "pass": ("", "scratch"),
        "fail": ("scratch", "scratch"),
        "uncertain": ("scratch", "scratch"),
        "error": ("", "scratch"),
    }
