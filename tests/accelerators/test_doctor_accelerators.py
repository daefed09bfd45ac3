"""What `edge-agent doctor` says of the accelerators that a config defines or uses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.commands.doctor_accelerators import check_accelerators
from edge_agent.commands.doctor_findings import Finding, Gateway
from edge_agent.commands.doctor_models import check_files
from edge_agent.config import parse_json
from tests.agents import DEVICE, MODELS
from tools.accel import stand_ins

if TYPE_CHECKING:
    from pathlib import Path

MODEL = MODELS / "conveyor-parts"
ABSENT = {"delegate": "/nowhere/libedgetpu.so.1"}


def _gateway(folder: Path, defined: dict[str, Any], load_s: float = 60.0, **used: Any) -> Gateway:
    """Return a gateway with `defined` accelerators; `used`: what each pipeline runs on."""
    source = {"kind": "simulator", "scene": "conveyor"}
    pipelines = {
        name: {
            "family": "qc",
            "model": str(MODEL),
            "source": source,
            "accelerator": accelerator,
            "accelerator_load_s": load_s,
        }
        for name, accelerator in used.items()
    }
    tree = {"device": DEVICE, "accelerators": defined, "pipelines": pipelines}
    return Gateway(parse_json(json.dumps(tree).encode()), folder, folder / "state", "nobody")


def _one(gateway: Gateway) -> Finding:
    (found,) = check_accelerators(gateway)
    return found


def test_a_library_that_loads_is_told_with_what_it_takes_of_the_model(
    tmp_path: Path, library: Path
) -> None:
    defined = {"board": stand_ins.delegate(library)}
    used = _one(_gateway(tmp_path, defined, camera="board"))
    assert (used.level, used.what) == ("ok", "accelerator")
    assert used.text == (
        f"board (libtestdelegate.so) loads, runs 100% of {MODEL}, and answers its golden samples; "
        "for camera"
    )
    spare = _one(_gateway(tmp_path, defined, camera="cpu"))
    assert spare.level == "ok"
    assert spare.text.endswith("no pipeline uses it")


def test_a_missing_library_fails_where_a_pipeline_uses_it_and_warns_elsewhere(
    tmp_path: Path,
) -> None:
    used = _one(_gateway(tmp_path, {"edgetpu": ABSENT}, camera="edgetpu"))
    assert used.level == "fail"
    assert used.text.startswith(
        "edgetpu (libedgetpu.so.1) library_missing: /nowhere/libedgetpu.so.1: No such file"
    )
    assert used.text.endswith("; for camera")
    for spare in (
        _gateway(tmp_path, {"edgetpu": ABSENT}, camera="cpu"),
        _gateway(tmp_path, {"edgetpu": ABSENT}),
    ):
        found = _one(spare)
        assert found.level == "warn"
        assert "/nowhere/libedgetpu.so.1" in found.text
        assert found.text.endswith("no pipeline uses it")
        assert not [*check_files(spare)], "it is said once"


@pytest.mark.parametrize(
    ("fault", "reason", "load_s"),
    [
        ("refuse_load", "unavailable", 60.0),
        ("refuse_graph", "refused_graph", 60.0),
        ("crash_load", "crashed", 60.0),
        ("wrong", "wrong_answers", 60.0),
        ("hang_load", "hung", 2.0),
    ],
)
def test_a_library_that_does_not_load_says_so_whatever_it_does(
    tmp_path: Path, library: Path, fault: str, reason: str, load_s: float
) -> None:
    defined = {"board": stand_ins.delegate(library, fault=fault)}
    found = _one(_gateway(tmp_path, defined, load_s, camera="board"))
    assert found.level == "fail"
    assert f"board (libtestdelegate.so) {reason}: " in found.text
    assert found.advice


def test_each_accelerator_is_a_line_also_one_that_a_pipeline_names_without_a_definition(
    tmp_path: Path, library: Path
) -> None:
    defined = {"board": stand_ins.delegate(library), "edgetpu": ABSENT}
    table = {"delegate": "/nowhere/libvx_delegate.so"}
    found = [*check_accelerators(_gateway(tmp_path, defined, a="board", b=table, c="board"))]
    assert [finding.text.split(" ")[0] for finding in found] == [
        *("board", "edgetpu", "libvx_delegate.so")
    ]
    assert [finding.level for finding in found] == ["ok", "warn", "fail"]
    assert found[0].text.endswith("; for a, c")


def test_one_that_no_model_here_could_run_on_is_listed_and_not_tried(tmp_path: Path) -> None:
    defined = {"openvino": {"provider": "OpenVINOExecutionProvider"}}
    found = _one(_gateway(tmp_path, defined, camera="cpu"))
    assert found.level == "ok"
    assert "was not tried: no model of this config runs on it" in found.text
