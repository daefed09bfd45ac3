"""What LiteRT's log says of where operators run; lines as ai-edge-litert 2.3 writes them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from edge_agent.errors import AcceleratorError
from edge_agent.inference import compiled_model
from edge_agent.inference.native_log import native_log
from tests.agents import MODELS

GPU = "I0000 00:00:1.1 42 delegate_kernel.cc:984] Initializing WebGPU-based API from graph.\n"
SOME = (
    "63 operations will run on the GPU, and the remaining 1 operations will run on the CPU.\n" + GPU
)
NPU = (
    "INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 16 ops, from a total of 17 "
    "ops. resulted in 1 partitions.\n"
    "INFO: [compiled_model.cc:1397] 1 compiler plugins were applied successfully: IntelOpenVINO\n"
    "INFO: [dispatch_delegate.cc:128] DispatchDelegate::Initialize main\n"
)
NO_NPU = (
    "INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 17 ops, from a total of 17 "
    "ops. resulted in 1 partitions.\n"
    "INFO: [compiled_model.cc:1397] 0 compiler plugins were applied successfully: \n"
)


def test_the_gpu_has_what_it_says_it_took() -> None:
    assert compiled_model._gpu_share(SOME, all_of_it=False) == 63 / 64
    assert compiled_model._gpu_share(GPU, all_of_it=True) == 1.0


@pytest.mark.parametrize(
    ("log", "all_of_it"), [("", True), ("INFO: XNNPACK\n", True), (GPU, False)]
)
def test_without_a_word_of_the_gpu_nothing_runs_there(log: str, *, all_of_it: bool) -> None:
    with pytest.raises(AcceleratorError, match="refused_graph"):
        compiled_model._gpu_share(log, all_of_it=all_of_it)


def test_the_npu_has_what_was_compiled_for_it() -> None:
    assert compiled_model._npu_share(NPU) == 16 / 17
    ahead_of_time = NPU.splitlines()[-1]
    assert compiled_model._npu_share(ahead_of_time) is None


def test_a_partition_that_no_compiler_took_is_on_the_cpu() -> None:
    with pytest.raises(AcceleratorError, match="unavailable"):
        compiled_model._npu_share(NO_NPU)


def test_the_reason_is_the_logs_first_error_without_its_place() -> None:
    log = "INFO: x\nERROR: [delegate_webgpu.cc:359] Failed to initialize: No adapters found\n"
    said = compiled_model._sentence("RuntimeError", log)
    assert said == "Failed to initialize: No adapters found"


# On any machine: those without the hardware refuse, those with it close.
LOADED = """
import sys
from pathlib import Path
from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.errors import AcceleratorError
from edge_agent.inference.accelerator import AcceleratorOptions
for hardware in ("gpu", "npu"):
    accelerator = AcceleratorOptions(hardware=hardware)
    model = Path(sys.argv[1]).read_bytes()
    try:
        tflite.create(BackendContext(model, 1, accelerator)).close()
    except AcceleratorError as error:
        print(hardware, error.reason)
    else:
        print(hardware, "closed")
"""


@pytest.mark.tflite
def test_nothing_is_said_of_accelerators_that_go() -> None:
    pytest.importorskip("ai_edge_litert", reason="tflite-runtime has no accelerators")
    command = [sys.executable, "-c", LOADED, str(MODELS / "conveyor-parts" / "model.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["gpu", "npu"]
    assert "DestroyAccelerator" not in done.stderr


def test_of_two_threads_that_put_standard_error_aside_each_gets_its_own() -> None:
    shown = os.fstat(2)
    opened, may_end = threading.Event(), threading.Event()
    found: list[str] = []

    def write(text: str, *, first: bool) -> None:
        with native_log() as log:
            os.write(2, text.encode())
            if first:
                opened.set()
                may_end.wait()
        found.append(log.text)

    threads = [threading.Thread(target=write, args=("a",), kwargs={"first": True})]
    threads[0].start()
    opened.wait()
    threads.append(threading.Thread(target=write, args=("b",), kwargs={"first": False}))
    threads[1].start()
    may_end.set()
    for thread in threads:
        thread.join()
    assert found == ["a", "b"]
    # What was shown before is shown again.
    assert os.path.samestat(os.fstat(2), shown)
