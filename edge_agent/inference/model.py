"""A model ready to run: its bundle, the backend that holds it and the task that speaks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent import registry
from edge_agent.acceleration import proof
from edge_agent.acceleration.accelerated import Accelerated, ModelFile
from edge_agent.backends.base import BackendContext
from edge_agent.errors import AcceleratorError, ModelError, no_such
from edge_agent.inference import calibration_file
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.tasks.base import TaskContext

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from edge_agent.acceleration.accelerated import Acceleration
    from edge_agent.acceleration.report import AccelerationReport
    from edge_agent.backends.base import Backend
    from edge_agent.inference.accelerator import AcceleratorOptions
    from edge_agent.modelstore.manifest import Bundle
    from edge_agent.tasks.base import Task


@dataclass(frozen=True, slots=True)
class Model:
    """What a pipeline swaps as one when its model changes.

    `note`: why a calibration that is there is not used, or "". `calibrated`: when the one was made
    that is used, or "".
    """

    bundle: Bundle
    backend: Backend
    task: Task
    note: str = ""
    calibrated: str = ""

    def wait_settled(self, given_up: threading.Event) -> None:
        """Wait for the accelerator without which it must not run."""
        if isinstance(self.backend, Accelerated):
            self.backend.wait_settled(given_up)

    @property
    def acceleration(self) -> AccelerationReport | None:
        """What runs it; None where the CPU is all that was wanted."""
        return self.backend.report() if isinstance(self.backend, Accelerated) else None


def load_model(
    folder: Path,
    *,
    threads: int,
    roi: tuple[int, int, int, int] | None,
    calibration: Path | None = None,
    acceleration: Acceleration | None = None,
) -> Model:
    """Load the bundle in `folder`, and the file `calibration` if it is there and fits.

    With `acceleration` it also comes to run on what that names, in a process of its own and some
    time later: see acceleration/accelerated.py. Raises ModelError.

    Native code runs here on the bundle's bytes: only ever call it in a worker or a child.
    """
    bundle = load_bundle(folder)
    try:
        plugin = registry.plugin("backends", bundle.variant.runtime)
    except KeyError:
        place = f"/variants/{bundle.manifest.variants.index(bundle.variant)}/runtime"
        text = no_such("runtime", bundle.variant.runtime, registry.kinds("backends"))
        raise ModelError(f"manifest.json: {place}: {text}") from None
    backend: Backend = plugin.create(BackendContext(bundle.model, threads))
    found = (
        calibration_file.find(calibration, bundle.model_sha256, roi)
        if calibration is not None
        else calibration_file.Found(None)
    )
    context = TaskContext(backend.inputs, backend.outputs, bundle.labels, roi, found.calibration)
    task: Task = registry.create("tasks", bundle.manifest.task, context)
    calibrated = found.calibration.made if found.calibration else ""
    if acceleration is not None:
        file = _made_for(acceleration.accelerator, folder, bundle, threads)
        samples = proof.on_cpu(folder, bundle, backend)
        backend = Accelerated(backend, file, samples, acceleration)
    return Model(bundle, backend, task, found.note, calibrated)


def _made_for(
    accelerator: AcceleratorOptions, folder: Path, plain: Bundle, threads: int
) -> ModelFile:
    """Return the model file that the accelerator is to run. Raises ModelError.

    A variant that did not come with the bundle is the accelerator's trouble: the CPU has its own.
    """
    try:
        bundle = load_bundle(folder, accelerator)
    except AcceleratorError as trouble:
        return ModelFile(plain.variant.runtime, b"", threads, trouble)
    return ModelFile(bundle.variant.runtime, bundle.model, threads)
