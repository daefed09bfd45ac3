"""The self-test of a bundle: it loads as in a worker, and gives its golden answers in time.

    python -m edge_agent.commands.selftest FOLDER MEMORY_MB

runs it in this process, whose memory is capped first, and says on standard output how far it has
come, one JSON object a line: `{"stage": ...}` before each step, at the end `{"report": ...}` or
`{"failure": ...}`. Native code runs here on bytes from elsewhere, which may crash or hang: see
verification.py, which starts this and answers for it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import BadInput, ModelError
from edge_agent.inference import golden
from edge_agent.inference.model import load_model
from edge_agent.lazy import lazy_module
from edge_agent.modelstore.manifest import load_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from edge_agent.inference.model import Model
    from edge_agent.modelstore.manifest import SelfTestCase
    from edge_agent.types import Tensors
else:
    np = lazy_module("numpy")

WARM_UP_RUNS = 5
TIMED_RUNS = 200
TIMED_S = 1.0
# Whatever else this machine does slows a round down and never speeds one up: the best one counts.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What a bundle that passed needs here: one thread, the model alone.

    `ram_mb`: by how much private memory grew, at its largest, beyond a worker without a model; the
    libraries' own pages, which all workers share, are left out.
    """

    cases: int
    p50_ms: float
    p95_ms: float
    ram_mb: float


def run(folder: Path, say: Callable[[str], None]) -> Report:
    """Test the bundle in this very process; `say` hears each stage before it begins.

    Raises ModelError that says what does not hold.
    """
    say("loading the libraries")
    load_libraries()
    load_bundle(folder)  # its classes and checks are every worker's, too
    before_kb = _reset_peak()
    say("loading the model")
    model = load_model(folder, threads=1, roi=None)
    cases = model.bundle.manifest.selftest.cases
    if not cases:
        raise ModelError(
            "it loads and fits its task, but has no golden samples: nothing tells whether its "
            "answers are right"
        )
    inputs = [_check_case(model, folder, case, say) for case in cases]
    say("timing the model")
    p50_ms, p95_ms = _times(model, inputs[0])
    limit = model.bundle.manifest.selftest.p95_ms_max
    if limit is not None and p95_ms > limit:
        raise ModelError(
            f"too slow here: 95 % of runs within {p95_ms:.2f} ms, and the bundle allows {limit:g}"
        )
    grown_mb = (_kb("VmHWM") - _kb("RssFile") - before_kb) / 1024
    return Report(len(cases), round(p50_ms, 3), round(p95_ms, 3), round(max(0.0, grown_mb), 1))


def load_libraries() -> None:
    """Import what every worker has in memory before it loads a model."""
    import edge_agent.processes.preload  # noqa: F401, PLC0415  for its effect, and not before the cap is set


def _check_case(
    model: Model, folder: Path, case: SelfTestCase, say: Callable[[str], None]
) -> Tensors:
    """Run one golden sample; return its input."""
    say(f"running golden sample {case.golden_in}")
    given = golden.read_tensors(folder, model.bundle, case.golden_in)
    wanted = golden.read_tensors(folder, model.bundle, case.golden_out)
    if complaint := golden.difference(model.backend.run(given), wanted, case):
        raise ModelError(f"golden sample {case.golden_in}: {complaint}")
    return given


def _times(model: Model, given: Tensors) -> tuple[float, float]:
    """Return median and 95th percentile of the run time, in milliseconds, of the best round."""
    rounds = [_round(model, given) for _ in range(ROUNDS)]
    return min(rounds, key=lambda times: times[1])


def _round(model: Model, given: Tensors) -> tuple[float, float]:
    for _ in range(WARM_UP_RUNS):
        model.backend.run(given)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < TIMED_RUNS and (time.perf_counter() - began < TIMED_S or not times):
        start = time.perf_counter()
        model.backend.run(given)
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.percentile(times, 50)), float(np.percentile(times, 95))


def _reset_peak() -> int:
    """Make the process's peak its size of now (proc(5), clear_refs); return its private kB."""
    # Some containers forbid it; the peak then includes the loading of the libraries.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _kb("RssAnon")


def _kb(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    return 0


def main(folder: Path, memory_mb: int) -> None:
    """Test `folder` and report; see the head of this file."""
    # What native code prints by itself goes to standard error, out of the report's way.
    report = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # The same cap as a worker's (worker.py), and no core dump of a model that crashes.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def write(entry: dict[str, object]) -> None:
        report.write(msgspec.json.encode(entry) + b"\n")

    try:
        found = run(folder, lambda stage: write({"stage": stage}))
    except (ModelError, BadInput) as error:
        write({"failure": str(error)})
    except MemoryError:
        text = f"it needs more than the {memory_mb} MB that it may have"
        write({"failure": text, "kind": "memory"})
    else:
        write({"report": asdict(found)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
