"""One bundle, several kinds of hardware: which file is taken, and what happens without it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.cli import main
from edge_agent.errors import AcceleratorError, ModelError
from edge_agent.inference.accelerator import CPU, AcceleratorOptions
from edge_agent.modelstore.manifest import load_bundle
from tests.agents import MODELS
from tests.bundles import config_of

if TYPE_CHECKING:
    from pathlib import Path

EDGE_TPU = AcceleratorOptions(delegate="/usr/lib/x86_64-linux-gnu/libedgetpu.so.1")
CONFIG = config_of("surface", "parts", 'accelerator = { delegate = "/usr/lib/libedgetpu.so.1" }')


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a copy of a shipped bundle with golden samples, and of its label file."""
    return shutil.copytree(MODELS / "conveyor-parts", tmp_path / "parts")


@pytest.fixture
def compiled(shared_data: Path) -> Path:
    """Return a model that was compiled for an Edge TPU."""
    return shared_data / "malformed_models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"


def put_in(bundle: Path, model: Path, hw: str = "edgetpu") -> int:
    return main(["bundle", str(model), str(bundle), "--hw", hw])


def change(bundle: Path, **fields: Any) -> None:
    file = bundle / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("accelerator", "word"),
    [
        (CPU, "cpu"),
        (AcceleratorOptions(hardware="npu"), "npu"),
        (EDGE_TPU, "edgetpu"),
        (AcceleratorOptions(delegate="libvx_delegate.so"), "vx_delegate"),
        (AcceleratorOptions(provider="OpenVINOExecutionProvider"), "openvino"),
    ],
)
def test_a_manifest_calls_an_accelerator_by_one_word(
    accelerator: AcceleratorOptions, word: str
) -> None:
    assert accelerator.hw == word


def test_the_variant_made_for_the_accelerator_is_taken_and_the_plain_one_otherwise(
    bundle: Path, compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = load_bundle(bundle)
    assert put_in(bundle, compiled) == 0
    assert "has the variants tflite-int8, edgetpu; edgetpu was not run" in capsys.readouterr().out
    chosen = load_bundle(bundle, EDGE_TPU)
    assert chosen.model == compiled.read_bytes()
    # It must answer the same golden samples, and its classes have the same names.
    assert chosen.labels == plain.labels
    golden = {file for file in plain.variant.files if file.role != "model"}
    assert golden < set(chosen.variant.files)
    for other in (CPU, AcceleratorOptions(hardware="gpu")):
        assert load_bundle(bundle, other).model == plain.model


def test_a_variant_that_is_put_in_again_takes_the_place_of_the_one_before(
    bundle: Path, compiled: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.tflite").write_bytes(b"old")
    assert put_in(bundle, tmp_path / "old.tflite") == 0
    assert put_in(bundle, compiled) == 0
    assert [variant.id for variant in load_bundle(bundle).manifest.variants] == [
        "tflite-int8",
        "edgetpu",
    ]
    assert load_bundle(bundle, EDGE_TPU).model == compiled.read_bytes()


def test_the_variant_for_the_cpu_is_not_replaced(
    bundle: Path, compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_bundle(bundle).model
    assert put_in(bundle, compiled, hw="tflite-int8") == 69
    assert "tflite-int8 is the name of the variant for the CPU" in capsys.readouterr().err
    assert load_bundle(bundle).model == before


def test_a_bundle_without_golden_samples_says_what_that_means_for_an_accelerator(
    bundle: Path, compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(bundle, selftest={})
    assert put_in(bundle, compiled) == 0
    assert "no golden samples: without any, it inspects on the CPU" in capsys.readouterr().out


def test_a_damaged_variant_is_named_and_harms_no_other(bundle: Path, compiled: Path) -> None:
    assert put_in(bundle, compiled) == 0
    (bundle / "model-edgetpu.tflite").write_bytes(compiled.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"parts/model-edgetpu\.tflite: differs"):
        load_bundle(bundle, EDGE_TPU)
    load_bundle(bundle)


def test_a_variant_that_did_not_come_is_the_accelerators_trouble_alone(
    bundle: Path, compiled: Path
) -> None:
    assert put_in(bundle, compiled) == 0
    (bundle / "model-edgetpu.tflite").unlink()
    with pytest.raises(AcceleratorError, match=r"unavailable: .*model-edgetpu\.tflite.*\[sync\]"):
        load_bundle(bundle, EDGE_TPU)
    load_bundle(bundle)


def test_a_bundle_for_an_accelerator_alone_is_refused_with_what_it_lacks(
    bundle: Path, compiled: Path
) -> None:
    assert put_in(bundle, compiled) == 0
    variants = json.loads((bundle / "manifest.json").read_text())["variants"]
    change(bundle, variants=[variant for variant in variants if variant["id"] == "edgetpu"])
    for accelerator in (CPU, EDGE_TPU):
        with pytest.raises(ModelError, match="parts: no variant for hardware cpu, only for edge"):
            load_bundle(bundle, accelerator)


def test_check_looks_at_the_accelerators_file_too(
    bundle: Path, compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert put_in(bundle, compiled) == 0
    (tmp_path / "config.toml").write_text(CONFIG)
    assert main(["check", str(tmp_path / "config.toml")]) == 0
    (bundle / "model-edgetpu.tflite").write_bytes(b"something else")
    assert main(["check", str(tmp_path / "config.toml")]) == 78
    assert "model-edgetpu.tflite: differs" in capsys.readouterr().err


def test_a_model_compiled_for_an_edge_tpu_is_no_model_for_the_cpu(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bundle", str(compiled), str(tmp_path / "mine"), "--task", "classify"]
    assert main(arguments) == 69
    assert "compiled for an Edge TPU (edgetpu-custom-op)" in capsys.readouterr().err
