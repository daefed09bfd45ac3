"""`make run` as a visitor sees it: the real demo in a pseudo-terminal, ended by Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.terminal import CTRL_C, Terminal, environ_of_a_person

if TYPE_CHECKING:
    from tests.conftest import WaitFor

ROOT = Path(__file__).parents[1]
# The environment of the tests stands for the one that `make run` would set up.
MAKE_RUN = ["make", "run", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/run.stamp"]


def test_make_run_shows_both_families_and_ends_with_0_after_ctrl_c(
    wait_for: WaitFor,
) -> None:
    terminal = Terminal(MAKE_RUN, ROOT)
    try:
        terminal.wait_for("running")
        for family in ("qc", "pdm"):
            terminal.wait_for(family)
        terminal.wait_for("pass")
        before = _processes_of(terminal.process.pid)
        terminal.type(CTRL_C)
        status = terminal.exit_status()
    finally:
        terminal.close()
    assert status == 0, terminal.seen
    assert "the demo has ended" in terminal.seen
    # The server that workers were forked from notices a moment later that nobody needs it.
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before))


def _processes_of(session: int) -> set[int]:
    """Return all processes of the terminal's session: make, the demo, workers, broker."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[3]) == session:
            found.add(int(stat.parent.name))
    return found


def test_without_mosquitto_the_demo_brings_a_broker_of_its_own() -> None:
    nothing_installed = {**environ_of_a_person(), "PATH": str(Path(sys.executable).parent)}
    with subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "demo", "--seconds", "60"],
        cwd=ROOT,
        env=nothing_installed,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        missing = {"conveyor", "motor"}
        while missing:
            line = demo.stdout.readline()
            assert line, f"it ended without a verdict of {missing}"
            words = line.split()
            if words[2] in {"pass", "fail", "uncertain"}:
                missing.discard(words[1])
        demo.terminate()
        demo.stdout.read()  # or it would wait for room
        assert demo.wait(60) == 0


def test_a_demo_of_some_seconds_ends_by_itself() -> None:
    command = [sys.executable, "-m", "edge_agent", "demo", "--seconds", "1"]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1].startswith("the demo has ended")
