"""What is published, written to the socket by whoever publishes it.

paho hands a packet to the thread that runs its loop and wakes that up; or, from two threads at a
time, it lets both write parts of the same packet. Here a lock is around the writing, so that the
publisher can write at once, and the loop is woken only for what the socket would not take.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from edge_agent.mqtt.packets import PUBLISH

if TYPE_CHECKING:
    from collections.abc import Callable

SUCCESS = 0  # paho's MQTT_ERR_SUCCESS


class SendingNow:
    """Stands between one paho client and its socket."""

    def __init__(self, client: Any, *, tls: bool) -> None:  # noqa: ANN401  paho has its home elsewhere
        self._client = client
        # OpenSSL must not read and write one connection in two threads: there the loop writes all.
        self._by_loop_only = tls
        self._lock = threading.Lock()
        # paho offers no public way to either; it looks both up on the client at each use.
        self._write: Callable[[], Any] = client._packet_write  # noqa: SLF001
        client._packet_write = self._write_locked  # noqa: SLF001
        client._packet_queue = self._queue  # noqa: SLF001

    def publish(self, packet: bytes) -> bool:
        """Write a PUBLISH, now or by the loop; False when there is no socket any more."""
        client = self._client
        sock = client.socket()
        if sock is None:
            return False
        written = 0
        with self._lock:
            if not self._by_loop_only and not client._out_packet:  # noqa: SLF001
                # No room; or what is wrong is so in the loop again, which answers it.
                with contextlib.suppress(OSError):
                    # paho does not hear of it, and pings once a keepalive though verdicts flow:
                    # a broker that hangs is seen the sooner.
                    written = sock.send(packet)
            if written < len(packet):
                # As if it were at QoS 1: at 0 paho would report each one.
                self._queue(PUBLISH, packet, 0, 1, written=written)
        return True

    def _write_locked(self) -> Any:  # noqa: ANN401  paho's result
        with self._lock:
            return self._write()

    def _queue(
        self,
        command: int,
        packet: bytes | bytearray,
        mid: int,
        qos: int,
        info: Any = None,  # noqa: ANN401
        *,
        written: int = 0,
    ) -> int:
        waiting = self._client._out_packet  # noqa: SLF001
        # What others queued since a part of it was written must not get into its middle.
        (waiting.appendleft if written else waiting.append)(
            {
                "command": command,
                "mid": mid,
                "qos": qos,
                "pos": written,
                "to_process": len(packet) - written,
                "packet": packet,
                "info": info,
            }
        )
        self._wake_loop()
        return SUCCESS

    def _wake_loop(self) -> None:
        wake = self._client._sockpairW  # noqa: SLF001
        try:
            if wake is not None:
                wake.send(b"\0")
        except BlockingIOError:
            pass  # it has been woken often enough
