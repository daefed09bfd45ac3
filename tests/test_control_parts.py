"""The parts of control without a broker: trees, the table, trials, the ledger, requests."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.control import candidates, machine, trees, trial
from edge_agent.control.ledger import FILE, Answered, InForce, Ledger, OnTrial, Revision, in_force
from edge_agent.control.requests import ConfigRequest, Refused, one_change, read, tree_of
from edge_agent.errors import ConfigError
from edge_agent.reporting.standing import Standing
from tests.test_config import good, parse

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2)
json_trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/~"), inner, max_size=3)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.text("abc", max_size=2), json_trees, max_size=3)


@pytest.mark.parametrize(
    ("tree", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_does_what_its_standard_says(tree: Any, patch: Any, result: Any) -> None:
    assert trees.merged(tree, patch) == result


@given(before=objects, after=objects)
def test_trees_differ_exactly_where_changes_says(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    found = list(trees.changes(before, after))
    assert bool(found) == (json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True))


@given(tree=objects)
def test_what_is_masked_and_sent_back_is_as_it_was(tree: dict[str, Any]) -> None:
    secrets = {"password": "p", "url": "rtsp://u:pw@host/x?token=t&a=b", "more": tree}
    shown = trees.masked(secrets)
    assert shown["password"] == "***"
    assert shown["url"] == "rtsp://u:***@host/x?token=***&a=b"
    assert trees.unmasked(shown, secrets) == secrets


def test_a_tree_without_end_is_too_deep() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert trees.too_deep(deep)
    assert not trees.too_deep(good())


def test_every_change_ends_steady_whatever_happens() -> None:
    states = {state for state, _ in machine.TABLE} | {s.state for s in machine.TABLE.values()}
    for state in states - {"steady"}:
        ways_out = {step.state for (at, _), step in machine.TABLE.items() if at == state}
        assert "steady" in ways_out
    assert machine.step("steady", "confirmed") is None
    actions = {event: s.action for (_, event), s in machine.TABLE.items() if s.state == "steady"}
    assert actions == {
        "healthy": "commit",
        "confirmed": "commit",
        "failed": "roll_back",
        "expired": "roll_back",
        "started": "roll_back",
        "reloaded": "adopt",
    }


def on_trial(**excused: str) -> trial.Trial:
    return trial.Trial(2, ("a",), frozenset(excused), {"a": 1})


@pytest.mark.parametrize(
    ("standing", "finding"),
    [
        (Standing("running", "", 1, 2), "well"),
        (Standing("ended", "", 1, 2), "well"),
        (Standing("running", "", 1, 1), "pending"),  # the report is of the config before
        (Standing("loading", "", 1, 2), "pending"),
        (Standing("waiting", "unplugged", 1, 2), "pending"),
        (Standing("failed", "no model", 1, 2), "failed"),
        (Standing("degraded", "bug", 1, 2), "failed"),
        (Standing("running", "", 2, 2), "failed"),  # its worker died since
        (Standing("running", "", 1, 2, items=3, errors=3), "pending"),
        (Standing("running", "", 1, 2, items=3, errors=2), "well"),
        (None, "pending"),
    ],
)
def test_a_trial_is_judged_by_what_its_pipelines_do(
    standing: Standing | None, finding: str
) -> None:
    seen = {"a": standing} if standing is not None else {}
    assert on_trial().judge(seen).finding == finding


def test_a_camera_that_was_away_before_need_not_be_there() -> None:
    away = Standing("waiting", "", 1, 2)
    assert on_trial(a="").judge({"a": away}).finding == "well"
    # As one says that is built anew: an error verdict tells of it, and there was no item.
    told = replace(away, items=1, errors=1)
    assert on_trial(a="").judge({"a": told}).finding == "well"
    assert on_trial().judge({"a": told}).finding == "pending"


# ---------------------------------------------------------------------- the ledger


def config() -> Config:
    return parse(good())


def changed(rev: int = 2) -> InForce:
    tree = good()
    tree["pipelines"]["camera-1"]["threads"] = 2
    return InForce(rev, parse(tree), tree)


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, config())
    assert (ledger.good.rev, ledger.document.source) == (1, "file")
    found = changed()
    ledger.begin(OnTrial(Revision(2, found.tree), "id", "answers"))
    ledger.commit(found)
    answered = {"id": Answered(b"answer", "request", 1.0)}
    ledger.note_answers(answered)
    again = Ledger(tmp_path, config())
    assert (again.good.rev, again.good.tree) == (2, found.tree)
    assert again.document.answered == answered
    assert again.interrupted is None


def test_a_trial_that_was_cut_short_is_found_and_its_number_is_not_given_again(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path, config())
    ledger.refused("an earlier one was wrong")
    ledger.begin(OnTrial(Revision(2, changed().tree), "id", "answers", b"c"))
    assert ledger.document.last_error == "", "that is not said of the one on trial"
    again = Ledger(tmp_path, config())
    assert again.good.rev == 1
    assert again.interrupted is not None
    assert again.interrupted.correlation == b"c"
    again.roll_back("why")
    assert Ledger(tmp_path, config()).interrupted is None
    assert Ledger(tmp_path, config()).document.highest_rev == 2


def test_the_number_of_a_first_start_is_given_to_no_other_config(tmp_path: Path) -> None:
    assert Ledger(tmp_path, config()).good.rev == 1
    assert Ledger(tmp_path, config()).good.rev == 1
    assert Ledger(tmp_path, changed().config).good.rev == 2


def test_a_trial_that_was_cut_short_is_told_also_where_the_file_has_changed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, config())
    ledger.begin(OnTrial(Revision(2, changed().tree), "id", "answers"))
    again = Ledger(tmp_path, parse(good() | {"stats_every_s": 7.0}))
    assert (again.good.rev, again.good.config.stats_every_s) == (3, 7.0)
    assert again.interrupted is not None
    again.adopt(parse(good() | {"stats_every_s": 8.0}))  # read again before it could be told
    assert again.interrupted is not None
    assert Ledger(tmp_path, again.file_config).interrupted is not None
    again.roll_back("told")
    again.adopt(config())
    assert Ledger(tmp_path, config()).interrupted is None


def test_a_file_that_changed_is_in_force_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, config())
    ledger.commit(changed())
    assert in_force(tmp_path.parent / "none", config()).startswith("a start begins with this file")
    tree = good()
    tree["stats_every_s"] = 7.0
    again = Ledger(tmp_path, parse(tree))
    assert (again.good.config.stats_every_s, again.document.source) == (7.0, "file")
    assert again.good.rev == 3


def test_check_says_which_config_is_in_force(tmp_path: Path) -> None:
    Ledger(tmp_path / "config", config()).commit(changed())
    assert in_force(tmp_path, config()).startswith("revision 2 is in force")
    other = "a start begins with this file, not with what the agent ran last"
    assert in_force(tmp_path, changed().config) == f"{other}; what came over MQTT is dropped then"
    Ledger(tmp_path / "config", changed().config)
    assert in_force(tmp_path, config()) == other
    assert in_force(tmp_path, changed().config).startswith("this file is in force")


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 1}', b"\x00" * 100])
def test_a_damaged_file_costs_the_changes_and_not_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert Ledger(tmp_path, config()).good.config == config()


def test_a_kept_config_that_is_no_longer_valid_gives_way_to_the_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, config())
    bad = InForce(2, config(), good() | {"no_such_field": 1})
    ledger.commit(bad)
    again = Ledger(tmp_path, config())
    assert again.good.config == config()
    assert "no_such_field" in again.document.last_error


def test_a_write_that_ends_anywhere_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """A child writes change after change and is killed: what is there is always whole."""
    for delay in range(8):
        child = os.fork()
        if child == 0:
            ledger = Ledger(tmp_path, config())
            for rev in range(2, 10_000):
                ledger.commit(changed(rev))
            os._exit(0)
        # At first it holds what the file says; then one change after the other.
        while not (tmp_path / FILE).exists() or b'"mqtt"' not in (tmp_path / FILE).read_bytes():
            pass
        while delay and os.times().elapsed % 1 < delay / 100:
            pass
        os.kill(child, 9)
        os.waitpid(child, 0)
        found = Ledger(tmp_path, config())
        assert found.good.tree == changed().tree
        assert found.document.last_error == ""


# ---------------------------------------------------------------------- candidates, requests


def test_what_says_who_the_agent_is_cannot_be_changed_from_afar() -> None:
    tree = good() | {"broker": {"host": "elsewhere", "keepalive_s": 5}, "outbox": {"max_mb": 1.0}}
    tree["device"]["cell"] = "9"
    with pytest.raises(ConfigError) as caught:
        candidates.candidate(tree, config())
    paths = {field.path for field in caught.value.fields}
    assert paths == {"/broker/host", "/broker/keepalive_s", "/outbox/max_mb", "/device/cell"}


def test_what_is_wrong_and_what_is_fixed_are_told_together() -> None:
    tree = good() | {"broker": {"host": "elsewhere"}}
    tree["pipelines"]["camera-1"]["threads"] = 0
    with pytest.raises(ConfigError) as caught:
        candidates.candidate(tree, config())
    paths = [field.path for field in caught.value.fields]
    assert paths == ["/pipelines/camera-1/threads", "/broker/host"]


def by_words(npu: dict[str, Any], **words: str) -> Config:
    """Return a config with a pipeline for each of `words`, and npu defined."""
    one = good()["pipelines"]["camera-1"]
    pipelines = {name: one | {"accelerator": word} for name, word in words.items()}
    return parse(good() | {"accelerators": {"npu": npu}, "pipelines": pipelines})


def test_another_meaning_of_a_word_touches_what_says_it_and_comes_from_the_file_alone() -> None:
    words = {"one": "npu", "two": "gpu", "three": "cpu", "four": "npu"}
    before = by_words({"hardware": "npu"}, **words)
    after = by_words({"hardware": "npu", "options": {"graph_backend": "CPU"}}, **words)
    assert candidates.same_start(before, after)
    assert trial.touched(before, after) == ("one", "four")
    assert trial.differences(before, after) == "built anew: one, four"
    with pytest.raises(ConfigError, match=r"/accelerators: cannot be changed over MQTT"):
        candidates.candidate(candidates.tree_of(after), before)


def test_a_word_over_mqtt_chooses_what_the_file_defines() -> None:
    current = by_words({"delegate": "/usr/lib/libnpu.so"}, one="cpu", two="npu")
    patch = {"pipelines": {"one": {"accelerator": "npu"}}}
    found = candidates.candidate(trees.merged(candidates.tree_of(current), patch), current)
    assert found.pipelines["one"].accelerator.delegate == "/usr/lib/libnpu.so"
    assert trial.touched(current, found) == ("one",)


def test_a_patch_for_a_pipeline_that_is_not_there_names_those_there_are() -> None:
    tree = trees.merged(
        candidates.tree_of(config()), {"pipelines": {"camrea": {"rule": {"fail_at": 0.8}}}}
    )
    with pytest.raises(ConfigError) as caught:
        candidates.candidate(tree, config())
    said = {field.path: field.message for field in caught.value.fields}
    there = "no such pipeline: 'camrea'; there are: camera-1"
    assert said == {"/pipelines/camrea": f"{there}; a new one needs family, model, source"}


@pytest.mark.parametrize("pipelines", [None, 5, [[]], {"a/b": 1}])
def test_pipelines_that_are_no_table_are_refused(pipelines: Any) -> None:
    with pytest.raises(ConfigError):
        candidates.candidate(good() | {"pipelines": pipelines}, config())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b'{"id": "x", "base_rev": 1, "patch": {}, "confirm_within_s": NaN}',
        b'{"id": "x", "base_rev": 1, "patch": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
        b'{"id": "x", "base_rev": 1, "patch": {"a": ' + b"[" * 60 + b"]" * 60 + b"}}",
        # Half of a character: what JavaScript writes where a text was cut within an emoji.
        b'{"id": "\\ud83d", "base_rev": 1, "patch": {}}',
        b'{"id": "x", "base_rev": 1, "\\ud83d": {}}',
        b'{"id": "x", "base_rev": 1, "patch": {"a": ["\\udc00"]}}',
    ],
)
def test_a_request_that_cannot_be_read_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused) as caught:
        one_change(read(tree_of(payload), ConfigRequest))
    assert (caught.value.code, caught.value.status) == (400, "bad_json")
    assert [field.path for field in caught.value.fields] == [""]


@pytest.mark.parametrize(
    ("payload", "path", "message"),
    [
        (b"[]", "", "must be a table, not a list"),
        (b'{"id": "x"}', "/base_rev", "is missing"),
        (b'{"id": "x", "base_rev": "1"}', "/base_rev", "must be a whole number, not text"),
        (b'{"id": "x", "base_rev": 1, "other": 1}', "/other", "no such field: 'other'"),
        (b'{"id": "x", "base_rev": 1, "v": 2}', "/v", "may not be 2"),
        (b'{"id": "", "base_rev": 1}', "/id", "must be text of length 1 or more"),
        (b'{"id": "x", "base_rev": 1}', "", "must hold exactly one of"),
        (b'{"id": "x", "base_rev": 1, "patch": {}, "config": {}}', "", "must hold exactly one"),
        (
            b'{"id": "x", "base_rev": 1, "patch": {}, "confirm_within_s": 0}',
            "/confirm_within_s",
            "must be a number, 1 or more",
        ),
    ],
)
def test_a_request_with_a_wrong_field_is_refused_with_its_place(
    payload: bytes, path: str, message: str
) -> None:
    with pytest.raises(Refused) as caught:
        one_change(read(tree_of(payload), ConfigRequest))
    assert (caught.value.code, caught.value.status) == (422, "refused")
    (field,) = caught.value.fields
    assert field.path == path
    assert field.message.startswith(message)
