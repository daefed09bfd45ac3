"""Compressing a model: structures, metrics, readers, the table, and what is refused."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from tests.tiny_tflite import model_bytes
from tests.tools.pictures import class_folders
from tools import keyword_spotting
from tools.compress import from_files
from tools.compress.__main__ import main as compress_main
from tools.compress.failures import CompressFailed
from tools.compress.measure import Latency
from tools.compress.quantise import float_model
from tools.compress.samples import read_samples
from tools.compress.scoring import Metric, chosen_metric
from tools.compress.structures import applied, clipped, clusters, magnitude
from tools.compress.table import CHOSEN, Row, smallest, table
from tools.compress.tflite_file import Weights
from tools.compress.variants import Variant
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

pytestmark = [
    # The frameworks warn of what they themselves will change.
    pytest.mark.filterwarnings("ignore"),
    # Loading them alone takes a minute on a machine that does much else.
    pytest.mark.timeout(600),
]

KWS = "mlperf_tiny/models/kws_ref_model_float32.tflite"


def kernel(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# --- structures ----------------------------------------------------------------------------------


def test_magnitude_pruning_zeroes_the_smallest_and_holds_them_there() -> None:
    given = kernel(16, 8)
    hold = magnitude(0.25)(given)
    held = hold(given)
    assert (held == 0).sum() == 32
    assert np.abs(given[held == 0]).max() <= np.abs(given[held != 0]).min()
    assert ((hold(given + 1) == 0) == (held == 0)).all()


def test_clustering_leaves_so_many_values_near_the_old_ones() -> None:
    given = kernel(32, 32)
    held = applied(clusters(16), given)
    assert len(np.unique(held)) <= 16
    assert np.corrcoef(given.ravel(), held.ravel())[0, 1] > 0.99


def test_clustered_values_move_together_while_training_goes_on() -> None:
    given = kernel(32, 32)
    hold = clusters(8)(given)
    moved = hold(given + kernel(32, 32) * 0.1)
    assert len(np.unique(moved)) <= 8


def test_clipping_takes_the_outlier_of_one_channel_and_leaves_the_others() -> None:
    given = kernel(4, 64)
    given[2, 5] = 50.0
    held = applied(clipped(4.0), given)
    assert held[2, 5] < 30
    assert (held[[0, 1, 3]] == given[[0, 1, 3]]).all()


def test_small_kernels_stay_as_they_are() -> None:
    given = kernel(4, 4)
    for structure in (magnitude(0.5), clusters(4), clipped(0.1)):
        assert (applied(structure, given) == given).all()


# --- metrics -------------------------------------------------------------------------------------


def test_the_metric_follows_from_the_targets() -> None:
    likely = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    assert chosen_metric("", likely, np.array([1, 0])).name == "accuracy"
    assert chosen_metric("", likely, np.array([0.5, 0.1])).name == "rmse"
    assert chosen_metric("", likely, None).name == "difference"
    with pytest.raises(CompressFailed, match="--metric accuracy needs targets"):
        chosen_metric("accuracy", likely, None)


@pytest.mark.parametrize(
    ("outputs", "targets", "sentence"),
    [
        (2, [0, 4], "targets go to 4, the model has 2 outputs$"),
        (
            1,
            [0, 120],
            "the model has 1 output, which tells 0 from 1; for values instead",
        ),
        (2, [-1, 1], "targets begin at -1; classes are counted from 0"),
        (2, ["ok", "worn"], "targets must be class numbers"),
        (2, [[0, 1], [1, 0]], r"one class number an item, and the targets hold \[2\]"),
    ],
)
def test_targets_that_are_no_classes_of_the_model_are_refused(
    outputs: int, targets: list[Any], sentence: str
) -> None:
    with pytest.raises(CompressFailed, match=sentence):
        chosen_metric("accuracy", np.zeros((2, outputs), np.float32), np.array(targets))


def test_fewer_classes_than_outputs_and_whole_numbers_as_values_are_taken() -> None:
    likely = np.zeros((2, 5), np.float32)
    assert chosen_metric("", likely, np.array([0, 1])).name == "accuracy"
    assert chosen_metric("rmse", likely[:, :1], np.array([0, 120])).name == "rmse"
    assert chosen_metric("", likely[:, :1], np.array([False, True])).name == "accuracy"


def test_accuracy_of_one_output_takes_half_or_zero_as_its_border() -> None:
    targets = np.array([0, 1, 1])
    likely = np.array([[0.4], [0.6], [0.3]], np.float32)
    assert Metric("accuracy").value(likely, targets) == pytest.approx(2 / 3)
    assert Metric("accuracy", logits=True).value(likely - 0.35, targets) == pytest.approx(1 / 3)


def test_losses_are_in_points_or_in_percent_of_the_float_models_error() -> None:
    assert Metric("accuracy").lost(0.9, 0.895) == pytest.approx(0.5)
    assert Metric("rmse").lost(10.0, 10.1) == pytest.approx(1.0)


def test_targets_of_another_shape_than_the_answers_are_refused() -> None:
    with pytest.raises(CompressFailed, match=r"answers \[4\] values an item and the targets"):
        Metric("rmse").value(np.zeros((3, 4), np.float32), np.zeros((3, 2)))


# --- the table -----------------------------------------------------------------------------------


def row(name: str, size: int, validation: float, test: float, p50_ms: float = 0.1) -> Row:
    variant = Variant(name, "int8", b"x" * size)
    return Row(variant, size // 2, Weights(100, 10), validation, test, Latency(p50_ms, 0.2))


def test_the_smallest_variant_within_the_loss_allowed_on_validation_is_chosen() -> None:
    rows = [row("whole", 900, 0.90, 0.90), row("good", 300, 0.897, 0.88), row("bad", 100, 0.5, 0.9)]
    metric = Metric("accuracy")
    assert smallest(rows, metric, 0.5).variant.shape == "good"
    assert smallest(rows, metric, 0.1).variant.shape == "whole"
    lines = table(rows, [Variant("x", "int8", failure="saturated")], metric, rows[1])
    assert len({len(line) for line in lines[:-1]}) == 1
    assert CHOSEN in lines[3]
    assert "+0.30" in lines[3], "lost on the validation part, which is what it is chosen by"
    assert "+2.00" in lines[3]
    assert lines[-1] == "stopped: x, int8: saturated"


def test_of_files_as_small_the_one_that_loses_least_is_chosen_and_then_the_fastest() -> None:
    whole = row("whole", 9000, 0.90, 0.90)
    slow, fast = row("slow", 3000, 0.897, 0.9, p50_ms=0.3), row("fast", 3010, 0.897, 0.9)
    better = row("better", 3020, 0.899, 0.9, p50_ms=0.3)
    metric = Metric("accuracy")
    assert smallest([whole, slow, fast], metric, 0.5) is fast
    assert smallest([whole, slow, fast, better], metric, 0.5) is better


def test_a_metric_knows_what_looking_at_nothing_gets() -> None:
    targets = np.repeat([0, 1], [60, 40])
    assert Metric("accuracy").chance(targets) == pytest.approx(0.6 + 2 * np.sqrt(0.24 / 100))
    assert 0.5 < (Metric("auroc").chance(targets) or 0) < 0.65
    assert Metric("rmse").chance(np.array([1.0, 3.0])) == 1.0
    assert Metric("difference").chance(targets) is None


# --- samples -------------------------------------------------------------------------------------


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_samples_of_one_group_stay_in_one_part(tmp_path: Path) -> None:
    groups = np.repeat(np.arange(20), 5)
    path = saved(tmp_path / "a.npz", inputs=kernel(100, 3), groups=groups)
    parts = [set(groups[part]) for _, part in read_samples(path).split.parts()]
    assert all(parts)
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]  # noqa: PT018


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"other": np.zeros(3)}, "holds no array `inputs`; it has other"),
        ({"inputs": np.full((9, 2), np.nan)}, "9 of 9 inputs hold NaN or infinity"),
        ({"inputs": np.zeros((9, 2)), "targets": np.zeros(8)}, "9 inputs and 8 targets"),
        ({"inputs": np.zeros((9, 2)), "groups": np.zeros(8)}, "9 inputs and 8 groups"),
        ({"inputs": np.array([["a"]])}, "inputs must be numbers"),
        ({"inputs": np.zeros((9, 2)), "parts": np.array(["x"] * 9)}, "parts must name train or"),
    ],
)
def test_unfit_samples_are_refused_in_a_sentence(
    tmp_path: Path, arrays: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CompressFailed, match=sentence):
        read_samples(saved(tmp_path / "a.npz", **arrays))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"hello")
    with pytest.raises(CompressFailed, match=r"not a readable \.npz file"):
        read_samples(tmp_path / "a.npz")


def said(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    from_files.add_arguments(parser)
    return parser.parse_args(words)


SHARES = (0.6, 0.2, 0.2)


def test_photos_in_class_folders_are_samples_at_the_size_and_scale_of_the_model(
    tmp_path: Path,
) -> None:
    folder = class_folders(tmp_path / "screws", 12)
    words = ["--data", str(folder), "--size", "24x32", "--group", r"part_(\d+)"]
    found = from_files.samples_of_files(said(*words), SHARES)
    assert found.inputs.shape == (24, 24, 32, 3)
    assert 0 <= found.inputs.min() < 0.2
    assert 0.5 < found.inputs.max() <= 1
    assert found.targets is not None
    assert np.bincount(found.targets.astype(np.int64)).tolist() == [12, 12]
    # Pits are dark, and class 1 is `pitted`.
    darkest = found.inputs.min(axis=(1, 2, 3))
    assert darkest[found.targets == 1].max() < darkest[found.targets == 0].min()
    with pytest.raises(DataUnfit, match="photos need --size HxW"):
        from_files.samples_of_files(said(*words[:2]), SHARES)


def test_rows_of_a_csv_are_samples_and_machines_stay_together(tmp_path: Path) -> None:
    path = tmp_path / "machines.csv"
    rng = np.random.default_rng(0)
    states = ["worn" if number % 40 > 20 else "ok" for number in range(200)]
    rows = [
        f"m{number // 20},{rng.normal():.3f},{rng.normal():.3f},{state}"
        for number, state in enumerate(states)
    ]
    path.write_text("\n".join(["machine,a,b,state", *rows]) + "\n")
    words = ["--data", str(path), "--unit", "machine", "--label", "state"]
    found = from_files.samples_of_files(said(*words), SHARES)
    assert found.inputs.shape == (200, 2)
    assert [f"{value:.3f}" for value in found.inputs[7]] == rows[7].split(",")[1:3]
    assert found.targets is not None
    assert found.targets[21] == 1
    assert found.targets[0] == 0
    machines = [set((part // 20).tolist()) for _, part in found.split.parts()]
    assert sorted(each for part in machines for each in part) == list(range(10))
    assert from_files.samples_of_files(said(*words, "--rows", "5"), SHARES).inputs.shape[1:] == (
        5,
        2,
    )
    with pytest.raises(DataUnfit, match="needs --label COLUMN"):
        from_files.samples_of_files(said(*words[:4]), SHARES)


# --- the command itself, with the quantiser ------------------------------------------------------


@pytest.fixture
def command() -> Any:
    pytest.importorskip(
        "ai_edge_quantizer", reason="ai-edge-quantizer is in the tools' environments only"
    )
    return importlib.import_module("tools.compress.__main__").main


@pytest.fixture
def keywords(shared_data: Path, tmp_path: Path) -> Path:
    folder = shared_data / "mlperf_tiny"
    published = (folder / "models/kws_ref_model.tflite").read_bytes()
    inputs, targets = keyword_spotting.keywords(folder, published)
    parts = np.array(["train"] * 100 + ["validation"] * 100 + ["test"] * 100)
    return saved(tmp_path / "kws.npz", inputs=inputs[:300, 0], targets=targets[:300], parts=parts)


@pytest.mark.tools
def test_a_float_tflite_model_comes_out_smaller_with_its_table(
    command: Any, keywords: Path, shared_data: Path, tmp_path: Path
) -> None:
    arguments = [shared_data / KWS, tmp_path / "out", "--data", keywords, "--calibration", "100"]
    assert command(list(map(str, arguments))) == 0
    model = (tmp_path / "out/model.tflite").read_bytes()
    assert len(model) < 50_000
    tflite.create(BackendContext(model)).close()
    rows = json.loads((tmp_path / "out/variants.json").read_text())
    assert {"float32", "float16", "dynamic range", "int8", "int16 activations"} == {
        each["stored_as"] for each in rows if each["model"] == "as given"
    }
    zeros = next(each for each in rows if each["model"] == "50% zeros")
    assert zeros["zeros"] > 0.45 * zeros["weights"]
    assert zeros["zipped_bytes"] < rows[0]["zipped_bytes"]
    assert "<- chosen" in (tmp_path / "out/table.md").read_text()


@pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_quantizer") is not None, reason="the quantiser is here"
)
@pytest.mark.parametrize(
    ("name", "environment"), [("m.keras", ".venv-keras"), ("m.onnx", ".venv-train")]
)
def test_without_the_quantiser_the_python_that_can_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, environment: str
) -> None:
    (tmp_path / name).touch()
    words = [str(tmp_path / name), str(tmp_path / "out"), "--data", "nowhere.npz"]
    assert compress_main(words) == 1
    assert f"run it with {environment}/bin/python" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (["notes.txt"], "exists and is no folder with variants.json"),
        (["variants.json", "model.tflite", "manifest.json"], "holds manifest.json beside a model"),
    ],
)
def test_a_folder_with_anything_else_in_it_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: list[str], sentence: str
) -> None:
    out = tmp_path / "theirs"
    out.mkdir()
    for name in files:
        (out / name).write_text("dear")
    assert compress_main(["nowhere.tflite", str(out), "--data", "nowhere.npz"]) == 1
    assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == sorted(files)


@pytest.mark.tools
def test_samples_of_the_wrong_shape_leave_nothing_behind(
    command: Any, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = saved(tmp_path / "a.npz", inputs=kernel(300, 10, 49, 1))
    assert command([str(shared_data / KWS), str(tmp_path / "out"), "--data", str(data)]) == 1
    assert capsys.readouterr().err == (
        "compress: the samples have shape [1, 10, 49, 1]; the model's input input_1 wants "
        "[-1, 49, 10, 1]\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz"]


@pytest.mark.tools
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("m.tflite", b"nonsense", "no TensorFlow Lite model"),
        ("m.tflite", model_bytes("add_int8"), "is quantised already: its input"),
        ("m.xyz", b"nonsense", "m.xyz is none of"),
        ("m.onnx", b"nonsense", "cannot be loaded"),
        ("m.keras", b"nonsense", "Keras"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_in_a_sentence(
    command: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes,
    sentence: str,
) -> None:
    (tmp_path / name).write_bytes(content)
    data = saved(tmp_path / "a.npz", inputs=kernel(300, 3))
    assert command([str(tmp_path / name), str(tmp_path / "out"), "--data", str(data)]) == 1
    said = capsys.readouterr().err
    assert sentence in said or "needs TensorFlow" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.tools
@pytest.mark.parametrize(
    "name", ["mobilenet_v1_0.25_128_quant_edgetpu", "model_invoking_error", "person_detect_model"]
)
def test_published_models_that_must_be_refused_are_refused_in_a_sentence(
    command: Any,
    shared_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    model = shared_data / "malformed_models" / f"{name}.tflite"
    data = saved(tmp_path / "a.npz", inputs=kernel(300, 3))
    assert command([str(model), str(tmp_path / "out"), "--data", str(data)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("compress: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


# --- PyTorch and ONNX ----------------------------------------------------------------------------


@pytest.fixture
def trained() -> tuple[Any, Array, NDArray[np.int64]]:
    """Return a small network, pictures [400, 12, 12, 3] of two kinds, and their classes."""
    torch = pytest.importorskip("torch", reason="PyTorch is in the training environment only")
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 12, 12, 3)).astype(np.float32)
    targets = np.arange(400) % 2
    inputs[targets == 1, 3:8, 3:8] += 0.8
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, 2, bias=False),
        torch.nn.BatchNorm2d(32),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 32, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 9, 2),
    )
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    pictures = torch.from_numpy(inputs[:300]).permute(0, 3, 1, 2)
    for _ in range(30):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(pictures), torch.from_numpy(targets[:300]))
        loss.backward()
        optimiser.step()
    return network.eval(), inputs, targets


@pytest.mark.tools
def test_a_torch_network_loses_channels_and_comes_back(
    command: Any, trained: tuple[Any, Array, NDArray[np.int64]], tmp_path: Path
) -> None:
    torch: Any = importlib.import_module("torch")
    network, inputs, targets = trained
    torch.save(network, tmp_path / "network.pt")
    data = saved(tmp_path / "a.npz", inputs=inputs, targets=targets)
    arguments = ["--data", str(data), "--epochs", "4", "--loss-allowed", "3"]
    assert command([str(tmp_path / "network.pt"), str(tmp_path / "out"), *arguments]) == 0
    rows = json.loads((tmp_path / "out/variants.json").read_text())
    halved = next(each for each in rows if each["model"] == "50% fewer channels")
    assert halved["weights"] < 0.6 * rows[0]["weights"]
    assert halved["test"] > rows[0]["test"] - 0.1
    assert (tmp_path / "out/model.tflite").stat().st_size < rows[0]["bytes"] / 2


@pytest.mark.tools
def test_a_model_at_chance_and_too_few_samples_for_int8_are_said_up_front(
    command: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is in the training environment only")
    inputs, targets = kernel(120, 6), np.arange(120) % 2
    network = torch.nn.Linear(6, 1)
    with torch.no_grad():
        network.weight *= 0.01
        network.bias.fill_(1.0)  # always the second class
    path = tmp_path / "model.tflite"
    path.write_bytes(float_model(network, inputs[:1], picture=False))
    data = saved(tmp_path / "a.npz", inputs=inputs, targets=targets)
    words = [str(path), str(tmp_path / "out"), "--data", str(data), "--no-training"]
    capfd.readouterr()
    assert command(words) == 0
    said, noise = capfd.readouterr()
    before_the_table = said.partition("| model")[0]
    assert "int8 wants 200 samples to calibrate with, and the training part has" in before_the_table
    assert "warning: the model as given has accuracy" in before_the_table
    assert "where chance gets up to" in before_the_table
    assert not noise, "what runtimes say is nobody's to read"
    assert command(words) == 0
    assert "this one replaces it" in capfd.readouterr().out


@pytest.mark.tools
def test_training_for_rounding_keeps_the_answers_near(
    trained: tuple[Any, Array, NDArray[np.int64]],
) -> None:
    from tools.compress.quantise import agreement, check, int8_model, run_model  # noqa: PLC0415
    from tools.compress.source import Tuning  # noqa: PLC0415
    from tools.compress.torch_network import TorchNetwork  # noqa: PLC0415  needs torch

    pytest.importorskip("ai_edge_quantizer", reason="it is in the tools' environments only")
    network, inputs, _ = trained
    given = TorchNetwork(network, inputs[:1])
    samples = [sample[None] for sample in inputs[:300]]
    whole = given.tflite()
    answers = run_model(whole, samples)
    given.tune(inputs[:300], Tuning(answers, epochs=2, quantised=True, rate=2e-4))
    small = int8_model(given.tflite(), samples)
    held = [sample[None] for sample in inputs[300:]]
    check(agreement(run_model(whole, held).ravel(), run_model(small, held).ravel()))


@pytest.mark.tools
def test_a_pickle_with_foreign_code_is_not_opened(
    command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is in the training environment only")

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (importlib.import_module("os").mkdir, (str(tmp_path / "harmed"),))

    torch.save(Harm(), tmp_path / "network.pt")
    data = saved(tmp_path / "a.npz", inputs=kernel(300, 3))
    assert command([str(tmp_path / "network.pt"), str(tmp_path / "out"), "--data", str(data)]) == 1
    assert "which is none of our recipes' classes" in capsys.readouterr().err
    assert not (tmp_path / "harmed").exists()


@pytest.mark.tools
def test_an_onnx_model_becomes_tflite_or_stays_onnx_with_the_reason(
    command: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnx", reason="onnx is in the training environment only")
    data = saved(
        tmp_path / "a.npz", inputs=kernel(300, 16), targets=np.arange(300, dtype=np.int64) % 4
    )
    for activation, suffix in (("Relu", "tflite"), ("Shrink", "onnx")):
        (tmp_path / "m.onnx").write_bytes(onnx_model(activation))
        out = tmp_path / suffix
        arguments = [str(tmp_path / "m.onnx"), str(out), "--data", str(data), "--no-training"]
        assert command(arguments) == 0, capsys.readouterr().err
        assert (out / f"model.{suffix}").is_file()
        assert ("stays ONNX: it does not convert" in capsys.readouterr().out) == (suffix == "onnx")


def onnx_model(activation: str) -> bytes:
    """Return 16 values, dense 64, an activation, dense 4."""
    helper: Any = importlib.import_module("onnx.helper")
    arrays: Any = importlib.import_module("onnx.numpy_helper")
    kind = helper.TensorProto.FLOAT if hasattr(helper, "TensorProto") else 1
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
        helper.make_node(activation, ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["y"], transB=1),
    ]
    constants = {"w1": kernel(64, 16), "b1": kernel(64), "w2": kernel(4, 64), "b2": kernel(4)}
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info("x", kind, [1, 16])],
        [helper.make_tensor_value_info("y", kind, [1, 4])],
        [arrays.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())
