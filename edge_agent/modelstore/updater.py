"""The updater: one thread of the agent that brings each slot from model to model.

Theory of operation. Again and again it hears what the workers reported, lets each slot take at most
one step (slot_course.py), and publishes what changed. Looks at the repository, downloads and
self-tests run in the background, one at a time. A nudge over MQTT only has it look sooner: whoever
sends one is believed nothing.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.errors import SyncError
from edge_agent.modelstore.background import Background
from edge_agent.modelstore.desired import ModelRef
from edge_agent.modelstore.fleet_reports import FleetReports
from edge_agent.modelstore.floors import FloorFile, with_confirmed
from edge_agent.modelstore.in_force import bundle_name
from edge_agent.modelstore.slot_course import SlotCourse
from edge_agent.modelstore.slot_record import Failure
from edge_agent.modelstore.slot_steps import Ports, Terms
from edge_agent.modelstore.slot_view import SlotView, boot_id
from edge_agent.modelstore.slots import SlotFolder
from edge_agent.modelstore.status_queue import StatusQueue
from edge_agent.reporting.messages import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edge_agent.modelstore.gateway import Gateway, Slot
    from edge_agent.modelstore.slot_record import Generation
    from edge_agent.modelstore.supplier import Look, News
    from edge_agent.processes.wire import PipelineReport

log = logging.getLogger(__name__)

TICK_S = 0.1
# However often it is nudged, a repository is asked no sooner.
NUDGE_LEAST_S = 10.0
LOOK = "(look)"  # no slot can be called so
PROGRESS_S = 1.0
STOP_S = 2.0
FAULT_POINT = "MODEL_FAULT_POINT"


class Updater:
    """`start`, `stop` and what it is told: any thread."""

    def __init__(self, slots: list[Slot], gateway: Gateway) -> None:
        self._gateway = gateway
        self._background = Background()
        self._reports = FleetReports(gateway.fleet_server, gateway.mono_s)
        self._heard: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._statuses = StatusQueue(gateway.show)
        self._boot_id = boot_id()
        self._stopping = threading.Event()
        self._thread = threads.thread(self._run, "models")
        self._progress: tuple[str, int] = ("", 0)
        self._progress_s = 0.0
        self._looked_s = float("-inf")
        self._look_s = 0.0
        self._asked: dict[str, ModelRef] = {}  # what was in force when the latest look began
        self._run_well: list[Generation] = []
        self._by_pipeline: dict[str, SlotCourse] = {}
        self._workers: dict[str, frozenset[str]] = {}
        self._courses: dict[str, SlotCourse] = {}
        self._configure(slots)

    # ------------------------------------------------------------------ any thread

    def start(self) -> None:
        """Begin; the first look comes within a poll."""
        self._background.start()
        self._reports.start()
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing any more; what was under way is begun anew at the next start."""
        self._stopping.set()
        self._gateway.supplier.stop()
        self._thread.join(STOP_S)
        self._background.stop(STOP_S)
        self._reports.stop(STOP_S)

    @property
    def alive(self) -> bool:
        """Whether its threads run: if not, a bug ended them."""
        return self._thread.is_alive() and self._background.alive and self._reports.alive

    def report(self, report: PipelineReport) -> None:
        """Take a pipeline's report."""
        self._heard.put(partial(self._reported, report))

    def lost(self, pipelines: tuple[str, ...], reason: str) -> None:
        """Note that a worker died."""
        self._heard.put(partial(self._worker_lost, pipelines, reason))

    def nudge(self) -> None:
        """Look soon."""
        self._heard.put(self._nudged)

    def configure(self, slots: list[Slot]) -> None:
        """Go over to another config."""
        self._heard.put(partial(self._configure, slots))

    # ------------------------------------------------------------------ the updater's thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._hear(TICK_S)
            found = self._background.take(LOOK)
            if found is not None:
                self._found(found)
            self._forget_results()
            self._show_progress()
            for course in list(self._courses.values()):
                course.step()
            self._raise_floors()
            self._look_if_due()  # last: what was found goes before looking again
            self._statuses.send(self._gateway.mono_s())
            self._reports.step()
        for course in self._courses.values():
            course.stop()
        self._statuses.flush()

    def _hear(self, timeout_s: float) -> None:
        try:
            self._heard.get(timeout=timeout_s)()
            while True:
                self._heard.get_nowait()()
        except queue.Empty:
            return

    def _look_if_due(self) -> None:
        now = self._gateway.mono_s()
        if now >= self._look_s and self._background.idle and self._courses:
            jitter = self._gateway.rng.uniform(0.8, 1.2)
            self._look_s, self._looked_s = now + jitter * self._gateway.poll_s, now
            self._asked = {name: _in_force(course) for name, course in self._courses.items()}
            self._background.give(LOOK, partial(self._gateway.supplier.look, self._asked))

    def _found(self, found: Look | SyncError) -> None:
        if isinstance(found, SyncError):
            failure = Failure(found.code, found.detail)
            for course in self._courses.values():
                course.trouble(failure, stale=course.view.stale or found.code == "expired")
            return
        news = {each.slot: each for each in found.news}
        for name, course in self._courses.items():
            course.trouble(None, stale=False)
            if self._asked.get(name) == _in_force(course):
                course.found(news.get(name), found.refused.get(name))
            else:
                # The model changed while the look went on: what it found is for the one before.
                self._look_s = self._gateway.mono_s()
        self._reports.found(found, self._courses)

    def _forget_results(self) -> None:
        """Drop what nobody waits for any more: of a slot that was withdrawn, or changed."""
        for name in self._background.finished:
            course = self._courses.get(name)
            if name != LOOK and (course is None or not course.waits_for_job):
                self._background.take(name)

    def _nudged(self) -> None:
        self._look_s = min(self._look_s, self._looked_s + NUDGE_LEAST_S)

    def _reported(self, report: PipelineReport) -> None:
        if course := self._by_pipeline.get(report.pipeline):
            course.workers.heard(report)

    def _worker_lost(self, pipelines: tuple[str, ...], reason: str) -> None:
        for name in pipelines:
            if course := self._by_pipeline.get(name):
                course.workers.lost(name, reason)

    def _configure(self, slots: list[Slot]) -> None:
        before, self._courses, self._by_pipeline = self._courses, {}, {}
        self._workers = {slot.name: slot.workers for slot in slots}
        for slot in slots:
            terms = self._terms(slot)
            present = before.pop(slot.name, None)
            if present is None or present.terms != terms:
                if present is not None:
                    present.stop()
                present = self._course(slot, terms)
            self._courses[slot.name] = present
            self._by_pipeline |= dict.fromkeys(slot.pipelines, present)
        for gone in before.values():
            gone.stop()
            self._statuses.end(gone.folder.slot)

    def _terms(self, slot: Slot) -> Terms:
        gateway = self._gateway
        factory = bundle_name(slot.factory)
        return Terms(slot.pipelines, factory, gateway.window, gateway.pause, gateway.poll_s)

    def _course(self, slot: Slot, terms: Terms) -> SlotCourse:
        gateway = self._gateway
        folder = SlotFolder(gateway.layout, slot.name)
        view = SlotView(gateway.device, slot.name, self._boot_id)
        ports = Ports(
            order=gateway.order,
            idle=lambda: self._background.idle,
            fetch=self._fetch,
            test=self._test,
            result=self._background.take,
            moved=gateway.moved,
            confirmed=self._run_well.append,
            show=lambda: self._note_status(course),
            turn=lambda: self._turn(course),
            reached=self._reached,
            clock_s=gateway.clock_s,
            mono_s=gateway.mono_s,
        )
        course = SlotCourse(folder, terms, view, ports)
        course.open()
        if active := course.record.active:
            self._run_well.append(active)
        return course

    def _fetch(self, slot: str, news: News, bundle: Path) -> None:
        keep = {
            blob
            for course in self._courses.values()
            for generation in course.record.generations
            for blob in generation.blobs
        }

        def say(count: int) -> None:
            self._progress = (slot, count)

        supplier = self._gateway.supplier
        self._background.give(slot, partial(supplier.fetch, news, bundle, keep, say))

    def _test(self, slot: str, bundle: Path) -> None:
        self._background.give(slot, partial(self._gateway.test, bundle))

    def _raise_floors(self) -> None:
        """Enter what ran well into the floors: nothing older comes without leave.

        The lock is the child's while it asks or fetches: then later.
        """
        if not self._run_well or not self._background.idle:
            return
        try:
            with self._gateway.layout.locked():
                file = FloorFile(self._gateway.layout.floor)
                known = file.read()
                for generation in self._run_well:
                    known = with_confirmed(known, generation.model.model_id, generation.seq)
                file.write(known)
        except (SyncError, OSError) as error:
            log.debug("models: the floors stay as they were for now: %s", error)
            return
        self._run_well.clear()

    def _turn(self, course: SlotCourse) -> bool:
        own = self._workers.get(course.folder.slot, frozenset())
        return not any(
            other is not course
            and other.on_trial
            and not own.isdisjoint(self._workers.get(other.folder.slot, frozenset()))
            for other in self._courses.values()
        )

    def _reached(self, state: str) -> None:
        """End here and now where a test wants it: like a power cut, as far as a process can."""
        if state == self._gateway.fault_point:
            os.kill(os.getpid(), signal.SIGKILL)

    def _note_status(self, course: SlotCourse) -> None:
        payload = encode(course.view.message(course.record))
        self._statuses.put(course.folder.slot, payload)
        self._reports.note(course)

    def _show_progress(self) -> None:
        slot, count = self._progress
        now = self._gateway.mono_s()
        if slot and now >= self._progress_s:
            self._progress, self._progress_s = ("", 0), now + PROGRESS_S
            if course := self._courses.get(slot):
                course.fetched(count)


def fault_point(environment: Mapping[str, str]) -> str:
    """Return the state at which a test wants the process to end, or ""."""
    return environment.get(FAULT_POINT, "")


def _in_force(course: SlotCourse) -> ModelRef:
    return course.running or ModelRef("none", "0")
