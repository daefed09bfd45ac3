"""What is wrong with a config is said with its path, and all at once."""

from __future__ import annotations

import gc
import json
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import (
    MAX_CONFIG_BYTES,
    Config,
    PipelineOptions,
    parse_json,
    parse_toml,
    toml_tree,
)
from edge_agent.control.candidates import tree_of
from edge_agent.environment import Secrets
from edge_agent.errors import ConfigError, FieldError, no_such
from edge_agent.field_errors import PATTERNS
from edge_agent.processes.worker_options import write_options
from tests.agents import DEVICE


def good() -> dict[str, Any]:
    source = {"kind": "mqtt_image", "topic": "camera/1"}
    pipeline = {"family": "qc", "model": "models/parts", "source": source}
    return {"device": dict(DEVICE), "pipelines": {"camera-1": pipeline}}


def parse(tree: Any) -> Config:
    return parse_json(json.dumps(tree).encode())


def refused(tree: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse(tree)
    return {field.path: field.message for field in caught.value.fields}


def test_a_good_config_is_read() -> None:
    config = parse(good())
    assert config.device.name == "gw-01"
    assert config.pipelines["camera-1"].source.topic == "camera/1"
    assert config.broker.host == "127.0.0.1"


def test_toml_and_json_say_the_same() -> None:
    text = b"""
    [device]
    enterprise = "acme"
    site = "graz"
    area = "machining"
    line = "1"
    cell = "3"
    name = "gw-01"
    [pipelines.camera-1]
    family = "qc"
    model = "models/parts"
    source = {kind = "mqtt_image", topic = "camera/1"}
    """
    assert parse_toml(text) == parse(good())


def test_an_unknown_field_is_named_with_the_fields_that_there_are() -> None:
    tree = good()
    tree["pipelines"]["camera-1"]["source"]["topics"] = "x"
    fields = refused(tree)
    assert list(fields) == ["/pipelines/camera-1/source/topics"]
    assert (
        "no such field: 'topics'; there are: kind," in fields["/pipelines/camera-1/source/topics"]
    )
    assert "topic" in fields["/pipelines/camera-1/source/topics"]


def test_every_wrong_field_is_named_at_once() -> None:
    tree = good()
    tree["pipelines"]["camera-1"]["source"]["qos"] = 7
    tree["pipelines"]["camera-1"]["threads"] = 0
    tree["device"]["line"] = "a/b"
    del tree["device"]["cell"]
    assert set(refused(tree)) == {
        "/pipelines/camera-1/source/qos",
        "/pipelines/camera-1/threads",
        "/device/line",
        "/device/cell",
    }


def test_a_missing_field_of_a_plugin_is_named_without_its_kind_in_the_path() -> None:
    tree = good()
    del tree["pipelines"]["camera-1"]["source"]["topic"]
    assert refused(tree) == {"/pipelines/camera-1/source/topic": "is missing"}


@pytest.mark.parametrize("kind", ["os", "../camera", "edge_agent.cli", "base", "__init__", ""])
def test_only_a_plugin_of_the_folder_can_be_named(kind: str) -> None:
    tree = good()
    tree["pipelines"]["camera-1"]["source"]["kind"] = kind
    fields = refused(tree)
    assert list(fields) == ["/pipelines/camera-1/source"]
    assert ", mqtt_image, " in fields["/pipelines/camera-1/source"]


def test_a_plugin_without_its_kind_says_which_there_are() -> None:
    tree = good()
    tree["pipelines"]["camera-1"]["rule"] = {"fail_at": 0.8}
    fields = refused(tree)
    assert list(fields) == ["/pipelines/camera-1/rule"]
    assert fields["/pipelines/camera-1/rule"].endswith("k_of_n, threshold, trend")


def test_a_time_of_day_that_is_none_is_refused_in_words() -> None:
    shift = {"name": "early", "start": "06:00", "end": "25:00"}
    fields = refused(good() | {"production": {"shifts": [shift]}})
    said = 'must be a time of day from "00:00" to "23:59"'
    assert fields == {"/production/shifts/0/end": said}


def test_no_field_shows_the_pattern_that_it_must_match() -> None:
    schema = json.dumps(Config.model_json_schema())
    patterns = {
        json.loads(found) for found in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', schema)
    }
    assert len(patterns) > 5
    assert patterns - PATTERNS.keys() == set()


def test_refusals_leave_nothing_for_the_collector() -> None:
    tree = good()
    tree["pipelines"]["camera-1"]["threads"] = 0
    refused(tree)  # the schema is made once
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        for _ in range(5):
            refused(tree)
        more = sys.getallocatedblocks() - before
    finally:
        gc.enable()
    assert more < 1000


def test_a_word_that_names_nothing_is_repeated_with_those_there_are() -> None:
    assert no_such("kind", "x", ["a", "b"]) == "no such kind: 'x'; there are: a, b"
    assert no_such("kind", "x" * 99, []) == f"no such kind: '{'x' * 64}...'; there are: none"


def test_a_slash_in_a_key_is_escaped_in_the_pointer() -> None:
    tree = good()
    tree["pipelines"]["a/b"] = tree["pipelines"].pop("camera-1")
    assert any(path.startswith("/pipelines/a~1b") for path in refused(tree))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"device": 1, "device": 2}', "'device' stands twice"),
        (b'{"stop_timeout_s": NaN}', "NaN is not a number"),
        (b'{"stop_timeout_s": Infinity}', "Infinity is not a number"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
        (b" " * (MAX_CONFIG_BYTES + 1), "at most"),
    ],
)
def test_what_is_not_proper_json_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_json(text)


@pytest.mark.parametrize("text", [b"a = ", b"\xff", b"a = inf", b"a = 1979-05-27", b"[" * 100_000])
def test_what_is_not_proper_toml_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_toml(text)


def test_toml_that_is_not_utf_8_is_told_so_and_a_byte_order_mark_is_passed_over() -> None:
    with pytest.raises(ConfigError, match="not UTF-8, by its byte 5: save it as UTF-8"):
        toml_tree('a = "°"'.encode("cp1252"))
    assert toml_tree('a = "°"'.encode("utf-8-sig")) == {"a": "°"}


@pytest.mark.parametrize("roi", [[0, 0, 0, 5], [-1, 0, 5, 5], [0, 0, 5]])
def test_a_region_without_an_area_is_refused(roi: list[int]) -> None:
    tree = good()
    tree["pipelines"]["camera-1"]["roi"] = roi
    assert all(path.startswith("/pipelines/camera-1") for path in refused(tree))


def test_a_password_comes_from_the_environment_and_never_into_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGE_AGENT_BROKER_USERNAME", "gateway")
    monkeypatch.setenv("EDGE_AGENT_BROKER_PASSWORD", "s3cret")
    secrets = Secrets()
    config = parse_json(json.dumps(good()).encode(), secrets)
    assert config.broker.username == "gateway"
    assert config.broker.password is not None
    assert config.broker.password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(config) + config.model_dump_json()
    wrong = good() | {"broker": {"port": 0}}
    with pytest.raises(ConfigError) as caught:
        parse_json(json.dumps(wrong).encode(), secrets)
    assert "s3cret" not in str(caught.value)


def test_a_password_in_the_file_is_refused() -> None:
    fields = refused(good() | {"broker": {"password": "s3cret"}})
    assert list(fields) == ["/broker/password"]
    assert "password_file" in fields["/broker/password"]
    assert "s3cret" not in fields["/broker/password"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
PATHS = st.sampled_from(
    [
        ("device",),
        ("device", "line"),
        ("pipelines",),
        ("pipelines", "camera-1"),
        ("pipelines", "camera-1", "source"),
        ("pipelines", "camera-1", "source", "kind"),
        ("pipelines", "camera-1", "rule"),
        ("pipelines", "camera-1", "roi"),
        ("pipelines", "camera-1", "evidence", "keep"),
        ("broker", "tls"),
    ]
)


@given(path=PATHS, value=JSON)
def test_any_value_anywhere_is_taken_or_refused_with_its_path(
    path: tuple[str, ...], value: Any
) -> None:
    tree: Any = good()
    node = tree
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value
    fields: list[FieldError] = []
    try:
        parse(tree)
    except ConfigError as error:
        fields = error.fields or [FieldError("", "", "")]
    for field in fields:
        assert field.path == "" or field.path.startswith("/")
        assert field.message


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(text: bytes) -> None:
    for read in (parse_json, parse_toml):
        with pytest.raises(ConfigError):
            read(text)


def with_accelerator(accelerator: Any) -> dict[str, Any]:
    tree = good()
    tree["pipelines"]["camera-1"]["accelerator"] = accelerator
    return tree


@pytest.mark.parametrize(
    ("accelerator", "name"),
    [
        ("cpu", "cpu"),
        ("gpu", "gpu"),
        ({"hardware": "npu", "options": {"graph_backend": "CPU"}}, "npu"),
        ({"delegate": "/usr/lib/libedgetpu.so.1", "options": {"device": "usb"}}, "libedgetpu.so.1"),
        ({"provider": "OpenVINOExecutionProvider"}, "OpenVINOExecutionProvider"),
    ],
)
def test_an_accelerator_is_a_word_or_a_table(accelerator: Any, name: str) -> None:
    options = parse(with_accelerator(accelerator)).pipelines["camera-1"]
    assert options.accelerator.name == name
    assert PipelineOptions.model_validate_json(write_options(options)) == options


@pytest.mark.parametrize(
    ("accelerator", "said"),
    [
        ("tpu", "no such accelerator: 'tpu'; there are: cpu, gpu, npu, or a table"),
        ({}, "exactly one of hardware, delegate and provider"),
        ({"hardware": "gpu", "provider": "CUDA"}, "exactly one of"),
        ({"hardware": "cpu", "options": {"threads": 2}}, "cpu has no options"),
    ],
)
def test_an_accelerator_that_is_none_or_two_is_refused(accelerator: Any, said: str) -> None:
    assert said in refused(with_accelerator(accelerator))["/pipelines/camera-1/accelerator"]


NPU = {"hardware": "npu", "options": {"graph_backend": "CPU"}}
EDGE_TPU = {"delegate": "/usr/lib/libedgetpu.so.1"}


def with_word(word: str, **accelerators: Any) -> dict[str, Any]:
    return with_accelerator(word) | {"accelerators": accelerators}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("edgetpu", EDGE_TPU),
        ("npu", NPU),
        ("gpu", {"hardware": "gpu"}),
        ("cpu", {"hardware": "cpu"}),
    ],
)
def test_a_word_means_what_the_config_defines_else_what_it_always_means(
    word: str, meant: dict[str, Any]
) -> None:
    config = parse(with_word(word, npu=NPU, edgetpu=EDGE_TPU))
    options = config.pipelines["camera-1"]
    assert options.accelerator.model_dump(exclude_defaults=True) == meant
    # A worker, which knows no definitions, is told all of it.
    assert PipelineOptions.model_validate_json(write_options(options)) == options
    assert tree_of(config)["pipelines"]["camera-1"]["accelerator"] == word
    assert parse(tree_of(config)) == config


def test_a_table_means_itself_whatever_is_defined() -> None:
    tree = with_accelerator({"hardware": "npu"}) | {"accelerators": {"npu": NPU}}
    config = parse(tree)
    assert config.pipelines["camera-1"].accelerator.options == {}
    assert tree_of(config)["pipelines"]["camera-1"]["accelerator"] == {"hardware": "npu"}


@pytest.mark.parametrize(
    ("tree", "path", "said"),
    [
        (
            with_word("tpu", edgetpu=EDGE_TPU),
            "/pipelines/camera-1/accelerator",
            "no such accelerator: 'tpu'; there are: cpu, gpu, npu, edgetpu, or a table",
        ),
        (with_word("cpu", cpu=NPU), "/accelerators/cpu", "cpu is the CPU"),
        (with_word("npu", npu="gpu"), "/accelerators/npu", "must be a table, not 'gpu'"),
        (with_word("x", x={}), "/accelerators/x", "exactly one of hardware, delegate"),
        (with_word("x", x={"hardware": "tpu"}), "/accelerators/x/hardware", "'gpu' or 'npu'"),
        (
            with_accelerator(EDGE_TPU | {"option": {}}),
            "/pipelines/camera-1/accelerator/option",
            "there are: delegate, hardware, options, provider",
        ),
    ],
)
def test_what_is_wrong_with_a_word_is_said_once_and_where_it_is_wrong(
    tree: dict[str, Any], path: str, said: str
) -> None:
    fields = refused(tree)
    assert list(fields) == [path]
    assert said in fields[path]
