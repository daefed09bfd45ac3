"""`edge-agent tune`: what is measured, what a setting that does not run costs, what is advised."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.cli import main
from edge_agent.commands import tune_table, tuning
from edge_agent.commands.tune_runs import CHILD
from edge_agent.config import PipelineOptions, parse_toml
from edge_agent.errors import ConfigError, EdgeAgentError
from edge_agent.inference.accelerator import CPU, AcceleratorOptions
from tests.agents import MODELS
from tests.bundles import config_of
from tests.tiny_tflite import model_bytes
from tools.bundling.bundle import Draft, write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.commands.tune_table import Row, Tuning
    from edge_agent.config import Config

CONFIG = config_of("it", "model")
# Takes several items at once.
SUM = Draft(
    model_id="sum",
    version="1.0.0",
    seq=1,
    task={
        "kind": "regress",
        "preprocess": {"kind": "window", "channels": ["x"], "samples": 3, "hop": 3, "rate_hz": 1.0},
    },
    decision={"rule": {"kind": "threshold", "fail_at": 1.0}},
    license={"spdx": "Apache-2.0"},
    source={"training": "by hand"},
    model=model_bytes("add"),
    precision="float32",
    golden=[dict.fromkeys("ab", np.array([[1, 2, 3]], np.float32))],
    atol=1e-6,
    p95_ms_max=5.0,
)
# Of a row: the columns that say what was measured, and not what came of it.
SETTING = tune_table.HEAD.index("batch") + len("batch")
# Stands in for edge_agent.commands.tune_child: it is told what to do by the accelerator.
STAND_IN = """
import json, os, sys, time
folder, threads, batch, accelerator = sys.argv[1:]
asked = json.loads(accelerator)
kind, options = asked["hardware"], asked["options"]
def say(**answer):
    os.write(1, json.dumps(answer).encode() + b"\\n")
if options.get("on") == "load":
    if options["does"] == "hang": time.sleep(600)
    if options["does"] == "crash": os.abort()
    if options["does"] == "refuse": say(type="Failure", reason="refused_graph", detail="not this")
say(type="Ready", effective=kind, share=None, proven=True, varies=False)
starts = len(os.listdir(os.environ["STARTS"])) if kind == "npu" else 0
if kind == "npu": open(os.path.join(os.environ["STARTS"], str(starts)), "w").close()
times = {"cpu": 2.0, "gpu": 1.0, "npu": 0.5 if starts == 0 else 4.0}
for line in sys.stdin:
    if options.get("on") == "run":
        if options["does"] == "hang": time.sleep(600)
        os.abort()
    say(type="Round", times_ms=[times[kind]] * 10)
"""


def config(**fields: Any) -> Config:
    read = parse_toml(CONFIG.encode())
    pipeline = read.pipelines["it"].model_copy(update=fields)
    return read.model_copy(update={"pipelines": {"it": pipeline}})


def gpu(**options: str) -> AcceleratorOptions:
    return AcceleratorOptions(hardware="gpu", options=dict(options))


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    write_bundle(tmp_path / "model", SUM)
    (tmp_path / "starts").mkdir()
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return sys.executable, str(tmp_path / "stand_in.py")


def tuned(
    folder: Path,
    child: tuple[str, ...],
    *accelerators: AcceleratorOptions,
    load_s: float = 20.0,
    batches: tuple[int, ...] = (1,),
    **fields: Any,
) -> Tuning:
    wanted = tuning.Wanted("it", accelerators, (1,), batches, seconds=0.01, load_s=load_s)
    return tuning.tune(config(**fields), folder, wanted, lambda _: None, child)


@pytest.mark.parametrize("model", ["conveyor-parts", "motor-bearing"])
def test_a_shipped_model_is_measured_and_the_advice_is_as_fast_as_what_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    shutil.copytree(MODELS / model, tmp_path / "model")
    (tmp_path / "config.toml").write_text(CONFIG)
    arguments = ["tune", "it", "--config", str(tmp_path / "config.toml")]
    short = ["--accelerator", "cpu", "--threads", "1", "2", "--seconds", "0.05"]
    assert main([*arguments, *short]) == 0
    shown = capsys.readouterr().out
    assert "one item at a time: no other batch is possible" in shown
    found = tune_table.read(tmp_path / "state", "it")
    assert [(row.threads, row.batch) for row in found.rows] == [(1, 1), (2, 1)]
    # The fastest is measured once more: what is kept of it is that.
    assert settings(shown) == [row.line()[:SETTING] for row in found.rows]
    assert found.rows[0].line() in shown
    assert all(measured(row).p50_ms > 0 for row in found.rows)
    assert measured(found.rows[found.best]).against >= 1.0
    advice = tomllib.loads(shown[shown.index("[pipelines.it]") : shown.index("\n\n/")])
    assert advice["pipelines"]["it"] == {
        "accelerator": "cpu",
        "threads": found.rows[found.best].threads,
    }

    assert main([*arguments, "--show"]) == 0
    again = capsys.readouterr().out
    assert settings(again) == settings(shown)
    assert all(row.line() in again for row in found.rows)
    assert "changed since" not in again


def settings(shown: str) -> list[str]:
    """Return what each row of a table was measured with."""
    return [line[:SETTING] for line in shown.splitlines() if line.startswith("cpu  ")]


def measured(row: Row) -> Any:
    assert row.measured is not None, row.failure
    return row.measured


def test_a_tuning_of_another_model_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stand_in: tuple[str, ...]
) -> None:
    tune_table.write(tuned(tmp_path, stand_in, CPU), tmp_path / "state")
    write_bundle(
        tmp_path / "model", dataclasses.replace(SUM, model=model_bytes("add_int8"), golden=[])
    )
    (tmp_path / "config.toml").write_text(CONFIG)
    assert main(["tune", "it", "--config", str(tmp_path / "config.toml"), "--show"]) == 0
    assert "The model has changed since: tune it again." in capsys.readouterr().out


def test_batches_are_measured_where_the_model_takes_them_and_never_advised(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model", SUM)
    found = tuned(tmp_path, CHILD, CPU, batches=(1, 256))
    assert [row.batch for row in found.rows] == [1, 256]
    # One run of 256 costs hardly more than a run of one.
    assert measured(found.rows[1]).against > 2
    assert found.best == 0
    assert "batches above 1 are shown only" in "\n".join(found.lines())


def test_wrong_answers_are_no_speed(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model", SUM)
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    for case in manifest["selftest"]["cases"]:
        case["out"] = case["in"]
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EdgeAgentError, match=r"CPU does not run the model: wrong_answers: golden"):
        tuned(tmp_path, CHILD, CPU)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"on": "load", "does": "refuse"}, "refused_graph: not this"),
        ({"on": "load", "does": "crash"}, "crashed: ended with SIGABRT while loading"),
        ({"on": "load", "does": "hang"}, "hung: no answer after 3 s, while loading"),
        ({"on": "run", "does": "crash"}, "crashed: ended with SIGABRT while running"),
        ({"on": "run", "does": "hang"}, "hung: no answer after 0.102 s, while running"),
    ],
)
def test_a_setting_that_does_not_run_is_a_row_that_says_why_and_the_others_go_on(
    tmp_path: Path, stand_in: tuple[str, ...], options: dict[str, str], why: str
) -> None:
    bad, good = gpu(**options), gpu()
    load_s = 3.0 if options == {"on": "load", "does": "hang"} else 20.0
    found = tuned(tmp_path, stand_in, CPU, bad, good, load_s=load_s, run_timeout_s=0.1)
    assert [row.failure for row in found.rows] == ["", why, ""]
    assert why in "\n".join(found.lines())
    assert found.rows[found.best].accelerator == good


def test_the_faster_one_is_advised_with_the_lines_of_config(
    tmp_path: Path, stand_in: tuple[str, ...]
) -> None:
    chosen = gpu(precision="fp16")
    found = tuned(tmp_path, stand_in, CPU, chosen)
    assert measured(found.rows[found.best]).against == 2.0
    shown = "\n".join(found.lines())
    assert "once more, 2.00 times as fast as the present setting" in shown
    advice = tomllib.loads(shown[shown.index("[pipelines.it]") :])["pipelines"]["it"]
    assert (
        PipelineOptions.model_validate(
            parse_toml(CONFIG.encode()).pipelines["it"].model_dump() | advice
        ).accelerator
        == chosen
    )


def test_what_the_config_defines_is_tried_and_advised_by_its_word(
    tmp_path: Path, stand_in: tuple[str, ...]
) -> None:
    # The runtime's own npu, which is defined anew, is not tried.
    defined = {"npu": gpu(on="load", does="refuse"), "fast": gpu(precision="fp16")}
    wanted = tuning.Wanted("it", threads=(1,), seconds=0.01)
    given = config().model_copy(update={"accelerators": defined})
    found = tuning.tune(given, tmp_path, wanted, lambda _: None, stand_in)
    assert [row.accelerator for row in found.rows] == [CPU, *defined.values(), gpu()]
    tune_table.write(found, tmp_path)
    advice = tune_table.read(tmp_path, "it").remarks()[-2]
    assert advice == 'accelerator = "fast"'


def test_what_is_faster_once_and_not_again_is_not_advised(
    tmp_path: Path, stand_in: tuple[str, ...]
) -> None:
    found = tuned(tmp_path, stand_in, CPU, AcceleratorOptions(hardware="npu"))
    assert found.best == 0
    assert measured(found.rows[1]).against == 0.5  # of the second time: it is what counts
    assert "worth a change" in "\n".join(found.lines())


def test_an_accelerator_of_the_config_that_does_not_run_is_said_and_the_cpu_is_held_against(
    tmp_path: Path, stand_in: tuple[str, ...]
) -> None:
    broken = gpu(on="load", does="refuse")
    found = tuned(tmp_path, stand_in, CPU, broken, accelerator=broken)
    assert found.rows[0].accelerator == CPU
    assert "gpu, which the config asks for, does not run (refused_graph: not this)" in found.note
    assert [row.failure for row in found.rows] == ["", "refused_graph: not this"]
    as_it_is = 'accelerator = { hardware = "gpu", options = { on = "load", does = "refuse" } }'
    assert found.remarks()[-2:] == [as_it_is, "threads = 1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tpu", "tpu: no such accelerator: 'tpu'; there are: cpu, gpu, npu, fast, or a table"),
        ("{ delegate = }", "Invalid value"),
        ("{ hardware = 'gpu', provider = 'CUDA' }", "exactly one of"),
    ],
)
def test_an_accelerator_that_cannot_be_read_is_said(text: str, said: str) -> None:
    with pytest.raises(EdgeAgentError, match=f"--accelerator .*{said}"):
        tuning.accelerator(text, {"fast": gpu()})


def test_an_accelerator_is_written_as_the_config_has_it() -> None:
    defined = {"npu": AcceleratorOptions(hardware="npu", options={"a": 1}), "fast": gpu(a="b")}
    for text in (
        *('"gpu"', '"npu"', '"fast"', '{ hardware = "npu" }'),
        '{ delegate = "/lib/x \\" y.so", options = { "a b" = true, n = 0.5 } }',
    ):
        chosen = tuning.accelerator(json.loads(text) if text[0] == '"' else text, defined)
        asked = chosen.model_dump(exclude_defaults=True)
        assert tune_table.toml(asked, defined) == text


def test_a_pipeline_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    wanted = tuning.Wanted("other")
    with pytest.raises(ConfigError) as error:
        tuning.tune(config(), tmp_path, wanted, lambda _: None)
    assert "there are: it" in error.value.fields[0].message


def test_what_was_never_tuned_is_said(tmp_path: Path) -> None:
    with pytest.raises(EdgeAgentError, match="it was not tuned yet"):
        tune_table.read(tmp_path, "it")
