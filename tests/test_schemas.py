"""The published schemas: current, and true of whatever is sent."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import utc_text
from edge_agent.config import Device
from edge_agent.delivery.gaps import Gap
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.outbox_types import Row
from edge_agent.delivery.outgoing import Outgoing
from edge_agent.registry import plugin
from edge_agent.reporting import schemas
from edge_agent.reporting.topics import topics
from edge_agent.types import Verdict  # noqa: TC001  hypothesis reads it at run time
from tests.verdicts import AT_NS, any_verdict, verdict

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
DEVICE = Device(enterprise="acme", site="s1", area="a1", line="l1", cell="c1", name="gw1")
OUTGOING = Outgoing(topics(DEVICE), plugin("codecs", "json").create())


def check(name: str, payload: bytes) -> dict[str, Any]:
    """Validate a payload against the published file; return it as a tree."""
    tree: dict[str, Any] = msgspec.json.decode(payload)
    _validator(name).validate(tree)
    return tree


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = msgspec.json.decode((FOLDER / f"{name}.schema.json").read_bytes())
    return jsonschema.Draft202012Validator(schema)


def test_the_published_files_are_current(tmp_path: Path) -> None:
    schemas.write(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    published = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert published == written, "run: python -m edge_agent.reporting.schemas docs/schemas"


def test_the_examples_in_the_documentation_fit_their_schemas() -> None:
    page = (FOLDER.parent / "mqtt.md").read_text()
    examples = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    check("verdict", examples[0].encode())
    gap = check("gap", examples[1].encode())
    assert gap["count"] == sum(last - first + 1 for first, last in gap["ranges"]) == gap["passes"]
    assert len(examples) == 2


@pytest.mark.parametrize("name", schemas.MESSAGES)
def test_a_published_file_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.schema(name))


@given(one=any_verdict, seq=st.integers(1, 2**53), replay=st.booleans())
def test_any_verdict_fits_its_schema(one: Verdict, seq: int, *, replay: bool) -> None:
    for publish in OUTGOING.verdict(Row(seq, AT_NS, one), replay=replay):
        tree = check("verdict", publish.payload)
        assert (tree["seq"], tree["replay"], tree["verdict"]) == (seq, replay, one.outcome)


@given(one=any_verdict, seq=st.integers(1, 2**53))
def test_any_last_message_fits_its_schema(one: Verdict, seq: int) -> None:
    assert check("last", OUTGOING.last(Row(seq, AT_NS, one)).payload)["seq"] == seq


@given(
    reason=st.sampled_from(["bytes", "age", "memory", "unreadable", "new_file"]),
    exact=st.booleans(),
    counts=st.tuples(*[st.integers(0, 10**6)] * 4),
    ranges=st.lists(st.tuples(st.integers(1, 2**53), st.integers(1, 2**53)), min_size=1),
)
def test_any_gap_record_fits_its_schema(
    reason: Any,
    counts: tuple[int, int, int, int],
    ranges: list[tuple[int, int]],
    *,
    exact: bool,
) -> None:
    tree = check("gap", OUTGOING.gap(1, Gap(reason, exact, AT_NS, *counts, tuple(ranges))).payload)
    assert tree["count"] == sum(counts)
    assert tree["ranges"] == [list(pair) for pair in ranges]


def test_status_fits_its_schema(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=10**6, max_age_s=60)
    assert check("status", OUTGOING.online(outbox).payload)["status"] == "online"
    offline = check("status", OUTGOING.offline("stopped").payload)
    assert (offline["status"], offline["reason"]) == ("offline", "stopped")


def test_a_verdict_is_published_under_the_topics_of_the_design() -> None:
    failed = Row(1, AT_NS, verdict(1, "fail"))
    assert [publish.topic for publish in OUTGOING.verdict(failed, replay=False)] == [
        "acme/s1/a1/l1/c1/edge/gw1/qc/camera/verdict",
        "acme/s1/a1/l1/c1/edge/gw1/qc/camera/defect",
    ]
    machine = Row(1, AT_NS, verdict(1, "fail", family="pdm", pipeline="motor"))
    assert [publish.topic for publish in OUTGOING.verdict(machine, replay=False)] == [
        "acme/s1/a1/l1/c1/edge/gw1/pdm/motor/verdict"
    ]


@pytest.mark.parametrize(
    ("utc_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_767_323_045_678_999_999, "2026-01-02T03:04:05.678Z"),
        (-1, "1970-01-01T00:00:00.000Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854Z"),
        (10**30, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_text_in_utc_with_milliseconds(utc_ns: int, text: str) -> None:
    assert utc_text(utc_ns) == text
