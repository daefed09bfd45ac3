"""The gate that quantised models pass, and what makes a model file fit for the quantiser."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from tests.tiny_tflite import model_bytes
from tools import keyword_spotting, study_golden
from tools.compress.quantise import (
    Agreement,
    QuantisationFailed,
    agreement,
    check,
    dynamic_range_model,
    float16_model,
    float_model,
    gate,
    int8_model,
    run_model,
)
from tools.compress.tensor_ranges import Narrow, held_ranges, narrowest, stored_ranges
from tools.compress.tflite_file import INT8, NotTflite, map_kernels, tidied, weights
from tools.datasets import cmapss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

pytestmark = [
    # The frameworks warn of what they themselves will change.
    pytest.mark.filterwarnings("ignore"),
    # Loading them alone takes a minute on a machine that does much else.
    pytest.mark.timeout(600),
]

MODELS = Path(__file__).parents[2] / "models"
KWS = "mlperf_tiny/models/kws_ref_model_float32.tflite"
AUTOENCODER = "mlperf_tiny/models/ad01_fp32.tflite"


def scores(count: int = 1000) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=count)


def rounded(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    return np.round(values / step) * step


def test_a_model_that_answers_nearly_the_same_passes() -> None:
    found = check(agreement(scores(), rounded(scores(), 0.03)))
    assert found.correlation > 0.99
    assert found.cut_off == 0.0


def test_a_saturated_output_is_named_with_the_calibration_range_as_its_cause() -> None:
    cut = rounded(scores().clip(-0.3, 0.3), 0.005)
    with pytest.raises(QuantisationFailed) as failure:
        check(agreement(scores(), cut))
    assert "of the scores lie at the ends of their range" in str(failure.value)
    assert "the output is saturated" in str(failure.value)
    assert "its calibration range is too narrow" in str(failure.value)


def test_few_distinct_scores_are_named() -> None:
    with pytest.raises(QuantisationFailed, match="only 8 different scores"):
        check(agreement(scores(), rounded(scores().clip(-4, 4), 1.0)))


def test_confident_answers_at_both_ends_are_no_saturation() -> None:
    confident = 1 / (1 + np.exp(-40 * scores()))
    found = check(agreement(confident, rounded(confident, 1 / 256)), distinct_min=8)
    assert found.saturated > 0.5
    assert found.float_saturated > 0.5


def test_a_constant_answer_is_stopped() -> None:
    with pytest.raises(QuantisationFailed, match=r"correlates with float at 0\.000 only"):
        check(agreement(scores(), np.zeros(1000)))


def test_few_items_need_not_take_many_values() -> None:
    assert check(agreement(scores(20), rounded(scores(20), 0.02))).distinct <= 20


def test_an_agreement_of_nan_is_stopped() -> None:
    with pytest.raises(QuantisationFailed, match="correlates"):
        check(Agreement(correlation=float("nan"), distinct=100, saturated=0.0))


def test_a_narrow_tensor_says_what_it_holds_and_can_store() -> None:
    tensor = Narrow("dense/BiasAdd", held=(-1.0, 9.0), stored=(-0.5, 4.5))
    assert tensor.covered == pytest.approx(0.5)
    assert tensor.sentence() == (
        "Tensor dense/BiasAdd holds -1 to 9 on real samples and can store -0.5 to 4.5 only, "
        "50% of it"
    )


def test_ranges_of_a_quantised_model_follow_from_its_scales() -> None:
    stored = stored_ranges(model_bytes("add_int8"))
    assert set(stored) == {"serving_default_a:0", "serving_default_b:0", "PartitionedCall"}
    # Its scale is 0.5 and its zero point -3.
    assert stored["PartitionedCall"] == (-62.5, 65.0)


def test_an_old_models_operators_names_and_kernels_are_mended(shared_data: Path) -> None:
    given = (shared_data / KWS).read_bytes()
    mended = tidied(given)
    assert tidied(mended) == mended
    sample = np.random.default_rng(0).normal(size=(1, 49, 10, 1)).astype(np.float32) * 20
    before, after = run_model(given, [sample]), run_model(mended, [sample])
    # Its kernels were int8, so that activations were rounded as it ran; they are no longer.
    assert np.abs(before - after).max() < 0.05
    ranges = held_ranges(mended, [sample])
    assert ranges["input_1"] == (float(sample.min()), float(sample.max()))


def test_kernels_are_changed_and_counted(shared_data: Path) -> None:
    whole = tidied((shared_data / KWS).read_bytes())
    assert weights(whole).count == 22604
    emptied = map_kernels(whole, np.zeros_like)
    kernels = weights(emptied).zeros - weights(whole).zeros
    assert 21_000 < kernels < weights(whole).count
    tflite.create(BackendContext(emptied)).close()


def test_a_wrong_model_for_study_has_one_layer_of_int8_kernels_changed() -> None:
    whole = (MODELS / "turbofan-rul" / "model.tflite").read_bytes()
    held = kernels_of(whole)
    wrong = list(itertools.islice(study_golden.wrong_models(whole), 4))
    for model in wrong:
        changed = [not np.array_equal(*pair) for pair in zip(kernels_of(model), held, strict=True)]
        assert sum(changed) == 1
    assert len(set(wrong)) == len(wrong)


def kernels_of(model: bytes) -> list[Array]:
    found: list[Array] = []

    def kept(values: Array) -> Array:
        found.append(values.copy())
        return values

    map_kernels(model, kept, INT8)
    return found


def test_what_is_no_tflite_file_is_said_so() -> None:
    with pytest.raises(NotTflite, match="no TensorFlow Lite model"):
        tidied(b"PK\x03\x04 not a model")
    with pytest.raises(NotTflite, match="damaged"):
        tidied(b"\xff\xff\xff\x7fTFL3" + b"\x00" * 20)


# --- with the quantiser itself ------------------------------------------------------------------


@pytest.fixture
def quantiser() -> Any:
    return pytest.importorskip(
        "ai_edge_quantizer.quantizer", reason="ai-edge-quantizer is in tools' environments only"
    )


def calibrated_the_default_way(model: bytes, samples: list[Array]) -> bytes:
    """Quantise as the quantiser's own documentation says: a moving average of each range."""
    quantizer: Any = importlib.import_module("ai_edge_quantizer.quantizer")
    recipe: Any = importlib.import_module("ai_edge_quantizer.recipe")
    name = tflite.create(BackendContext(model)).inputs[0].name
    made = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    ranges = made.calibrate({"serving_default": [{name: sample} for sample in samples]})
    return bytes(made.quantize(ranges).quantized_model)


def machine_sounds(count: int) -> list[Array]:
    """Return inputs for the autoencoder: most machines are quiet, each twentieth is loud."""
    rng = np.random.default_rng(0)
    level = np.where(np.arange(count) % 20 == 7, 90.0, -10.0)
    return [rng.normal(mean, 2.0, (1, 640)).astype(np.float32) for mean in level]


@pytest.mark.tools
@pytest.mark.usefixtures("quantiser")
def test_a_model_calibrated_the_default_way_is_stopped_and_the_cause_named(
    shared_data: Path,
) -> None:
    whole = tidied((shared_data / AUTOENCODER).read_bytes())
    samples = machine_sounds(400)
    broken = calibrated_the_default_way(whole, samples[:200])
    with pytest.raises(QuantisationFailed) as failure:
        gate(whole, broken, samples[200:])
    text = str(failure.value)
    assert "correlates with float at" in text
    assert "Cause: the calibration range. Tensor" in text
    assert "moving average" in text
    sound = int8_model(whole, samples[:200])
    assert gate(whole, sound, samples[200:]).correlation > 0.98


@pytest.mark.tools
@pytest.mark.usefixtures("quantiser")
def test_remaining_life_calibrated_the_default_way_is_stopped_as_saturated(
    shared_data: Path,
) -> None:
    """The failure that this gate was made for, from real engines and a network trained on them."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is in the training environment only")
    inputs, lives = engine_cycles(shared_data)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(14, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)]
    network = torch.nn.Sequential(*layers)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(200):
        optimiser.zero_grad()
        value = torch.nn.functional.mse_loss(
            network(torch.from_numpy(inputs)), torch.from_numpy(lives)
        )
        value.backward()
        optimiser.step()
    whole = float_model(network, inputs[:1], picture=False)
    chosen = np.random.default_rng(0).permutation(len(inputs))
    samples = [inputs[index : index + 1] for index in chosen[:800]]
    broken = calibrated_the_default_way(whole, samples[:200])
    tensor = narrowest(whole, broken, samples[200:])
    assert tensor is not None
    with pytest.raises(QuantisationFailed, match="Cause: the calibration range"):
        gate(whole, broken, samples[200:])
    gate(whole, int8_model(whole, samples[:200]), samples[200:])


def engine_cycles(data: Path) -> tuple[Array, Array]:
    """Return z-scored sensors [cycles, 14] and lives / 125 [cycles, 1]."""
    engines = cmapss.training_engines(data / "cmapss")
    values = np.concatenate([engine.samples for engine in engines])
    lives = np.concatenate([np.arange(len(engine.samples))[::-1] for engine in engines])
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    return scaled.astype(np.float32), (lives.clip(max=125) / 125).astype(np.float32)[:, None]


@pytest.mark.tools
@pytest.mark.usefixtures("quantiser")
def test_calibration_samples_of_another_shape_or_with_nan_or_too_few_are_refused(
    shared_data: Path,
) -> None:
    whole = (shared_data / KWS).read_bytes()
    good = np.zeros((1, 49, 10, 1), np.float32)
    with pytest.raises(QuantisationFailed) as failure:
        int8_model(whole, [good] * 199 + [np.zeros((1, 10, 49, 1), np.float32)])
    assert str(failure.value) == (
        "calibration sample 199 has shape [1, 10, 49, 1]; the model's input input_1 wants "
        "[-1, 49, 10, 1]"
    )
    with pytest.raises(QuantisationFailed, match="sample 3 holds NaN"):
        int8_model(whole, [good] * 3 + [np.full_like(good, np.nan)] + [good] * 200)
    with pytest.raises(QuantisationFailed, match="10 samples to calibrate with; 200 are needed"):
        int8_model(whole, [good] * 10)


@pytest.mark.tools
@pytest.mark.usefixtures("quantiser")
def test_every_precision_of_keyword_spotting_is_within_half_a_point(shared_data: Path) -> None:
    folder = shared_data / "mlperf_tiny"
    whole = (folder / "models/kws_ref_model_float32.tflite").read_bytes()
    published = (folder / "models/kws_ref_model.tflite").read_bytes()
    inputs, targets = keyword_spotting.keywords(folder, published)
    others, wanted = inputs[100:], targets[100:]

    def accuracy(model: bytes) -> float:
        return float((run_model(model, others).argmax(axis=1) == wanted).mean())

    floor = accuracy(whole) - 0.005
    assert accuracy(int8_model(whole, inputs[:100], fewest=100)) >= floor
    assert accuracy(float16_model(whole)) >= floor
    assert accuracy(dynamic_range_model(whole)) >= floor


@pytest.mark.tools
@pytest.mark.usefixtures("quantiser")
def test_weights_that_lie_behind_the_tree_are_counted_and_kept(shared_data: Path) -> None:
    """The quantiser puts the constants of larger models there."""
    whole = tidied((shared_data / AUTOENCODER).read_bytes())
    small = dynamic_range_model(whole)
    assert weights(small).count == weights(whole).count
    samples = machine_sounds(3)
    same = map_kernels(small, np.zeros_like)  # has no float kernel: packed anew, unchanged
    assert (run_model(same, samples) == run_model(small, samples)).all()


@pytest.mark.tools
def test_a_network_with_an_operator_that_tflite_has_not_is_refused_in_a_sentence() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is in the training environment only")

    class Eigen(torch.nn.Module):  # type: ignore[misc]
        def forward(self, values: Any) -> Any:
            return torch.linalg.eigvals(values.reshape(1, 4, 4)).real

    with pytest.raises(QuantisationFailed, match="does not convert to TFLite") as failure:
        float_model(Eigen(), np.zeros((1, 16), np.float32), picture=False)
    assert "\n" not in str(failure.value)
