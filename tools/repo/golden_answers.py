"""What a model answers to the golden inputs of another one, run in a process of its own.

Who wrote to a registry may have written anything: native code must not read it beside keys.
"""

from __future__ import annotations

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

import numpy as np

from edge_agent import registry
from edge_agent.backends.base import BackendContext
from edge_agent.errors import EdgeAgentError
from edge_agent.inference.golden import npz
from tools.repo.signing import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Sequence


def golden_answers(runtime: str, model: bytes, inputs: Sequence[bytes]) -> list[bytes]:
    """Return an .npz file for each of `inputs`. Raises RepositoryError."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as child:
        try:
            return child.submit(_answers, runtime, model, tuple(inputs)).result()
        except BrokenProcessPool:
            raise RepositoryError("the model crashed on the golden inputs") from None
        except (EdgeAgentError, ValueError, KeyError, RuntimeError) as error:
            raise RepositoryError(f"the golden inputs do not fit the model: {error}") from None


def _answers(runtime: str, model: bytes, inputs: tuple[bytes, ...]) -> list[bytes]:
    backend = registry.plugin("backends", runtime).create(BackendContext(model))
    try:
        answers = []
        for content in inputs:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                answers.append(npz(backend.run(dict(archive))))
        return answers
    finally:
        backend.close()
