"""PyTorch networks that the recipes saved whole: torch.save(network, "network.pt").

A pickle can run any code when it is read: only classes of torch, of tools/ and of the backbones
that the recipes use are taken.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tools.compress.failures import CompressFailed, MissingFramework
from tools.compress.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NAME = "a PyTorch network of our recipes (.pt, .pth)"
TRUSTED = ("torch", "tools", "efficientnet_lite_pytorch", "collections", "functools")


def is_format(path: Path) -> bool:
    """Return whether this reader takes it."""
    return path.suffix in {".pt", ".pth"}


def read(path: Path, sample: NDArray[np.float32]) -> Source:
    """Return the network and its float TFLite model."""
    try:
        torch: Any = importlib.import_module("torch")
        from tools.compress.torch_network import TorchNetwork  # noqa: PLC0415  needs torch
    except ImportError:
        raise MissingFramework(path.name, "PyTorch", ".venv-train") from None
    network = TorchNetwork(_loaded(torch, path), sample)
    return Source(network.tflite(), network=network)


def _loaded(torch: Any, path: Path) -> Any:  # noqa: ANN401  untyped here
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        _check_trusted(names, path)
        with torch.serialization.safe_globals([_class(name) for name in names]):
            network = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, OSError, AttributeError, ImportError, EOFError) as error:
        raise CompressFailed(f"{path.name} cannot be read: {_first_line(error)}") from None
    except Exception as error:  # UnpicklingError, which torch words in a page
        if type(error).__name__ != "UnpicklingError":
            raise
        raise CompressFailed(f"{path.name} cannot be read: {_first_line(error)}") from None
    if not isinstance(network, torch.nn.Module):
        raise CompressFailed(
            f"{path.name} holds {type(network).__name__} instead of a whole network: save it with "
            "torch.save(network, path), not its state_dict()"
        )
    return network


def _check_trusted(names: list[str], path: Path) -> None:
    strange = [name for name in names if name.partition(".")[0] not in TRUSTED]
    if strange:
        raise CompressFailed(
            f"{path.name} holds {strange[0]}, which is none of our recipes' classes"
        )


def _class(name: str) -> Any:  # noqa: ANN401
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
