"""What is published, written to the socket by whoever publishes it.

paho hands a packet to the thread that runs its loop and wakes that up; or, from two threads at a
time, it lets both write parts of the same packet. Here a lock is around the writing, so that the
publisher can write at once, and the loop is woken only for what the socket would not take.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLISH = 0x30  # MQTT 5.0, 2.1.2
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
    ) -> int:
        waiting = self._client._out_packet  # noqa: SLF001
        waiting.append(
            {
                "command": command,
                "mid": mid,
                "qos": qos,
                "pos": 0,
                "to_process": len(packet),
                "packet": packet,
                "info": info,
            }
        )
        if command & 0xF0 == PUBLISH and not self._by_loop_only:
            # Whatever goes wrong with the socket goes wrong again in the loop, which answers it.
            self._write_locked()
        if waiting:
            self._wake_loop()
        return SUCCESS

    def _wake_loop(self) -> None:
        wake = self._client._sockpairW  # noqa: SLF001
        try:
            if wake is not None:
                wake.send(b"\0")
        except BlockingIOError:
            pass  # it has been woken often enough
