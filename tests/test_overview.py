"""The live view's picture of what was heard, from the very messages that the agent publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.commands.overview import TOPICS_BELOW, GatewaySeen, Overview, number
from edge_agent.reporting import messages
from edge_agent.reporting.gap_message import GapMessage
from edge_agent.reporting.topics import Topics

if TYPE_CHECKING:
    from edge_agent.commands.overview import Event, PipelineSeen
    from edge_agent.types import Outcome

TOPICS = Topics("acme/oslo/hall1/line2/press3/edge/gw1", "gw1")
NOW = "2026-11-22T18:00:00.000Z"
GAP = GapMessage(
    ts=NOW,
    device="gw1",
    id="1",
    reason="bytes",
    exact=True,
    first_seq=1,
    last_seq=9,
    count=9,
    passes=9,
    fails=0,
    uncertain=0,
    errors=0,
    ranges=[(1, 9)],
)


def verdict(seq: int, outcome: Outcome = "pass", **fields: object) -> bytes:
    message = messages.VerdictMessage(
        id=f"id-{seq}",
        seq=seq,
        ts=NOW,
        device="gw1",
        pipeline="surface",
        part_id=None,
        verdict=outcome,
        score=0.25,
        threshold=0.5,
        unit="",
        label="good",
        defect_class="",
        defect_count=0,
        model="m",
        model_version="1",
        model_sha256="0" * 64,
        config_rev=1,
        capture_ts=NOW,
        latency_ms=12.0,
        accelerator="cpu",
        reason="",
        evidence="",
        replay=False,
        defects=[],
    )
    return messages.encode(msgspec.structs.replace(message, **fields))


def stats(state: str, passes: int = 0, fails: int = 0) -> bytes:
    return messages.encode(
        messages.StatsMessage(
            ts=NOW,
            device="gw1",
            pipeline="surface",
            family="qc",
            state=state,
            detail="" if state == "running" else "camera 0: unplugged",
            rate_hz=1.0,
            p50_ms=1.0,
            p99_ms=2.0,
            items=passes + fails,
            passes=passes,
            fails=fails,
            uncertain=0,
            errors=0,
        )
    )


class Heard:
    """An overview that hears the pipeline `surface` of gateway gw1."""

    def __init__(self) -> None:
        self.overview = Overview()

    def verdict(
        self, seq: int, outcome: Outcome = "pass", mono_s: float = 0.0, **fields: object
    ) -> Event | None:
        topic = TOPICS.verdict("qc", "surface")
        return self.overview.take(topic, verdict(seq, outcome, **fields), mono_s)

    @property
    def pipeline(self) -> PipelineSeen:
        (pipeline,) = self.overview.pipelines.values()
        return pipeline

    @property
    def gateway(self) -> GatewaySeen:
        (gateway,) = self.overview.gateways.values()
        return gateway


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_a_verdict_counts_with_its_score_rate_and_latency(heard: Heard) -> None:
    for seq in range(1, 41):
        heard.verdict(seq, mono_s=seq / 4, latency_ms=float(seq))
    seen = heard.pipeline
    assert seen.outcomes == {"pass": 40}
    assert seen.rate_hz(10.0) == pytest.approx(4.0)
    assert (seen.latency_ms(0.5), seen.latency_ms(0.99)) == (21.0, 40.0)
    assert seen.scores[-1] == (0.25, "pass")


def test_a_stalled_pipeline_has_no_rate_a_few_seconds_later(heard: Heard) -> None:
    for seq in range(1, 21):
        heard.verdict(seq, mono_s=seq / 4)
    assert heard.pipeline.rate_hz(5.0) == pytest.approx(4.0, rel=0.1)
    assert heard.pipeline.rate_hz(11.0) == 0.0


def test_a_repeat_after_a_restart_counts_once(heard: Heard) -> None:
    heard.verdict(1)
    heard.verdict(2)
    heard.verdict(2, replay=True)
    assert heard.pipeline.outcomes["pass"] == 2
    assert (heard.gateway.received, heard.gateway.missing) == (2, 0)


def test_a_hole_in_the_sequence_is_missing_until_it_is_filled(heard: Heard) -> None:
    for seq in (10, 11, 14, 12):
        heard.verdict(seq)
    assert heard.gateway.missing == 1
    heard.verdict(13, replay=True)
    assert heard.gateway.missing == 0


def test_a_replayed_verdict_says_nothing_of_the_rate_and_latency_of_now(heard: Heard) -> None:
    event = heard.verdict(1, replay=True, latency_ms=9e6)
    assert event is not None
    assert event.text.endswith("replayed")
    assert heard.pipeline.latency_ms(0.5) is None
    assert heard.pipeline.rate_hz(1.0) == 0.0


@pytest.mark.parametrize(
    ("outcome", "fields", "text"),
    [
        ("pass", {}, "0.25 (limit 0.5)  good  12.0 ms"),
        (
            "fail",
            {"defect_class": "dent", "defect_count": 2, "part_id": "P7"},
            "0.25 (limit 0.5)  dent x2  part P7  12.0 ms",
        ),
        (
            "pass",
            {"score": 87.44, "unit": "cycles", "label": ""},
            "87.4 cycles (limit 0.5)  12.0 ms",
        ),
        ("error", {"reason": "truncated: 3 bytes", "score": None}, "truncated: 3 bytes  12.0 ms"),
    ],
)
def test_a_line_of_the_log_says_why(
    heard: Heard, outcome: Outcome, fields: dict[str, Any], text: str
) -> None:
    event = heard.verdict(1, outcome, **fields)
    assert event is not None
    assert (event.subject, event.outcome, event.text) == ("surface", outcome, text)


def test_a_fast_pipeline_has_one_line_a_second_and_one_for_each_slow_change(heard: Heard) -> None:
    events = [heard.verdict(seq, mono_s=seq / 100) for seq in range(1, 301)]
    assert sum(event is not None for event in events) == 3
    changed = heard.verdict(301, "fail", mono_s=3.3)
    assert changed is not None
    flickering = [
        heard.verdict(seq, "fail" if seq % 2 else "pass", mono_s=3.3 + (seq - 301) / 100)
        for seq in range(302, 402)
    ]
    assert sum(event is not None for event in flickering) <= 4


def test_totals_and_state_are_those_of_the_agent(heard: Heard) -> None:
    topic = TOPICS.stats("qc", "surface")
    first = heard.overview.take(topic, stats("running", passes=90, fails=10), 0.0)
    heard.verdict(101, "fail")
    assert (heard.pipeline.outcomes["pass"], heard.pipeline.outcomes["fail"]) == (90, 11)
    again = heard.overview.take(topic, stats("running", passes=90, fails=11), 1.0)
    trouble = heard.overview.take(topic, stats("waiting"), 2.0)
    assert [event.text if event else None for event in (first, again, trouble)] == [
        "running",
        None,
        "waiting: camera 0: unplugged",
    ]


def test_numbers_that_a_crash_left_out_are_no_hole_and_what_is_missing_beside_them_is(
    heard: Heard,
) -> None:
    for seq in (7, 8, 9, 2001, 2002):
        heard.verdict(seq)
    assert heard.gateway.missing == 2000 - 9
    left_out = msgspec.structs.replace(
        GAP, reason="crash", exact=False, first_seq=5, last_seq=2000, count=0, ranges=[(5, 2000)]
    )
    for _ in range(2):  # it may come again
        event = heard.overview.take(TOPICS.gap, messages.encode(left_out), 0.0)
    assert event is not None
    assert event.text == "of the numbers 5 to 2000 some went to no verdict: crash"
    assert heard.gateway.missing == 0
    for seq in (10, 2004):  # one was in the outbox; 2003 is a hole
        heard.verdict(seq)
    assert heard.gateway.missing == 1


def test_status_info_alerts_and_gaps_are_told(heard: Heard) -> None:
    status = messages.StatusMessage(
        ts=NOW, device="gw1", status="online", started_ts=NOW, outbox_depth=7, outbox_age_s=1.5
    )
    gone = msgspec.structs.replace(status, status="offline", reason="connection lost")
    alert = messages.AlertMessage(
        ts=NOW,
        device="gw1",
        pipeline="motor",
        id="1",
        alert="raised",
        message="outer race",
        raised_ts=NOW,
    )
    told = [
        heard.overview.take(topic, messages.encode(message), 0.0)
        for topic, message in [
            (TOPICS.status, status),
            (TOPICS.status, status),
            (TOPICS.status, gone),
            (TOPICS.alerts("pdm", "motor"), alert),
            (TOPICS.gap, GAP),
        ]
    ]
    assert (heard.gateway.outbox_depth, heard.gateway.outbox_age_s) == (7, 1.5)
    assert [f"{event.subject}: {event.text}" if event else None for event in told] == [
        "gw1: online",
        None,
        "gw1: offline: connection lost",
        "motor: alert raised: outer race",
        "gw1: 9 verdicts will never come: bytes",
    ]


def test_two_gateways_are_told_apart() -> None:
    overview = Overview()
    for device in ("gw1", "gw2"):
        topics = Topics(f"acme/oslo/hall1/line2/press3/edge/{device}", device)
        overview.take(topics.verdict("qc", "surface"), verdict(1), 0.0)
    assert [gateway.missing for gateway in overview.gateways.values()] == [0, 0]
    assert len(overview.pipelines) == 2
    # The first spoke before there was another.
    assert [event.subject for event in overview.events] == ["surface", "gw2 surface"]


@given(
    below=st.sampled_from([topic.replace("+", "surface") for topic in TOPICS_BELOW]),
    payload=st.binary(max_size=64)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=5,
    ).map(msgspec.json.encode),
)
def test_what_is_no_message_of_an_agent_is_counted_and_never_raised(
    below: str, payload: bytes
) -> None:
    overview = Overview()
    overview.take(f"{TOPICS.root}/{below}", payload, 0.0)
    assert overview.unreadable == 1
    assert not overview.events


def test_numbers_keep_three_digits() -> None:
    assert [number(value) for value in (None, 0.0, 0.02345, 87.44, 1234.5)] == [
        "-",
        "0",
        "0.0234",
        "87.4",
        "1234",
    ]
