"""The accelerators that are there without hardware, and a bundle to run on them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.accelerators.line import Line
from tools.accel import stand_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Begin = Callable[..., Line]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the test delegate, compiled."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile the test delegate")
    return stand_ins.build_delegate(tmp_path_factory.mktemp("delegate"))


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes that start from now on find the software GPU."""
    if reason := stand_ins.missing("gpu"):
        pytest.skip(reason)
    for name, value in stand_ins.gpu_environment(tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def npu() -> None:
    """Skip where there is nothing that stands in for an NPU."""
    if reason := stand_ins.missing("npu"):
        pytest.skip(reason)


@pytest.fixture
def exact_npu(npu: None) -> None:  # noqa: ARG001  it skips, too
    """Skip where what stands in for an NPU need not be right.

    It is OpenVINO on the CPU, which without VNNI adds products of 8 bits in 16 and saturates.
    """
    if "vnni" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("what stands in for an NPU cannot be trusted on a CPU without VNNI")


@pytest.fixture(scope="session")
def foreign_library(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the test delegate as if made for another kind of machine."""
    return stand_ins.foreign(library, tmp_path_factory.mktemp("foreign") / "libforeign.so")


@pytest.fixture
def begin() -> Iterator[Begin]:
    lines: list[Line] = []

    def make(accelerator: Any, **more: Any) -> Line:
        lines.append(Line(accelerator, **more))
        return lines[-1]

    yield make
    for line in lines:
        line.close()
