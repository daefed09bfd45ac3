"""A model on an accelerator, as a pipeline has it, and what its answers have to be."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.acceleration.accelerated import Accelerated, Acceleration
from edge_agent.acceleration.process import CHILD, AcceleratorProcess
from edge_agent.inference.model import load_model
from tests.agents import MODELS
from tools.accel import stand_ins

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.acceleration.process import RemoteModel
    from edge_agent.types import Tensors

BUNDLE = MODELS / "conveyor-parts"


class Line:
    """One model as a pipeline has it, and golden inputs to run it on."""

    def __init__(self, accelerator: Any, bundle: Path = BUNDLE, **wanted: Any) -> None:
        limit = wanted.pop("limit", ())
        self.process = wanted.pop("process", None) or AcceleratorProcess((*limit, *CHILD))
        self.counted: list[str] = []
        acceleration = Acceleration(
            pipeline="camera",
            accelerator=stand_ins.options(accelerator),
            process=self.process,
            load_s=wanted.pop("load_s", 30.0),
            run_timeout_s=wanted.pop("run_timeout_s", 10.0),
            count=self.counted.append,
            rests=wanted.pop("rests", lambda: itertools.repeat(0.05)),
            **wanted,
        )
        model = load_model(bundle, threads=1, roi=None, acceleration=acceleration)
        assert isinstance(model.backend, Accelerated)
        self.backend = model.backend
        self.given = dict(np.load(MODELS / "conveyor-parts" / "golden_in_0.npz"))

    @property
    def report(self) -> Any:
        return self.backend.report()

    @property
    def remote(self) -> RemoteModel:
        assert self.backend._remote is not None
        return self.backend._remote

    def answer(self) -> Tensors:
        return {name: array.copy() for name, array in self.backend.run(self.given).items()}

    def close(self) -> None:
        self.backend.close()
        self.process.close()
        self.backend.join(10)


def right() -> NDArray[np.float64]:
    model = load_model(BUNDLE, threads=1, roi=None)
    found = model.backend.run(dict(np.load(BUNDLE / "golden_in_0.npz")))
    return np.asarray(next(iter(found.values())), np.float64)


def assert_right(answer: Tensors) -> None:
    assert np.abs(np.asarray(next(iter(answer.values())), np.float64) - right()).max() < 0.16


def assert_on_cpu(line: Line, reason: str) -> None:
    assert_right(line.answer())
    assert line.backend.accelerator == "cpu"
    assert (line.report.effective, line.report.reason) == ("cpu", reason)
    assert line.report.share is None
