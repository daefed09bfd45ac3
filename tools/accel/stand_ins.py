"""What stands in for hardware that this machine does not have, and runs all the same.

gpu       the software Vulkan driver that Debian's chromium brings along (SwiftShader)
npu       LiteRT's dispatch to Intel's OpenVINO, on OpenVINO's CPU
delegate  delegate.c, an external delegate that works or fails as its options say

    python -m tools.accel.stand_ins build

compiles that into the folder `build`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.commands.local_plant import DEVICE
from edge_agent.config import parse_tree
from edge_agent.inference.accelerator import AcceleratorOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

CHROMIUM = Path("/usr/lib/chromium")
NPU: dict[str, Any] = {"hardware": "npu", "options": {"graph_backend": "CPU"}}


def build_delegate(folder: Path) -> Path:
    """Compile delegate.c into `folder`; return the library."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libtestdelegate.so"
    source = Path(__file__).with_name("delegate.c")
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(source)], check=True)
    return library


def foreign(library: Path, path: Path) -> Path:
    """Write the library to `path` as if made for 64-bit Arm (or, there, for x86-64)."""
    content = bytearray(library.read_bytes())
    arm, intel = b"\xb7\x00", b"\x3e\x00"  # e_machine of the ELF header: EM_AARCH64, EM_X86_64
    content[18:20] = intel if bytes(content[18:20]) == arm else arm
    path.write_bytes(content)
    return path


def delegate(library: Path, **options: str | int) -> dict[str, Any]:
    """Return the config's table for the test delegate."""
    return {"delegate": str(library), "options": options}


def options(accelerator: str | Mapping[str, Any]) -> AcceleratorOptions:
    """Return what the config would make of it."""
    table = {"hardware": accelerator} if isinstance(accelerator, str) else accelerator
    return AcceleratorOptions.model_validate(dict(table))


def defined(library: Path) -> dict[str, Any]:
    """Return the config's `accelerators`: with these, a word chooses what runs a model."""
    return {"npu": NPU, "delegate": delegate(library)}


def by_word(word: str, library: Path) -> AcceleratorOptions:
    """Return what a pipeline gets that says this word in a config with `defined`."""
    pipeline = {
        "family": "qc",
        "model": "model",
        "source": {"kind": "simulator", "scene": "conveyor"},
        "accelerator": word,
    }
    tree = {"device": DEVICE, "accelerators": defined(library), "pipelines": {"it": pipeline}}
    return parse_tree(tree).pipelines["it"].accelerator


def gpu_environment(runtime_folder: Path) -> dict[str, str]:
    """Return the variables with which programs find the software driver; none where it is absent.

    They must be there when a process starts: the loader reads LD_LIBRARY_PATH once.
    """
    driver, loader = CHROMIUM / "vk_swiftshader_icd.json", CHROMIUM / "libvulkan.so.1"
    if not (driver.is_file() and loader.is_file()):
        return {}
    paths = [str(CHROMIUM), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {
        "VK_ICD_FILENAMES": str(driver),
        "XDG_RUNTIME_DIR": str(runtime_folder),
        "LD_LIBRARY_PATH": ":".join(paths),
    }


def missing(kind: str) -> str:
    """Return why `kind` ("gpu", "npu") cannot be run here, or ""."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return "LiteRT's CompiledModel needs ai-edge-litert"
    if kind == "gpu" and not gpu_environment(Path("/tmp")):  # noqa: S108  nothing is written there
        return "Debian's chromium, which has a software Vulkan driver, is not installed"
    if kind == "npu" and importlib.util.find_spec("openvino") is None:
        return "openvino is not installed: pip install 'edge-agent[npu-test]'"
    return ""


if __name__ == "__main__":
    print(build_delegate(Path(sys.argv[1])))
