"""Models that are signed and bad: each is given up by itself, and what ran before it runs on.

`make faults` prints what became of each, and how long no part was decided about by the model that
was confirmed last.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests import tiny_onnx
from tests.agents import workers
from tests.faults.conftest import Finding, Trial
from tests.updating import odd_models, plant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Recorder, WaitFor

    Change = Callable[[dict[str, Any], Path], None]

pytest.importorskip("ai_edge_litert", reason="it brings the schema that the models are made with")
from tests.updating import crashing_models

BACK_S = 10.0
FAILED, ROLLED_BACK = "failed", "rolled_back"
GIVEN_UP_BEFORE = {"trial", "rolling_back"}


def other_answer(tree: dict[str, Any], _bundle: Path) -> None:
    tree["selftest"]["cases"][0]["out"] = tree["selftest"]["cases"][1]["out"]


def in_no_time(tree: dict[str, Any], _bundle: Path) -> None:
    tree["selftest"]["p95_ms_max"] = 0.0001


def no_shadow(tree: dict[str, Any], _bundle: Path) -> None:
    tree["shadow"] = {"min_items": 0, "max_s": 0.0}


def long_trial(tree: dict[str, Any], _bundle: Path) -> None:
    tree["trial"] = {"soak_s": 3600.0}


@dataclass(frozen=True, slots=True)
class Bad:
    """A way to be bad, and how it must end: state, code and words of the detail.

    `model`: None for the shipped one. `seen`: the last state before it was given up.
    """

    way: str
    code: str
    words: str
    model: Callable[[], bytes] | None = None
    runtime: str = "onnx"
    change: Change | None = None
    state: str = FAILED
    seen: str = "selftesting"

    def bundle(self, folder: Path, version: str) -> Path:
        """Write it."""
        if self.model is None:
            return plant.changed(folder, version, change=self.change)
        return plant.odd(
            folder, version, self.content(version), runtime=self.runtime, change=self.change
        )

    def content(self, version: str) -> bytes:
        """Return the model's file, another one for each version."""
        model = self.model() if self.model else b""
        # A comment at the end of an ONNX file; what lies behind a flatbuffer is not read.
        doc_string = tiny_onnx._field(6, version.encode())
        return model + (doc_string if self.runtime == "onnx" else version.encode())


BAD = (
    Bad("an operator that no runtime knows", "model", "Conveyor", odd_models.foreign),
    Bad("no model at all", "model", "loaded", lambda: b"no model at all"),
    Bad(
        "kills its process when it is loaded",
        "crash",
        "SIGSEGV while loading the model",
        crashing_models.at_load,
        "tflite",
    ),
    Bad(
        "kills its process when it runs first",
        "crash",
        "SIGSEGV while running golden sample",
        crashing_models.at_first_run,
        "tflite",
    ),
    Bad("wants 64 GB", "model", "memory", odd_models.greedy),
    Bad("never answers", "hang", "killed", odd_models.endless),
    Bad("answers NaN", "model", "differs", odd_models.not_a_number),
    Bad("another answer to a golden sample", "model", "differs", change=other_answer),
    Bad("slower than allowed", "model", "too slow", change=in_no_time),
    Bad(
        "NaN for all but its golden samples",
        "errs",
        "errors in",
        odd_models.good_on_black_only,
        seen="shadow",
    ),
    Bad(
        "kills its worker on live items, beside the one that runs",
        "worker_died",
        "plates",
        crashing_models.on_a_picture,
        "tflite",
        seen="shadow",
    ),
    Bad(
        "errs on trial",
        "errs",
        "errors in",
        odd_models.good_on_black_only,
        change=no_shadow,
        state=ROLLED_BACK,
        seen="rolling_back",
    ),
    Bad(
        "kills its worker on trial",
        "worker_died",
        "plates",
        crashing_models.on_a_picture,
        "tflite",
        change=no_shadow,
        state=ROLLED_BACK,
        seen="rolling_back",
    ),
)


@dataclass
class Line:
    """A gateway that runs, and what is heard of it."""

    gateway: plant.Gateway
    recorder: Recorder
    wait_for: WaitFor
    confirmed: str = "1.0.0"
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(2))

    def next_version(self) -> str:
        return f"{next(self._versions)}.0.0"

    def good_times_s(self, since: int) -> list[float]:
        """Return when the model that was confirmed last decided about a part."""
        return [
            datetime.fromisoformat(verdict["ts"]).timestamp()
            for verdict in plant.verdicts(self.recorder)[since:]
            if verdict["model_version"] == self.confirmed and verdict["verdict"] != "error"
        ]

    def silence_s(self, since: int) -> float:
        """Wait until that model decides again; return the longest time between two decisions."""
        now = len(plant.verdicts(self.recorder))
        self.wait_for(lambda: len(self.good_times_s(now)) > 1)
        times_s = self.good_times_s(since)
        return max(after - before for before, after in itertools.pairwise(times_s))

    def states_of(self, version: str) -> list[str]:
        """Return the states of a version on its way."""
        heard = plant.statuses(self.recorder)
        return [each["state"] for each in heard if each["to"].endswith(f"@{version}")]

    @property
    def quarantine(self) -> dict[str, str]:
        """What the newer copy of the slot's record says will never run here."""
        folder = self.gateway.store / "slots" / plant.SLOT
        copies = [path.read_text().partition("\n")[2] for path in folder.glob("state.?")]
        found: dict[str, Any] = max(map(json.loads, copies), key=lambda each: int(each["serial"]))
        return dict(found["quarantine"])


@pytest.fixture
def line(gateway: plant.Gateway, mqtt_client: Recorder, wait_for: WaitFor) -> Line:
    """Start the gateway."""
    gateway.start()
    wait_for(lambda: plant.verdicts(mqtt_client))
    return Line(gateway, mqtt_client, wait_for)


@pytest.mark.timeout(400)
def test_each_is_given_up_with_its_reason_and_the_one_before_is_back_in_time(
    tmp_path: Path, server: plant.Server, line: Line, trial: Trial
) -> None:
    for bad in BAD:
        version, begin = line.next_version(), max(0, len(plant.verdicts(line.recorder)) - 1)
        server.publish(bad.bundle(tmp_path, version))
        status = plant.outcome(line.recorder, version)
        silence_s = line.silence_s(begin)
        error, held = status["error"], status["digest"] in line.quarantine
        trial.note(
            Finding(
                f"signed model: {bad.way}",
                1,
                "-",
                f"{silence_s:.2f} s at most without the confirmed one",
                f"{status['state']}, {error['code']}; {'' if held else 'NOT '}in quarantine",
            )
        )
        assert (status["state"], error["code"]) == (bad.state, bad.code), status
        assert bad.words in error["detail"], status
        assert bad.seen in line.states_of(version)
        assert bad.state == ROLLED_BACK or GIVEN_UP_BEFORE.isdisjoint(line.states_of(version))
        assert status["from"] == f"conveyor-parts@{line.confirmed}"
        assert held
        assert silence_s < BACK_S or not trial.full
    known = bad.content(version)
    server.publish(plant.odd(tmp_path, again := line.next_version(), known, runtime=bad.runtime))
    status = plant.outcome(line.recorder, again)
    assert (status["state"], status["error"]["code"]) == (FAILED, "quarantined"), status
    assert line.states_of(again) == [FAILED]
    server.publish(plant.changed(tmp_path, version := line.next_version()))
    assert plant.outcome(line.recorder, version)["state"] == "confirmed"


def test_when_the_worker_is_killed_on_trial_the_model_before_is_back_in_time(
    tmp_path: Path, server: plant.Server, line: Line, trial: Trial
) -> None:
    version = line.next_version()
    server.publish(plant.changed(tmp_path, version, change=long_trial))

    def decides() -> bool:
        heard = plant.verdicts(line.recorder)
        on_trial = "trial" in line.states_of(version)
        return on_trial and heard[-1]["model_version"] == version

    line.wait_for(decides)
    os.kill(workers(line.gateway.agent.pid)["plates"], signal.SIGKILL)
    status = plant.outcome(line.recorder, version)
    back_s = line.silence_s(0)
    trial.note(
        Finding(
            "kill -9 of the worker on trial",
            1,
            "-",
            f"{back_s:.2f} s without the confirmed one, the trial among them",
            f"{status['state']}, {status['error']['code']}",
        )
    )
    assert (status["state"], status["error"]["code"]) == (ROLLED_BACK, "worker_died")
    assert back_s < BACK_S or not trial.full
