"""The process of an accelerator: loads models on it and runs them for the worker that started it.

    python -m edge_agent.acceleration.child CONTROL LEASH

Native code of strangers runs here. Whatever it does costs this process: the worker goes on.
Each model has a thread and a channel (wire.py); all of them share the device.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

import msgspec

from edge_agent import registry, threads
from edge_agent.acceleration import wire
from edge_agent.backends.base import BackendContext
from edge_agent.errors import AcceleratorError, ModelError
from edge_agent.inference.accelerator import AcceleratorOptions
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np

    from edge_agent.backends.base import Backend
else:
    np = lazy_module("numpy")

DESCRIPTORS = 3  # that come with an order: channel, model, tensors


def main(control_fd: int, leash_fd: int) -> None:
    """Obey until the worker closes the socket, or is gone."""
    _die_with_worker(leash_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threads.show_name("ea:accelerator")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some libraries write there what nobody asked
    with socket.socket(fileno=control_fd) as control:
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, wire.MESSAGE_BYTES, DESCRIPTORS)
            if not message:
                os._exit(0)  # at once: a thread may hang in native code
            order = msgspec.msgpack.decode(message, type=wire.Open)
            threads.thread(_serve, "model", (order, *descriptors)).start()


def _die_with_worker(leash_fd: int) -> None:
    """Have the kernel end this process when the worker is gone, whatever native code does then.

    The worker holds the other end of a pipe; that it closes is an event, whose signal we choose.
    """
    fcntl.fcntl(leash_fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(leash_fd, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(leash_fd, fcntl.F_GETFL)
    fcntl.fcntl(leash_fd, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    try:
        if os.read(leash_fd, 1) == b"":
            os._exit(0)  # it closed before the signal was chosen
    except BlockingIOError:
        return


def _serve(order: wire.Open, channel_fd: int, model_fd: int, memory_fd: int) -> None:
    """Load one model, then run it as often as asked."""
    tensors = wire.SharedTensors(memory_fd)
    with socket.socket(fileno=channel_fd) as channel, os.fdopen(model_fd, "rb") as file:
        file.seek(0)
        try:
            backend = _load(order, file.read())
        except AcceleratorError as error:
            channel.send(wire.encode(wire.Refused(error.reason, error.detail)))
            return
        except ModelError as error:
            channel.send(wire.encode(wire.Refused("refused_graph", str(error))))
            return
        inputs, outputs = list(backend.inputs), list(backend.outputs)
        opened = wire.Opened(backend.accelerator, backend.share, inputs, outputs)
        channel.send(wire.encode(opened))
        while message := channel.recv(wire.MESSAGE_BYTES):
            answer = _run(backend, tensors, msgspec.msgpack.decode(message, type=wire.Run))
            channel.send(wire.encode(answer))
    backend.close()
    tensors.close()


def _load(order: wire.Open, model: bytes) -> Backend:
    accelerator = AcceleratorOptions.model_validate_json(order.accelerator)
    plugin = registry.plugin("backends", order.runtime)
    backend: Backend = plugin.create(BackendContext(model, order.threads, accelerator))
    return backend


def _run(backend: Backend, tensors: wire.SharedTensors, order: wire.Run) -> wire.Answer:
    given, end = tensors.views(backend.inputs, order.shapes)
    names = [spec.name for spec in backend.inputs]
    try:
        answers = backend.run(dict(zip(names, given, strict=True)))
    except AcceleratorError as error:
        return wire.Refused(error.reason, error.detail)
    except ModelError as error:
        return wire.Refused("refused_run", str(error))
    arrays = [answers[spec.name] for spec in backend.outputs]
    shapes = [tuple(array.shape) for array in arrays]
    places, _ = tensors.views(backend.outputs, shapes, end)
    for place, array in zip(places, arrays, strict=True):
        np.copyto(place, array, casting="no")
    return wire.Ran(shapes)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
