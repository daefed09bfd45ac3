"""A worker process: runs its pipelines in threads, reports each second, obeys the agent's pipe."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edge_agent.acceleration.process import AcceleratorProcess
from edge_agent.inference.calibration_file import file_of
from edge_agent.line.pipeline import Identity
from edge_agent.line.pipeline_context import PipelineContext
from edge_agent.line.pipeline_thread import PipelineThread
from edge_agent.pictures import buffers, image
from edge_agent.processes import wire
from edge_agent.processes.crew import Crew
from edge_agent.processes.memory import Tidy, keep_memory, one_heap
from edge_agent.processes.turns import finish_turns
from edge_agent.processes.worker_options import EXIT_NO_MEMORY, REPORT_S
from edge_agent.serving import logs
from edge_agent.threads import show_name
from edge_agent.types import Frame
from edge_agent.upload.outgoing import Outgoing

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from edge_agent.config import PipelineOptions
    from edge_agent.processes.worker_options import WorkerOptions
    from edge_agent.types import Item, Verdict

log = logging.getLogger(__name__)

# How soon it is seen that a pipeline has ended, so that its successor can start, or that it runs.
UNSETTLED_POLL_S = 0.02
# A snapshot goes over MQTT to a person: its longer side, and its JPEG quality.
SNAPSHOT_PIXELS, SNAPSHOT_QUALITY = 1280, 80

# Imported once by the fork server: a worker then starts in a tenth of a second and shares the
# pages of these libraries with all other workers.
# Ours comes first: it sets what OpenCV reads from the environment once, when it is imported.
PRELOAD = (
    "edge_agent.config",
    "numpy",
    "cv2",
    "simplejpeg",
    "ai_edge_litert.interpreter",
    "paho.mqtt.client",
)


def preload() -> None:
    """Import what every worker needs; whatever is not installed is imported where it is needed."""
    for name in PRELOAD:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    # What is imported stays: the collector need not look through it again in every worker, nor
    # write to the pages that they share.
    gc.collect()
    gc.freeze()


def main(pipe: Connection, options: WorkerOptions) -> None:
    """Run until the agent says stop, or is gone."""
    _prepare_process(options)
    writer = _Writer(pipe)
    logging.getLogger().addHandler(_LogPipe(writer))
    make = _Maker(options, writer, AcceleratorProcess())
    crew = Crew(make.pipeline)
    crew.configure(options.config_rev, options.pipelines)
    _obey(pipe, writer, crew)
    crew.stop()
    # The agent kills a worker that takes too long; until then, reports show that it is alive.
    while not crew.join(REPORT_S):
        writer.send(wire.Report(crew.reports()))
    writer.send(wire.Report(crew.reports()))
    writer.send(wire.Stopped())


def _obey(pipe: Connection, writer: _Writer, crew: Crew) -> None:
    """Report, and do what the agent orders, until told to stop."""
    report_at = time.monotonic()
    tidy = Tidy(buffers.of_pictures.let_go)
    while True:
        tidy.step(time.monotonic())
        if config_rev := crew.step():
            report_at = 0.0
            writer.send(wire.Configured(config_rev))
        if crew.has_news:
            report_at = 0.0  # a second later it may run again, and nobody has seen that it ended
        if time.monotonic() >= report_at:
            writer.send(wire.Report(crew.reports()))
            report_at = time.monotonic() + REPORT_S
        wait_s = max(0.0, report_at - time.monotonic()) if crew.settled else UNSETTLED_POLL_S
        try:
            if not pipe.poll(wait_s):
                continue
            message = wire.to_worker(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        if isinstance(message, wire.Stop):
            return
        crew.obey(message)
        report_at = 0.0  # whoever gave the order waits for its effect


class _Writer:
    """The sending end of the pipe, shared by all threads of the worker."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, message: wire.FromWorker) -> None:
        with self._lock:
            try:
                wire.send(self._pipe, message)
            except OSError:
                # The agent is gone. Nobody is left to inspect for, and a new agent starts workers
                # of its own: leave at once, from whichever thread noticed.
                os._exit(0)


class _LogPipe(logging.Handler):
    """Hands the log to the agent too, which keeps the last lines for whoever asks over MQTT."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.send(wire.Logged(record.levelno, record.getMessage()))


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the pipelines of this worker."""

    options: WorkerOptions
    writer: _Writer
    accelerator: AcceleratorProcess

    def pipeline(self, name: str, pipeline: PipelineOptions, config_rev: int) -> PipelineThread:
        options, writer = self.options, self.writer

        def emit(verdict: Verdict) -> None:
            writer.send(wire.Verdicts([verdict]))

        def answer(verdict: Verdict) -> None:
            writer.send(wire.Answer(verdict))

        def taken(trigger_id: str) -> None:
            writer.send(wire.TriggerTaken(trigger_id))

        def seen(snapshot_id: str, verdict: Verdict, item: Item) -> None:
            writer.send(wire.SnapshotTaken(snapshot_id, verdict, _picture(item, verdict)))

        orders = options.upload
        upload = partial(Outgoing, orders, name, options.device, pipeline.roi) if orders else None
        context = PipelineContext(
            identity=Identity(name, pipeline.family, config_rev),
            device=options.device,
            folder=options.folder,
            evidence_folder=options.evidence_folder / name,
            broker=options.broker,
            emit=emit,
            answer=answer,
            taken=taken,
            seen=seen,
            calibration=file_of(options.evidence_folder.parent, name),
            upload=upload,
            accelerator=self.accelerator,
        )
        return PipelineThread(pipeline, context)


def _picture(item: Item, verdict: Verdict) -> bytes:
    if not isinstance(item, Frame):
        return b""
    drawn = image.draw_defects(item.pixels, verdict.defects)
    step = -(-max(drawn.shape[:2]) // SNAPSHOT_PIXELS)
    return image.encode_jpeg(drawn[::step, ::step].copy(), SNAPSHOT_QUALITY)


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(args)
    if issubclass(args.exc_type, MemoryError):
        # Whatever took it may still hold it: a new process starts clean.
        os._exit(EXIT_NO_MEMORY)


def _prepare_process(options: WorkerOptions) -> None:
    # Private memory that may be written to (setrlimit(2)): not the libraries, which all share.
    resource.setrlimit(resource.RLIMIT_DATA, (options.memory_bytes, options.memory_bytes))
    threading.excepthook = _thread_ended
    # Ctrl-C and a stop of the whole service reach every process of the group; when to stop is the
    # agent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logs.set_up(options.log_level, options.log_form, os.environ)
    logs.name_pipelines(options.pipelines, options.name)
    # A thread that comes back from the model must not wait 5 ms for one that parses messages.
    sys.setswitchinterval(0.0005)
    # What `top` and `ps` show, instead of one more "python".
    show_name(f"ea:{options.name}")
    one_heap()
    keep_memory()
    finish_turns()
