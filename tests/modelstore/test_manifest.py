"""What is said of a manifest that is wrong: each field by its JSON pointer, as of a config."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.errors import ModelError
from edge_agent.inference.model import load_model
from edge_agent.modelstore.manifest import parse_manifest
from tests.agents import MODELS

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (MODELS / "conveyor-parts" / "manifest.json").read_bytes()
ABSENT = object()


def refused(text: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        parse_manifest(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            ["variants", 0, "io", "inputs", 0, "shape"],
            "many",
            "/variants/0/io/inputs/0/shape: must be a",
        ),
        (["variants", 0, "files", 1, "role"], "x", "/variants/0/files/1/role: must be '"),
        (["variants", 0, "files", 0, "role"], "labels", "/variants: variant tflite-int8 must have"),
        (["task", "preprocess", "mean"], [1, 2], "/task/preprocess: mean must have 1 or 3"),
        (["task", "preprocess", "colour"], "rgb", "/task/preprocess/colour: no such field: 'col"),
        (["task", "kind"], "guess", "/task: no such kind: 'guess'; there are"),
        (
            ["decision", "rule", "fail_at"],
            "high",
            "/decision/rule/fail_at: must be a number, not 'high'",
        ),
        (["selftest", "cases", 0, "in"], ABSENT, "/selftest/cases/0/in: is missing"),
        (["model_id"], "a b", "/model_id: must be 1 to 64 of"),
        (["a/b"], 1, "/a~1b: no such field: 'a/b'; there ar"),
    ],
)
def test_a_wrong_field_is_named_by_its_place(place: list[Any], value: Any, said: str) -> None:
    tree = node = json.loads(TEXT)
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    if value is ABSENT:
        del node[place[-1]]
    message = refused(json.dumps(tree).encode())
    assert message.startswith(f"manifest.json: {said}")
    assert "; /" not in message, "one field is wrong"


def test_every_wrong_field_is_named() -> None:
    tree = json.loads(TEXT) | {"seq": -1, "min_seq": "x"}
    said = refused(json.dumps(tree).encode())
    assert "/seq: " in said
    assert "; /min_seq: " in said


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b"[]"])
def test_what_is_no_manifest_at_all_is_said_of_the_whole_file(text: bytes) -> None:
    assert re.fullmatch(r"manifest\.json: (Invalid JSON: .+|must be a table)", refused(text))


def test_a_runtime_that_there_is_not_is_named_by_its_place(tmp_path: Path) -> None:
    bundle = shutil.copytree(MODELS / "conveyor-parts", tmp_path / "parts")
    tree = json.loads(TEXT)
    tree["variants"][0]["runtime"] = "torch"
    (bundle / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(
        ModelError,
        match=r"manifest\.json: /variants/0/runtime: no such runtime: 'torch'; there are: ",
    ):
        load_model(bundle, threads=1, roi=None)
