"""Keras models: read, narrowed, tuned, converted, and taken the whole way to the agent."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.inference.model import load_model
from edge_agent.modelstore.manifest import load_bundle
from tools.compress.failures import CompressFailed, MissingFramework
from tools.compress.quantise import QuantisationFailed, run_model
from tools.compress.source import Tuning, read_source
from tools.compress.structures import magnitude
from tools.keras_zoo.recipes import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

pytestmark = [
    # The frameworks warn of what they themselves will change.
    pytest.mark.filterwarnings("ignore"),
    # Loading them alone takes a minute on a machine that does much else.
    pytest.mark.timeout(600),
]

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
with_tensorflow = pytest.mark.skipif(
    not HAS_TENSORFLOW,
    reason="TensorFlow is in the environment of tools/requirements-keras.txt only",
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PICTURES = np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype(np.float32)
LIBRARIES = pytest.mark.parametrize("library", ["keras", "tf_keras"])


def convolutional(library: str) -> Any:
    layers: Any = importlib.import_module(library).layers
    return importlib.import_module(library).Sequential(
        [
            layers.Input((12, 12, 3)),
            layers.Conv2D(32, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def test_the_five_models_have_the_layers_they_are_known_by() -> None:
    widths = {
        recipe.name: [
            settings.get("filters", settings.get("units"))
            for kind, settings in recipe.layers
            if kind in {"Dense", "Conv2D"}
        ]
        for recipe in RECIPES
    }
    assert widths == {
        "mnist-dense": [512, 512, 10],
        "cifar-conv": [32, 64, 64, 64, 10],
        "life-regression": [64, 32, 1],
        "due-binary": [10, 10, 1],
        "virtual-sensor": [10, 10, 1],
    }
    assert {recipe.suffix for recipe in RECIPES} == {".h5", ".keras"}


def test_engines_are_parted_whole_and_items_hold_what_the_inputs_were_made_of(
    shared_data: Path,
) -> None:
    recipe = next(recipe for recipe in RECIPES if recipe.name == "life-regression")
    examples = recipe.examples(shared_data)
    assert examples.inputs.shape[1:] == (4, 14)
    assert examples.groups is not None
    assert len(set(examples.groups.tolist())) == 100
    zscore = examples.preprocess["features"][0]
    samples = examples.items(77).samples  # type: ignore[union-attr]
    scaled = (samples - np.array(zscore["mean"])) / np.array(zscore["std"])
    assert np.allclose(scaled, examples.inputs[77], atol=1e-5)


@pytest.mark.skipif(HAS_TENSORFLOW, reason="TensorFlow is here")
def test_without_tensorflow_one_sentence_names_the_python_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"")
    with pytest.raises(MissingFramework) as failure:
        read_source(tmp_path / "model.keras", PICTURES[:1])
    assert str(failure.value) == (
        "model.keras needs TensorFlow, which is not installed here: run it with "
        ".venv-keras/bin/python (`make training-environment` makes it)"
    )


@pytest.mark.tools
@with_tensorflow
@LIBRARIES
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_of_both_kerases_are_read_and_answer_the_same(
    tmp_path: Path, library: str, suffix: str
) -> None:
    model = convolutional(library)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    source = read_source(path, PICTURES[:1])
    answers = run_model(source.whole, [picture[None] for picture in PICTURES])
    assert np.allclose(answers, model.predict(PICTURES, verbose=0), atol=1e-4)


@pytest.mark.tools
@with_tensorflow
@LIBRARIES
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_samples_of_another_size_are_refused_though_the_network_would_answer(
    tmp_path: Path, library: str, suffix: str
) -> None:
    layers: Any = importlib.import_module(library).layers
    for size, fits in (((24, 32, 3), False), ((None, None, 3), True)):
        model = importlib.import_module(library).Sequential(
            [
                layers.Input(size),
                layers.Conv2D(4, 3),
                layers.GlobalAveragePooling2D(),
                layers.Dense(2),
            ]
        )
        path = tmp_path / f"model{suffix}"
        model.save(path)
        if fits:
            read_source(path, PICTURES[:1])
            continue
        with pytest.raises(CompressFailed, match=r"shape \[1, 12, 12, 3\].*\[-1, 24, 32, 3\]$"):
            read_source(path, PICTURES[:1])


@pytest.mark.tools
@with_tensorflow
@LIBRARIES
def test_channels_go_and_tuning_brings_the_answers_back(tmp_path: Path, library: str) -> None:
    convolutional(library).save(tmp_path / "model.keras")
    source = read_source(tmp_path / "model.keras", PICTURES[:1])
    network = source.network
    assert network is not None
    samples = [picture[None] for picture in PICTURES]
    wanted = run_model(source.whole, samples)
    small = network.copy()
    small.narrow(0.5)
    before = np.abs(run_model(small.tflite(), samples) - wanted).mean()
    small.tune(PICTURES, Tuning(wanted, epochs=30, batch=8))
    after = np.abs(run_model(small.tflite(), samples) - wanted).mean()
    assert len(small.tflite()) < 0.7 * len(source.whole)
    assert after < 0.7 * before
    # What it was copied from is as it was.
    assert (run_model(network.tflite(), samples) == wanted).all()


@pytest.mark.tools
@with_tensorflow
@LIBRARIES
@pytest.mark.parametrize("quantised", [True, False])
def test_tuning_holds_zeros_with_and_without_rounding(
    tmp_path: Path, library: str, *, quantised: bool
) -> None:
    from tools.compress.tflite_file import weights  # noqa: PLC0415

    convolutional(library).save(tmp_path / "model.keras")
    source = read_source(tmp_path / "model.keras", PICTURES[:1])
    network = source.network
    assert network is not None
    wanted = run_model(source.whole, [picture[None] for picture in PICTURES])
    tuning = Tuning(wanted, 2, structure=magnitude(0.5), quantised=quantised)
    network.tune(PICTURES, tuning)
    held = weights(network.tflite())
    assert 0.4 < held.zeros / held.count < 0.6


@pytest.mark.tools
@with_tensorflow
def test_a_saved_model_is_read_and_not_trained_on(tmp_path: Path) -> None:
    model = convolutional("keras")
    model.export(str(tmp_path / "saved"), verbose=False)
    source = read_source(tmp_path / "saved", PICTURES[:1])
    assert source.network is None
    answers = run_model(source.whole, [PICTURES[:1]])
    assert np.allclose(answers, model.predict(PICTURES[:1], verbose=0), atol=1e-4)


@pytest.mark.tools
@with_tensorflow
def test_samples_that_do_not_fit_and_operators_without_counterpart_are_named(
    tmp_path: Path,
) -> None:
    keras: Any = importlib.import_module("keras")
    convolutional("keras").save(tmp_path / "model.keras")
    with pytest.raises(CompressFailed, match=r"shape \[1, 5\]; the model's input wants \[-1, 12"):
        read_source(tmp_path / "model.keras", np.zeros((1, 5), np.float32))
    values = keras.layers.Input((8,))
    strange = keras.Model(values, keras.ops.erfinv(values))
    strange.save(tmp_path / "strange.keras")
    with pytest.raises(QuantisationFailed, match="has no operator for Erfinv") as failure:
        read_source(tmp_path / "strange.keras", np.zeros((1, 8), np.float32))
    assert "\n" not in str(failure.value)


@pytest.mark.tools
@with_tensorflow
def test_a_model_goes_the_whole_way_to_the_agent(shared_data: Path, tmp_path: Path) -> None:
    command: Any = importlib.import_module("tools.keras_zoo.__main__").main
    arguments = ["due-binary", "--data", str(shared_data), "--out", str(tmp_path)]
    assert command([*arguments, "--items", "1500", "--epochs", "6"]) == 0
    assert load_bundle(tmp_path / "due-binary").labels == ("healthy", "due")
    load_model(tmp_path / "due-binary", threads=1, roi=None).backend.close()
    rows = json.loads((tmp_path / "due-binary-compressed/variants.json").read_text())
    assert {"50% zeros", "32 values a kernel", "50% fewer channels"} < {r["model"] for r in rows}
