"""Whether a bundle may run: its self-test in a child, so that whatever it does stays there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ModelError
from edge_agent.modelstore.manifest import load_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What a worker may have unless the config says otherwise (worker_memory_mb).
MEMORY_MB = 1024
# Beyond the manifest's timeout: for Python to start and load the libraries on a slow gateway.
START_S = 20.0
CHILD = (sys.executable, "-m", "edge_agent.commands.selftest")


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of a bundle: `failure` is a sentence, or "" where it passed.

    `kind`: passed, files (manifest, hash), model (does not load or fit, answers wrongly, too slow),
    crash, memory or hang. `doubts` as in the manifest, the rest as in selftest.Report, 0 where it
    did not come so far.
    """

    kind: str
    failure: str = ""
    cases: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    ram_mb: float = 0.0
    doubts: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all held."""
        return not self.failure

    def sentence(self) -> str:
        """Return what became of the bundle, for a person."""
        if not self.passed:
            return f"NOT VERIFIED: {self.failure}"
        return (
            f"verified: {self.cases} golden sample{'s' * (self.cases != 1)}, p50 {self.p50_ms:.2f} "
            f"ms, p95 {self.p95_ms:.2f} ms, {self.ram_mb:.1f} MB"
        )


def verify(
    folder: Path,
    *,
    memory_mb: int = MEMORY_MB,
    start_s: float = START_S,
    child: Sequence[str] = CHILD,
) -> Verification:
    """Check every file of the bundle, then run its self-test in a child with `memory_mb`.

    `child`: the command that is given the folder and the memory cap. Never raises for what a
    bundle does.
    """
    try:
        manifest = load_bundle(folder).manifest
    except ModelError as error:
        return Verification("files", str(error))
    limit_s = start_s + manifest.selftest.timeout_s
    command = [*child, str(folder), str(memory_mb)]
    try:
        done = subprocess.run(  # noqa: S603  our own program
            command, capture_output=True, timeout=limit_s, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        stage = _last(error.stdout or b"").get("stage", "starting")
        return Verification("hang", f"no end after {limit_s:g} s, while {stage}: it was killed")
    return replace(_judged(done, memory_mb), doubts=manifest.doubts)


def _environment() -> dict[str, str]:
    """Return this process's environment, with as many threads as a worker has (forkserver.py)."""
    return {"OPENBLAS_NUM_THREADS": "1"} | os.environ


def _judged(done: subprocess.CompletedProcess[bytes], memory_mb: int) -> Verification:
    last = _last(done.stdout)
    if done.returncode == 0 and "report" in last:
        return Verification("passed", **last["report"])
    if done.returncode == 0 and "failure" in last:
        return Verification(last.get("kind", "model"), last["failure"])
    stage = last.get("stage", "starting")
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    detail = f" ({said[-1][:200]})" if said else ""
    if _out_of_memory(said):
        text = f"wanted more than the {memory_mb} MB that it may have, while {stage}{detail}"
        return Verification("memory", text)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return Verification("crash", f"crashed with {name} while {stage}{detail}")
    return Verification("crash", f"ended with status {done.returncode} while {stage}{detail}")


def _out_of_memory(said: Sequence[str]) -> bool:
    """Return whether native code said that it got no memory: it has no better way to end."""
    words = ("memoryerror", "bad_alloc", "out of memory", "allocate memory", "memory allocation")
    return any(word in line.lower() for line in said[-20:] for word in words)


def _last(output: bytes) -> dict[str, Any]:
    """Return the last line of the child's report; a line that was cut short does not count."""
    for line in reversed(output.splitlines()):
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        return entry
    return {}
