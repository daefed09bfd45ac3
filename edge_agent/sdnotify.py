"""Tell systemd that the agent is ready, alive or leaving: sd_notify(3), without its library."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

# What changes is said once: on a busy machine it waits this long for room. Signs of life are
# dropped where there is no room at once, for the next one says the same.
ROOM_S = 5.0
# What a stop takes beside its workers: the disk, the broker, and threads that wait for a server.
CLOSING_S = 15.0


class Systemd:
    """What systemd is told. Silent where the agent was not started by systemd.

    `watchdog_s`: call `alive` at least this often; None: nobody waits for it.
    """

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        """Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from `environ`."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environ, pid) if self._address else None

    def ready(self) -> None:
        """Say that the agent has started: `systemctl start` returns."""
        self._send("READY=1")

    def alive(self) -> None:
        """Say that nothing is stuck: systemd restarts the agent when it hears this too late."""
        # A full queue must not hold up the thread that says that it is alive.
        self._send("WATCHDOG=1", room_s=0.0)

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(f"STATUS={text.replace(chr(10), ' ')}")

    def reloading(self, monotonic_us: int) -> None:
        """Say that the config is read anew since `monotonic_us` (CLOCK_MONOTONIC), until `ready`.

        `systemctl reload` then waits for `ready`.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}")

    def stopping(self, workers_s: float) -> None:
        """Say that a clean stop has begun; its workers may take so long, whatever the unit says."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={(workers_s + CLOSING_S) * 1e6:.0f}")

    def _send(self, message: str, room_s: float = ROOM_S) -> None:
        if not self._address:
            return
        # "@" stands for the NUL byte that begins an abstract socket's name.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(room_s)
                sender.sendto(message.encode(), address)
        except OSError as error:
            log.warning("systemd: not told %s: %s", message.partition("=")[0], error)


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    # The variables are inherited: they may be meant for a parent (sd_watchdog_enabled(3)).
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        timeout_s = int(environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    # Half of the timeout, as sd_watchdog_enabled(3) recommends.
    return timeout_s / 2 if timeout_s > 0 else None
