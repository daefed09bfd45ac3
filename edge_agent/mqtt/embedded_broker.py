"""A broker for a first run where none is installed: amqtt on loopback, in a process of its own.

It speaks MQTT 3.1.1, lets everybody in and keeps nothing on disk: for trying things out on one
machine. A plant uses mosquitto or its own broker.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.errors import EdgeAgentError, NotConnected
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import amqtt.broker as amqtt_broker
else:
    amqtt_broker = lazy_module("amqtt.broker")

HOST = "127.0.0.1"
# A laptop needs half a second; a gateway's first start from a cold SD card some ten.
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedBroker:
    """A broker that accepts connections at `host`:`port` until `stop` is called."""

    host: str
    port: int
    process: subprocess.Popen[bytes]

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the broker's process; what it retained is gone."""
        self.process.terminate()
        try:
            self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def start(port: int = 0, timeout_s: float = START_TIMEOUT_S) -> EmbeddedBroker:
    """Start a broker on `port` (0: a free one) and wait until it accepts connections.

    It ends with this process, however that ends. Raises EdgeAgentError when amqtt is not
    installed, NotConnected when the broker does not come up.
    """
    if importlib.util.find_spec("amqtt") is None:
        raise EdgeAgentError(
            "the embedded broker needs amqtt: install mosquitto, or pip install 'edge-agent[demo]'"
        )
    port = port or _free_port()
    # A file, not a pipe: nobody reads it while the broker runs, and a full pipe would block it.
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603  our own module and a number
            [sys.executable, "-m", "edge_agent.mqtt.embedded_broker", str(port)],
            stdin=subprocess.PIPE,  # its end tells the broker that we are gone
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        broker = EmbeddedBroker(HOST, port, process)
        if not _says_that_it_accepts(process, timeout_s):
            broker.stop()
            complaints.seek(0)
            last_line = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise NotConnected(f"embedded broker: {last_line or f'not up after {timeout_s:g} s'}")
    return broker


def main(arguments: list[str]) -> int:
    """Be the broker on the port in `arguments` until SIGTERM or the end of standard input."""
    # Ctrl-C reaches the whole process group; the broker stays until the last verdict is out.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # amqtt logs clients that come and go.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    asyncio.run(_serve(int(arguments[0])))
    return 0


async def _serve(port: int) -> None:
    broker = amqtt_broker.Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
        }
    )
    await broker.start()
    sys.stdout.write("accepting\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    # There is nothing to save, and amqtt's shutdown waits for clients that do not leave.
    os._exit(0)


def _says_that_it_accepts(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    if process.stdout is None:
        return False
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    return bool(ready and process.stdout.readline())


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
