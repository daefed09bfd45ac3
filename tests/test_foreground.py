"""Ctrl-C under make: typed in a pseudo-terminal, and as a signal to processes and groups."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.terminal import CTRL_C, CTRL_Z, Terminal, environ_of_a_person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]

# Stops cleanly and says so, as the demo does.
PROGRAM = """
import signal
awaited = {signal.SIGINT, signal.SIGTERM, signal.SIGCONT}
signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
print("running", flush=True)
while (number := signal.sigwait(awaited)) == signal.SIGCONT:
    print("going on", flush=True)
print("stopped by", number.name, flush=True)
"""


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    """Write a Makefile whose recipe runs the program like `make run` runs the demo."""
    (tmp_path / "program.py").write_text(PROGRAM)
    recipe = f"@exec {sys.executable} -m tools.foreground {sys.executable} {tmp_path}/program.py"
    (tmp_path / "Makefile").write_text(f"run:\n\t{recipe}\n")
    return tmp_path / "Makefile"


@pytest.fixture
def terminal() -> Iterator[Callable[[list[str]], Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(command: list[str]) -> Terminal:
        opened.append(Terminal(command, ROOT))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def test_make_ends_with_0_when_ctrl_c_is_typed(
    makefile: Path, terminal: Callable[[list[str]], Terminal]
) -> None:
    make = terminal(["make", "-f", str(makefile), "run"])
    make.wait_for("running")
    make.type(CTRL_C)
    assert make.exit_status() == 0
    assert "stopped by SIGINT" in make.seen
    assert "Interrupt" not in make.seen, "make itself heard of the Ctrl-C"


def test_ctrl_z_stops_it_and_fg_goes_on(
    makefile: Path, terminal: Callable[[list[str]], Terminal]
) -> None:
    shell = terminal(["bash", "--norc", "-i"])
    shell.type(f"make -f {makefile} run\n")
    shell.wait_for("running")
    shell.type(CTRL_Z)
    shell.wait_for("Stopped")
    shell.type("fg\n")
    shell.wait_for("going on")
    shell.type(CTRL_C)
    shell.wait_for("stopped by SIGINT")
    shell.type("exit $?\n")
    assert shell.exit_status() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_group_stops_the_command_without_a_terminal(
    makefile: Path, number: signal.Signals
) -> None:
    make = _without_a_terminal(makefile)
    os.killpg(make.pid, number)
    said, _ = make.communicate(timeout=60)
    # Nobody lent the command a terminal, so make was hit too. Its own status then depends on which
    # of the two it notices first; ours is that the command stopped cleanly.
    assert said == f"stopped by {number.name}\n"


def test_make_in_the_background_of_a_script_ends_with_0(makefile: Path) -> None:
    # Such a script's children ignore SIGINT: make outlives it, the command must not ignore it.
    script = f"setsid make -f {makefile} run & read -r; kill -INT -$!; wait $!"
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environ_of_a_person(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.stdout is not None
    assert shell.stdout.readline() == "running\n"
    said, _ = shell.communicate("\n", timeout=60)
    assert (said, shell.returncode) == ("stopped by SIGINT\n", 0)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
    ],
)
def test_the_status_is_that_of_the_command(command: list[str], status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.foreground", *command], cwd=ROOT, check=False
    )
    assert done.returncode == status


def _without_a_terminal(makefile: Path) -> subprocess.Popen[str]:
    make = subprocess.Popen(
        ["make", "-f", str(makefile), "run"],
        cwd=ROOT,
        env=environ_of_a_person(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    assert make.stdout is not None
    assert make.stdout.readline() == "running\n"
    return make
