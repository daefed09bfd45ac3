"""A pipeline's source with a watch over it, made from the config and the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent import registry
from edge_agent.errors import BadInput, NotConnected
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.line.capture import NewestCapture, TimedSource
from edge_agent.monitoring import reference_file
from edge_agent.monitoring.camera_health import CameraHealth
from edge_agent.monitoring.drift import Reference
from edge_agent.monitoring.model_watch import ModelWatch
from edge_agent.monitoring.sensor_health import SensorHealth
from edge_agent.monitoring.unwatched import Unwatched
from edge_agent.monitoring.watch import Watch
from edge_agent.sources.base import SourceContext

if TYPE_CHECKING:
    from edge_agent.config import PipelineOptions
    from edge_agent.inference.model import Model
    from edge_agent.line.pipeline_context import PipelineContext
    from edge_agent.line.variants import Variants
    from edge_agent.metrics import Counters
    from edge_agent.monitoring.watch import Health
    from edge_agent.sources.base import Capture, Source
    from edge_agent.types import Item


class WatchedSource:
    """Shows everything that a source gives, and when it gives nothing, to a watch.

    That it has fallen silent is a BadInput, once: somebody has to be told.
    """

    capture: Capture = "inline"

    def __init__(self, source: Source, watch: Watch) -> None:
        self._source = source
        self._watch = watch

    def connect(self) -> None:
        """Connect the source. Raises NotConnected."""
        try:
            self._source.connect()
        except NotConnected as error:
            self._watch.away(str(error))
            raise
        self._watch.connected()

    def read(self, timeout_s: float) -> Item | None:
        """Return the next item. Raises as the source, and BadInput (`camera_late`, ...)."""
        self._watch.look()  # at the item before: it is answered by now
        self._watch.waiting()
        try:
            item = self._source.read(timeout_s)
        except NotConnected as error:
            self._watch.away(str(error))
            raise
        except BadInput:
            self._watch.silent()
            raise
        if item is not None:
            self._watch.saw(item)
        elif self._watch.silent():
            self._watch.complain()
        return item

    def close(self) -> None:
        """Accept nothing more."""
        self._source.close()


def open_watched(
    options: PipelineOptions, context: PipelineContext, variants: Variants, counters: Counters
) -> tuple[WatchedSource, Watch]:
    """Build the source of a pipeline; it opens nothing yet. Raises ConfigError."""
    preprocess = variants.any_model.bundle.manifest.task.preprocess
    window = preprocess if isinstance(preprocess, WindowPreprocess) else None
    source_context = SourceContext(
        pipeline=context.identity.pipeline,
        device=context.device,
        broker=context.broker,
        counters=counters,
        window=window,
        folder=context.folder,
    )
    source: Source = registry.create("sources", options.source, source_context)
    health = _health(options, source, source_context)
    source = TimedSource(source, counters.captures)
    if source.capture == "newest":
        source = NewestCapture(source, counters)

    def watched(model: Model) -> ModelWatch:
        return _model_watch(model, options, context)

    figures_hz = options.drift.figures_hz
    watch = Watch(context.identity.pipeline, health, watched, figures_hz, options.roi)
    return WatchedSource(source, watch), watch


def _health(options: PipelineOptions, source: Source, context: SourceContext) -> Health:
    if context.window is None:
        if not options.camera.on:
            return Unwatched("camera")
        return CameraHealth(options.camera, live=source.capture == "newest")
    if not options.sensor.on:
        return Unwatched("sensor")
    return SensorHealth(options.sensor, context.window, context.heard, context.counters)


def _model_watch(model: Model, options: PipelineOptions, context: PipelineContext) -> ModelWatch:
    name, roi, bundle = context.identity.pipeline, options.roi, model.bundle
    origin = reference_file.Origin(bundle.model_sha256, roi, model.calibrated)
    known = bundle.manifest.reference
    usual = Reference(known.items, known.figures, known.reject_rate) if known else None
    kept_in = (
        reference_file.file_of(context.calibration.parents[1], name, bundle.model_sha256)
        if context.calibration is not None
        else None
    )
    return ModelWatch(
        name,
        options.drift,
        options.reject_rate,
        origin,
        family=options.family,
        # A part of the picture is another view than the one that the bundle tells of.
        bundle=usual if roi is None else None,
        kept_in=kept_in,
    )
