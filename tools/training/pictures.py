"""Pictures as a network is trained on them: resized by the agent's own code, then normalised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.prepare import PicturePreparer
from edge_agent.tasks.base import TaskContext
from edge_agent.types import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import ImagePreprocess
    from edge_agent.types import Frame

    Byte = NDArray[np.uint8]
    Array = NDArray[np.float32]


def shrunk(frames: Iterable[Frame], preprocess: ImagePreprocess, size: tuple[int, int]) -> Byte:
    """Return frames at the size (height, width) of the model, in its colours: [n, h, w, 3]."""
    spec = TensorSpec("pixels", (1, *size, 3), "uint8")
    as_they_are = preprocess.model_copy(update={"mean": (0.0,), "std": (1.0,)})
    preparer = PicturePreparer(as_they_are, TaskContext((spec,), ()))
    return np.concatenate([preparer.prepare(frame)["pixels"] for frame in frames])


def normalised(pictures: Byte, preprocess: ImagePreprocess) -> Array:
    """Return pictures [n, h, w, 3] as the model's real input values, same shape."""
    mean, std = (np.array(values, np.float32) for values in (preprocess.mean, preprocess.std))
    return (pictures.astype(np.float32) - mean) / std


def to_network(preprocess: ImagePreprocess) -> Any:  # noqa: ANN401  a function on torch tensors
    """Return the same as a function from uint8 [n, h, w, 3] to what torch wants, [n, 3, h, w]."""
    import torch  # noqa: PLC0415  of the training environment only

    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)

    def prepare(batch: Any) -> Any:  # noqa: ANN401
        return ((batch.float() - mean) / std).permute(0, 3, 1, 2)

    return prepare
