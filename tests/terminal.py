"""A terminal as a person has one: a pseudo-terminal with a program on its other side."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CTRL_C = "\x03"
CTRL_Z = "\x1a"
ROWS, COLUMNS = 40, 120

# Makes standard input the controlling terminal of the new session, then becomes the program.
CLAIM = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def environ_of_a_person() -> dict[str, str]:
    """Return the environment without what make leaves in it: `make test` may run these tests."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return left | {"TERM": "xterm-256color"}


class Terminal:
    """Runs `command` as the terminal's session leader; `seen` is all that was written to it."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.seen = ""
        self._fd, its_side = pty.openpty()
        termios.tcsetwinsize(its_side, (ROWS, COLUMNS))
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, *command],
            cwd=folder,
            env=environ_of_a_person(),
            stdin=its_side,
            stdout=its_side,
            stderr=its_side,
            start_new_session=True,
        )
        os.close(its_side)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, timeout_s: float = 60) -> None:
        """Read until `text` was written after this call; fail when it does not come."""
        begin, deadline = len(self.seen), time.monotonic() + timeout_s
        while text not in self.seen[begin:]:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.seen}"
            assert self._read(), f"ended without {text!r}:\n{self.seen}"

    def exit_status(self, timeout_s: float = 60) -> int:
        """Wait for the program's end; return its status, -n after signal n."""
        deadline = time.monotonic() + timeout_s
        while (status := self.process.poll()) is None:
            assert time.monotonic() < deadline, f"still runs:\n{self.seen}"
            self._read()
        while self._read(wait_s=0):  # what was written last
            pass
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._fd)

    def _read(self, wait_s: float = 0.05) -> bool:
        """Return False when nothing more will come (with `wait_s` 0: nothing is there)."""
        if not select.select([self._fd], [], [], wait_s)[0]:
            return wait_s > 0
        try:
            self.seen += os.read(self._fd, 65536).decode(errors="replace")
        except OSError:  # EIO: nobody has the other side open
            time.sleep(0.01)
            return False
        return True
