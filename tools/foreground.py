"""Run a command as the terminal's foreground job: `python -m tools.foreground COMMAND...`.

A Ctrl-C reaches every process of the terminal's foreground group. make answers it by failing with
status 2 or 130, however cleanly the command that it runs has stopped. So `make run` starts the
demo through this: the command gets a process group of its own and the terminal with it, as a
shell does with a job, and make never sees the Ctrl-C. A signal that reaches this process instead
(`kill`, a service, a CI job) is handed on to the command.
"""

from __future__ import annotations

import os
import signal
import sys

HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(command: list[str]) -> int:
    """Run `command` until it ends and return its exit status, 128 + n after signal n."""
    terminal = _terminal_to_lend()
    # Held back until there is somebody to hand them to.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        _lend(terminal, os.getpid())
        # A script's `make run &` has SIGINT ignored; the command shall hear it all the same.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
        os.execvp(command[0], command)  # noqa: S606  that is what this program is for
    for number in HANDED_ON:
        signal.signal(number, lambda got, _: os.kill(child, got))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    status = _wait(child, terminal)
    _lend(terminal, os.getpgrp())
    return status if status >= 0 else 128 - status


def _wait(child: int, terminal: int | None) -> int:
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        # Ctrl-Z: stop with the command, and go on with it when the shell says so.
        _lend(terminal, os.getpgrp())
        os.killpg(0, signal.SIGTSTP)
        _lend(terminal, child)
        os.killpg(child, signal.SIGCONT)


def _terminal_to_lend() -> int | None:
    """Return the terminal, or None where there is none or another job has it."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        return None
    return terminal if os.tcgetpgrp(terminal) == os.getpgrp() else None


def _lend(terminal: int | None, group: int) -> None:
    if terminal is None:
        return
    # Who is not in the foreground may change that only while it ignores SIGTTOU.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(terminal, group)
    signal.signal(signal.SIGTTOU, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
