"""`verify`: what a bundle does, it does in a child; and each way to fail has its own sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.cli import main as edge_agent
from edge_agent.commands.verification import verify
from edge_agent.inference.golden import npz
from edge_agent.modelstore.manifest import load_bundle
from tests.bundles import write_bundle
from tools import verify as tool

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path(__file__).parents[2] / "models"
CLASSIFY = {"kind": "classify", "preprocess": {"kind": "image", "mean": [0], "std": [255]}}
RULE = {"kind": "threshold", "fail_at": 0.5}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a bundle that is good, to be spoilt."""
    return shutil.copytree(MODELS / "turbofan-rul", tmp_path / "turbofan-rul")


def changed(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest's tree in place."""
    path = bundle / "manifest.json"
    tree = json.loads(path.read_bytes())
    change(tree)
    path.write_text(json.dumps(tree))
    return bundle


def replaced(bundle: Path, name: str, content: bytes) -> Path:
    """Give a file of the bundle other content, which the manifest vouches for."""
    (bundle / name).write_bytes(content)

    def vouch(tree: dict[str, Any]) -> None:
        entry = next(file for file in tree["variants"][0]["files"] if file["path"] == name)
        entry |= {"sha256": hashlib.sha256(content).hexdigest(), "length": len(content)}

    return changed(bundle, vouch)


def golden(bundle: Path, name: str) -> dict[str, Any]:
    with np.load(bundle / name, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize("model_id", sorted(path.name for path in MODELS.iterdir()))
def test_every_shipped_model_is_verified(model_id: str) -> None:
    found = verify(MODELS / model_id)
    assert found.passed, found.failure
    assert found.cases >= 2
    assert 0 < found.p50_ms <= found.p95_ms
    assert 0 < found.ram_mb < 200


def test_a_file_that_is_not_what_the_manifest_says_is_named(bundle: Path) -> None:
    spoilt = bytearray((bundle / "model.tflite").read_bytes())
    spoilt[1000] ^= 1
    (bundle / "model.tflite").write_bytes(spoilt)
    found = verify(bundle)
    assert found.kind == "files"
    assert "model.tflite: differs from what manifest.json says" in found.failure


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    found = verify(tmp_path)
    assert found.kind == "files"
    assert "manifest.json" in found.failure


@pytest.mark.parametrize(
    ("model", "operator"),
    [
        ("mobilenet_v1_0.25_128_quant_edgetpu.tflite", "edgetpu-custom-op"),
        ("model_invoking_error.tflite", "fake-op-double"),
    ],
)
def test_an_operator_that_the_runtime_does_not_know_is_named(
    shared_data: Path, tmp_path: Path, model: str, operator: str
) -> None:
    content = (shared_data / "malformed_models" / model).read_bytes()
    found = verify(write_bundle(tmp_path / "x", content, task=CLASSIFY, rule=RULE))
    assert found.kind == "model"
    assert operator in found.failure


def test_a_wrong_answer_is_told_by_sample_output_and_how_far_it_is_off(bundle: Path) -> None:
    answer = {name: value + 0.25 for name, value in golden(bundle, "golden_out_1.npz").items()}
    found = verify(replaced(bundle, "golden_out_1.npz", npz(answer)))
    assert found.kind == "model"
    assert "golden sample golden_in_1.npz: output_0 differs in 1 of 1 values" in found.failure
    assert "by up to 0.25 where 0.034 is allowed" in found.failure


def test_an_answer_that_is_not_a_number_is_a_wrong_one(bundle: Path) -> None:
    answer = {name: value * np.nan for name, value in golden(bundle, "golden_out_0.npz").items()}
    found = verify(replaced(bundle, "golden_out_0.npz", npz(answer)))
    assert "differs" in found.failure


def test_a_golden_sample_of_another_shape_is_refused(bundle: Path) -> None:
    given = {name: value[:, :7] for name, value in golden(bundle, "golden_in_0.npz").items()}
    found = verify(replaced(bundle, "golden_in_0.npz", npz(given)))
    assert found.kind == "model"
    assert "wants shape" in found.failure


def test_a_golden_sample_that_is_no_archive_is_named(bundle: Path) -> None:
    found = verify(replaced(bundle, "golden_in_0.npz", b"no archive"))
    assert "golden sample golden_in_0.npz cannot be read" in found.failure


def test_a_golden_sample_that_nobody_vouches_for_is_not_read(bundle: Path) -> None:
    def elsewhere(tree: dict[str, Any]) -> None:
        tree["selftest"]["cases"][0]["in"] = "../elsewhere.npz"

    found = verify(changed(bundle, elsewhere))
    assert "../elsewhere.npz: manifest.json vouches for no such file" in found.failure


def test_a_bundle_without_golden_samples_loads_but_is_not_verified(bundle: Path) -> None:
    found = verify(changed(bundle, lambda tree: tree.pop("selftest")))
    assert not found.passed
    assert "no golden samples" in found.failure


def test_a_model_that_is_slower_than_its_bundle_allows_is_told_so(bundle: Path) -> None:
    def hurry(tree: dict[str, Any]) -> None:
        tree["selftest"]["p95_ms_max"] = 1e-5

    found = verify(changed(bundle, hurry))
    assert found.kind == "model"
    assert "too slow here" in found.failure
    assert "allows 1e-05" in found.failure


def test_a_model_that_wants_more_memory_than_it_may_have_is_stopped(bundle: Path) -> None:
    found = verify(bundle, memory_mb=40)
    assert not found.passed
    assert found.kind == "memory", found
    assert "40 MB" in found.failure


def test_a_model_that_crashes_takes_only_the_child_with_it(bundle: Path) -> None:
    crash = """echo '{"stage": "loading the model"}'; echo why >&2; kill -SEGV $$"""
    found = verify(bundle, child=("bash", "-c", crash))
    assert found.kind == "crash"
    assert found.failure == "crashed with SIGSEGV while loading the model (why)"


def test_a_model_that_never_ends_is_killed(bundle: Path) -> None:
    changed(bundle, lambda tree: tree["selftest"].update(timeout_s=0.2))
    hang = """echo '{"stage": "timing the model"}'; echo '{"sta'; exec sleep 600"""
    found = verify(bundle, start_s=0.3, child=("bash", "-c", hang))
    assert found.kind == "hang"
    assert found.failure == "no end after 0.5 s, while timing the model: it was killed"


def test_what_was_measured_enters_the_manifest_and_nothing_else_changes(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(bundle, lambda tree: tree["variants"][0].pop("resources", None))
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert tool.main([str(bundle), "--measure"]) == 0
    assert "turbofan-rul: verified: 8 golden samples" in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {"manifest.json"}
    resources = load_bundle(bundle).variant.resources
    assert resources is not None
    assert 0 < resources.p95_ms < 1000
    tree = json.loads(after["manifest.json"])
    tree["variants"][0].pop("resources")
    wanted = json.loads(before["manifest.json"])
    wanted["variants"][0].pop("resources", None)
    assert tree == wanted


def test_a_bundle_that_fails_is_measured_by_nobody(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(bundle, lambda tree: tree.pop("selftest"))
    before = (bundle / "manifest.json").read_bytes()
    assert tool.main([str(MODELS / "turbofan-rul"), str(bundle), "--measure"][1:]) == 1
    assert "NOT VERIFIED" in capsys.readouterr().out
    assert (bundle / "manifest.json").read_bytes() == before


def test_edge_agent_verifies_too(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edge_agent(["verify", str(bundle)]) == 0
    assert ": verified: 8 golden samples" in capsys.readouterr().out
    (bundle / "golden_in_0.npz").unlink()
    assert edge_agent(["verify", str(bundle)]) != 0
    assert "NOT VERIFIED" in capsys.readouterr().out
