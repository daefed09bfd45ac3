"""The accelerator's process as its worker sees it: started when needed, given up when it fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge_agent.acceleration import wire
from edge_agent.backends.base import check_inputs
from edge_agent.errors import AcceleratorError
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from edge_agent.inference.accelerator import AcceleratorOptions
    from edge_agent.types import Tensors
else:
    np = lazy_module("numpy")

CHILD = (sys.executable, "-m", "edge_agent.acceleration.child")
# A process that was killed, or has just died, is gone by then; one that waits for a broken device
# is not, and nobody waits for it.
LEAVE_S = 0.3


@dataclass
class AcceleratorProcess:
    """Models on one accelerator, in one process after the other. Any thread may open models."""

    command: Sequence[str] = CHILD
    _child: _Child | None = None
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(
        self, runtime: str, model: bytes, accelerator: AcceleratorOptions, threads: int
    ) -> RemoteModel:
        """Begin to load a model; ask the RemoteModel what became of it."""
        order = wire.Open(runtime, accelerator.model_dump_json().encode(), threads)
        with self._lock:
            if self._closed:
                raise AcceleratorError("unavailable", "the pipeline ends")
            if self._child is None or self._child.process.poll() is not None:
                self._close()
                try:
                    self._child = _start(self.command)
                except OSError as error:
                    text = f"its process cannot be started: {error}"
                    raise AcceleratorError("crashed", text) from None
            return _ask(self._child, order, model)

    def close(self) -> None:
        """End the process; there will be no other."""
        with self._lock:
            self._closed = True
            self._close()

    def _close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    control: socket.socket
    leash_fd: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self) -> None:
        """Make sure that it is gone, as far as the kernel can."""
        with self.lock:
            if self.leash_fd >= 0:
                os.close(self.leash_fd)
                self.leash_fd = -1
                self.control.close()
        self.process.kill()
        self.ending()

    def ending(self) -> str:
        """Return how it ended, in words."""
        try:
            code = self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            return "its process does not answer"
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with status {code}"


class RemoteModel:
    """A model in the accelerator's process. One thread at a time uses it, but for `kill`."""

    def __init__(self, child: _Child, channel: socket.socket, memory_fd: int) -> None:
        self._child = child
        self._channel = channel
        self._tensors = wire.SharedTensors(memory_fd)
        self._opened = wire.Opened("", None, [], [])
        self.deadline_s = 1.0

    @property
    def opened(self) -> wire.Opened:
        """Return what it said of itself."""
        return self._opened

    def wait_until_loaded(self, timeout_s: float) -> wire.Opened:
        """Return what it says of itself. Raises AcceleratorError."""
        answer = self._answer(timeout_s, "loading the model")
        if not isinstance(answer, wire.Opened):
            raise AcceleratorError("crashed", "it answered something else")
        self._opened = answer
        return answer

    def run(self, tensors: Tensors) -> Tensors:
        """Run the model; see Backend.run. Raises AcceleratorError, within `deadline_s`."""
        inputs, outputs = self._opened.inputs, self._opened.outputs
        check_inputs(tuple(inputs), tensors)
        shapes = [tuple(tensors[spec.name].shape) for spec in inputs]
        places, end = self._tensors.views(inputs, shapes)
        for spec, place in zip(inputs, places, strict=True):
            np.copyto(place, tensors[spec.name])
        try:
            self._channel.send(wire.encode(wire.Run(shapes)))
        except OSError:
            raise AcceleratorError("crashed", self._child.ending()) from None
        answer = self._answer(self.deadline_s, "running the model")
        if not isinstance(answer, wire.Ran):
            raise AcceleratorError("crashed", "it answered something else")
        try:
            found, _ = self._tensors.views(outputs, answer.shapes, end)
        except ValueError as error:
            raise AcceleratorError("crashed", f"it answered nonsense: {error}") from None
        return {spec.name: array for spec, array in zip(outputs, found, strict=True)}

    def close(self) -> None:
        """Have the model freed; the process stays for others."""
        self._channel.close()
        self._tensors.close()

    def kill(self) -> None:
        """End the process, with all models in it."""
        self._child.end()

    def _answer(self, timeout_s: float, doing: str) -> wire.Answer:
        self._channel.settimeout(timeout_s)
        try:
            message = self._channel.recv(wire.MESSAGE_BYTES)
        except TimeoutError:
            self.kill()
            text = f"no end of {doing} after {timeout_s:.1f} s: its process was killed"
            raise AcceleratorError("hung", text) from None
        except OSError:
            message = b""
        if not message:
            raise AcceleratorError("crashed", f"while {doing}, {self._child.ending()}")
        try:
            answer = wire.answers.decode(message)
        except msgspec.DecodeError as error:
            raise AcceleratorError("crashed", f"it answered nonsense: {error}") from None
        if isinstance(answer, wire.Refused):
            raise AcceleratorError(answer.reason, answer.detail)
        return answer


def _start(command: Sequence[str]) -> _Child:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    leash_read, leash_write = os.pipe()
    with theirs:
        process = subprocess.Popen(  # noqa: S603  our own program
            [*command, str(theirs.fileno()), str(leash_read)],
            pass_fds=(theirs.fileno(), leash_read),
            stdin=subprocess.DEVNULL,
        )
    os.close(leash_read)
    return _Child(process, ours, leash_write)


def _ask(child: _Child, order: wire.Open, model: bytes) -> RemoteModel:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    memory_fd = os.memfd_create("tensors")
    model_fd = os.memfd_create("model")
    remote = RemoteModel(child, ours, memory_fd)
    with theirs, os.fdopen(model_fd, "wb") as file:
        file.write(model)
        file.flush()
        descriptors = [theirs.fileno(), model_fd, memory_fd]
        try:
            socket.send_fds(child.control, [wire.encode(order)], descriptors)
        except OSError:
            remote.close()
            raise AcceleratorError("crashed", child.ending()) from None
    return remote
