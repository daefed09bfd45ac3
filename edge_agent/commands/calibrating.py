"""`edge-agent calibrate`: looks at good parts through a pipeline's own source, keeps what it saw.

    source -> task.prepare -> model -> task.cells -> calibration.measure -> state/calibration/

The first good parts are taken as they come: whoever calls it vouches that they are good.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent import registry
from edge_agent.clock import utc_text
from edge_agent.commands.named_pipeline import pipeline_of
from edge_agent.errors import BadInput, ConfigError, EndOfStream, FieldError, NotConnected
from edge_agent.inference import calibration, calibration_file
from edge_agent.inference.calibration import PARTS_MIN, CalibrationFailed
from edge_agent.inference.model import load_model
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.line.capture import NewestCapture
from edge_agent.metrics import Counters
from edge_agent.sources.base import SourceContext
from edge_agent.sources.folder import Options as FolderOptions
from edge_agent.tasks.base import Calibratable

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.config import Config, PipelineOptions
    from edge_agent.inference.model import Model
    from edge_agent.sources.base import Source
    from edge_agent.types import Item

READ_S = 0.5  # how long Ctrl-C may go unnoticed
RETRY_S = 1.0
# A part that is this unlike the others (calibration.measure) is hardly one of them.
ODD_AT = 6.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to calibrate, and on what.

    `parts`: how many good parts, the first that come. `false_reject`: the share of good parts that
    may fail. `pictures`: a folder to take them from instead of the pipeline's source. `wait_s`: how
    long nothing may come.
    """

    pipeline: str
    parts: int = 10
    false_reject: float = 0.01
    pictures: Path | None = None
    wait_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """What was calibrated: the file, the parts, those that do not look like the others."""

    file: Path
    parts: int
    skipped: tuple[str, ...]
    odd: tuple[str, ...]


def calibrate(
    config: Config, folder: Path, state_folder: Path, wanted: Wanted, stopping: threading.Event
) -> Done:
    """Measure and write the calibration of one pipeline; on any failure the old one stays.

    `folder`: where relative paths of the config start. Raises ConfigError where the pipeline cannot
    be calibrated, CalibrationFailed where its parts do not serve, ModelError.
    """
    options = _pipeline(config, wanted)
    model = load_model(folder / options.model, threads=options.threads, roi=options.roi)
    with ExitStack() as stack:
        stack.callback(model.backend.close)
        fail_at = _fail_at(options, model, wanted.pipeline)
        source = _source(config, options, model, folder, wanted)
        stack.callback(source.close)
        seen = _Seen([], [], [])
        for item in _items(source, wanted, stopping, seen):
            _look(model, item, seen)
        normal, unlike = calibration.measure(seen.cells, _task(model).reduce, wanted.false_reject)
    file = calibration_file.file_of(state_folder, wanted.pipeline)
    calibration_file.write(
        file,
        calibration_file.Document(
            pipeline=wanted.pipeline,
            model_id=model.bundle.manifest.model_id,
            model_sha256=model.bundle.model_sha256,
            made=utc_text(time.time_ns()),
            parts=len(seen.cells),
            false_reject=wanted.false_reject,
            roi=options.roi,
            fail_at=fail_at,
            shape=normal.mean.shape,
            typical=normal.typical,
            mean=calibration_file.numbers(normal.mean),
            deviation=calibration_file.numbers(normal.deviation),
            centre=normal.centre,
            margin=normal.margin,
            cell_limit=normal.cell_limit,
        ),
    )
    odd = [name for name, value in zip(seen.names, unlike, strict=True) if value > ODD_AT]
    return Done(file, len(seen.cells), tuple(seen.skipped), tuple(odd))


def forget(config: Config, state_folder: Path, pipeline: str) -> bool:
    """Take the calibration of a pipeline away; return whether there was one.

    Raises ConfigError where the config has no such pipeline.
    """
    pipeline_of(config, pipeline)
    file = calibration_file.file_of(state_folder, pipeline)
    there = file.is_file()
    file.unlink(missing_ok=True)
    return there


@dataclass(frozen=True, slots=True)
class _Seen:
    cells: list[NDArray[np.float32]]
    names: list[str]
    skipped: list[str]


def _pipeline(config: Config, wanted: Wanted) -> PipelineOptions:
    options = pipeline_of(config, wanted.pipeline)
    if not 0.0 < wanted.false_reject < 0.5:  # noqa: PLR2004  beyond half, most good parts fail
        raise CalibrationFailed(f"{wanted.false_reject:g} is no share of good parts that may fail")
    if wanted.parts < PARTS_MIN:
        raise CalibrationFailed(f"{wanted.parts} good parts show little: take {PARTS_MIN} or more")
    if options.trigger is not None and wanted.pictures is None:
        message = (
            "waits for triggers, and its source shows more than parts: calibrate it with "
            "--from FOLDER, a folder of pictures of good parts"
        )
        raise ConfigError([FieldError(f"/pipelines/{wanted.pipeline}/trigger", "trigger", message)])
    return options


def _task(model: Model) -> Calibratable:
    if not isinstance(model.task, Calibratable):
        kind = model.bundle.manifest.task.kind
        raise CalibrationFailed(
            f"{model.bundle.manifest.model_id} is a model of kind {kind}: only anomaly models are "
            "measured against good parts"
        )
    return model.task


def _fail_at(options: PipelineOptions, model: Model, pipeline: str) -> float:
    """Return the score that the rule takes for bad: the calibrated limit is put there."""
    _task(model)
    rule = options.rule or model.bundle.manifest.decision.rule
    if rule.direction == "below" or rule.fail_at <= 0.0:
        message = "must have fail_at above 0 and direction above: strange parts score high"
        raise ConfigError([FieldError(f"/pipelines/{pipeline}/rule", "rule", message)])
    fail_at: float = rule.fail_at
    return fail_at


def _source(
    config: Config, options: PipelineOptions, model: Model, folder: Path, wanted: Wanted
) -> Source:
    preprocess = model.bundle.manifest.task.preprocess
    counters = Counters()
    context = SourceContext(
        pipeline=wanted.pipeline,
        device=config.device.name,
        broker=config.broker,
        counters=counters,
        window=preprocess if isinstance(preprocess, WindowPreprocess) else None,
        folder=folder,
    )
    chosen: Any = options.source
    if wanted.pictures is not None:
        chosen = FolderOptions(kind="folder", path=str(wanted.pictures.absolute()))
    source: Source = registry.create("sources", chosen, context)
    return NewestCapture(source, counters) if source.capture == "newest" else source


def _items(
    source: Source, wanted: Wanted, stopping: threading.Event, seen: _Seen
) -> Iterator[Item]:
    """Yield items until enough of them were used, none is left, or none comes any more."""
    _connect(source, wanted, stopping)
    came_s = time.monotonic()
    while len(seen.cells) < wanted.parts and not stopping.is_set():
        try:
            item = source.read(READ_S)
        except BadInput as error:
            seen.skipped.append(str(error))
            continue
        except NotConnected:
            _connect(source, wanted, stopping)
            continue
        except EndOfStream:
            raise CalibrationFailed(_too_few(seen, wanted)) from None
        if item is not None:
            came_s = time.monotonic()
            yield item
        elif time.monotonic() - came_s > wanted.wait_s:
            raise CalibrationFailed(
                f"nothing came for {wanted.wait_s:g} s; {_too_few(seen, wanted)}"
            )
    if stopping.is_set():
        raise CalibrationFailed(f"stopped; {_too_few(seen, wanted)}")


def _connect(source: Source, wanted: Wanted, stopping: threading.Event) -> None:
    until_s = time.monotonic() + wanted.wait_s
    while True:
        try:
            source.connect()
        except NotConnected as error:
            if time.monotonic() > until_s or stopping.wait(RETRY_S):
                raise CalibrationFailed(str(error)) from None
        else:
            return


def _look(model: Model, item: Item, seen: _Seen) -> None:
    task = _task(model)
    try:
        outputs = model.backend.run(model.task.prepare(item))
        cells = task.cells(outputs, item)
    except BadInput as error:
        seen.skipped.append(f"{item.origin}: {error}")
        return
    seen.cells.append(cells)
    seen.names.append(item.origin or f"item {item.index}")


def _too_few(seen: _Seen, wanted: Wanted) -> str:
    skipped = f" ({len(seen.skipped)} could not be used)" if seen.skipped else ""
    return (
        f"only {len(seen.cells)} of {wanted.parts} good parts were seen{skipped}; nothing was "
        "written. --parts takes fewer"
    )
