"""The command that compresses a model: what comes out, and what is refused."""

from __future__ import annotations

import importlib
import importlib.util
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from tests.tiny_tflite import model_bytes
from tests.tools.arrays import kernel, saved
from tools import keyword_spotting
from tools.compress.__main__ import main as compress_main
from tools.compress.quantise import float_model

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

KWS = "mlperf_tiny/models/kws_ref_model_float32.tflite"


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
