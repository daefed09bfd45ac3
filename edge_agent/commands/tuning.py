"""`edge-agent tune`: which accelerator, threads and options make a pipeline's model fast.

Each setting is measured against the one that the config has, in turns, and only what answers the
golden samples counts. The fastest is measured once more before it is recommended.
"""

from __future__ import annotations

import os
import time
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from edge_agent import registry
from edge_agent.clock import utc_text
from edge_agent.commands import tune_table
from edge_agent.commands.named_pipeline import pipeline_of
from edge_agent.commands.tune_runs import CHILD, Bench, Measured, Refused, Setting, measure
from edge_agent.commands.tune_table import Row, Tuning
from edge_agent.errors import EdgeAgentError
from edge_agent.inference.accelerator import CPU, Accelerator, AcceleratorOptions
from edge_agent.modelstore.manifest import load_bundle

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edge_agent.commands.tune_runs import Candidate
    from edge_agent.config import Config, PipelineOptions

# What a child may take to load: NPU compilers run for a while.
LOAD_S = 120.0
# A gain below this is within what a machine varies by itself, and no reason to change a config.
WORTH = 1.05
BATCHES = (1, 4)
# Reasons that hold whatever the threads and the batch are.
FOR_ALL = {"library_missing", "wrong_architecture", "unavailable", "refused_graph", "unproven"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to try. Left out: what the model's runtime knows of; 1, 2, 4 ... threads; BATCHES.

    `seconds`: for each setting. `load_s`: what it may take to load.
    """

    pipeline: str
    accelerators: tuple[AcceleratorOptions, ...] = ()
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    seconds: float = 2.0
    load_s: float = LOAD_S


def answer(
    options: argparse.Namespace,
    config: Config,
    folder: Path,
    state_folder: Path,
    say: Callable[[str], None],
) -> None:
    """Do what the command line asks for. Raises ConfigError, EdgeAgentError, OSError."""
    name = options.pipeline
    pipeline = pipeline_of(config, name)
    if options.show:
        kept = tune_table.read(state_folder, name)
        say("\n".join(kept.lines()))
        if load_bundle(folder / pipeline.model).model_sha256 != kept.sha256:
            say(f"The model has changed since: tune {name} again.")
        return
    if min((*options.threads, *options.batch, 1)) < 1:
        raise EdgeAgentError("--threads and --batch begin at 1")
    wanted = Wanted(
        name,
        tuple(accelerator(text, config.accelerators) for text in options.accelerator),
        tuple(options.threads),
        tuple(options.batch),
        options.seconds,
    )
    say(tune_table.HEAD)
    try:
        found = tune(config, folder, wanted, lambda row: say(row.line()))
    except KeyboardInterrupt:
        raise EdgeAgentError("stopped: nothing of it is kept") from None
    file = tune_table.write(found, state_folder)
    say("\n".join([*found.remarks(), "", f"{file} keeps it: the same with --show prints it again"]))


def accelerator(text: str, defined: Mapping[str, AcceleratorOptions]) -> AcceleratorOptions:
    """Return what stands behind `accelerator =` in a config: a word, or a table of TOML.

    `defined`: what the config's words mean. Raises EdgeAgentError.
    """
    try:
        value = tomllib.loads(f"x = {text}")["x"] if text.lstrip().startswith("{") else text
        chosen: AcceleratorOptions = TypeAdapter(Accelerator).validate_python(
            value, context=defined
        )
    except tomllib.TOMLDecodeError as error:
        raise EdgeAgentError(f"--accelerator {text}: {error}") from None
    except ValidationError as error:
        said = "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        raise EdgeAgentError(f"--accelerator {text}: {said}") from None
    return chosen


def tune(
    config: Config,
    folder: Path,
    wanted: Wanted,
    say: Callable[[Row], None],
    child: Sequence[str] = CHILD,
) -> Tuning:
    """Measure all settings; `say` hears of each as it is done. `child`: the command of tune_child.

    Raises ConfigError where there is no such pipeline, EdgeAgentError where not even the CPU runs
    the model.
    """
    options = pipeline_of(config, wanted.pipeline)
    bundle = load_bundle(folder / options.model)
    bench = Bench(
        folder / options.model, wanted.seconds, wanted.load_s, options.run_timeout_s, child
    )
    asked, note = _present(bench, options)
    with bench.open(asked) as present:
        varies = present.ready().varies
        rows = [_row(asked, measure(bench, present, None))]
        say(rows[0])
        grid = _grid(wanted, config, bundle.variant.runtime, varies=varies)
        for row in _tried(bench, present, grid):
            rows.append(row)
            say(row)
        best = _confirmed(bench, present, rows)
    return Tuning(
        pipeline=wanted.pipeline,
        made=utc_text(time.time_ns()),
        model_id=bundle.manifest.model_id,
        version=bundle.manifest.version,
        sha256=bundle.model_sha256,
        cores=os.cpu_count() or 1,
        rows=rows,
        best=best,
        note=note,
        varies=varies,
        asked=options.accelerator.model_dump(exclude_defaults=True),
        defined={
            word: each.model_dump(exclude_defaults=True)
            for word, each in config.accelerators.items()
        },
    )


def _present(bench: Bench, options: PipelineOptions) -> tuple[Setting, str]:
    """Return the setting that all others are measured against, and a note where it is not asked.

    What is asked for and does not run is inspected on the CPU instead.
    """
    asked = Setting(options.accelerator, options.threads)
    plain = Setting(CPU, options.threads)
    try:
        with bench.open(asked) as present:
            present.ready()
    except Refused as refused:
        if asked == plain:
            raise EdgeAgentError(f"the CPU does not run the model: {refused}") from None
        name = options.accelerator.name
        return plain, f"{name}, which the config asks for, does not run ({refused}): the CPU does"
    return asked, ""


def _grid(wanted: Wanted, config: Config, runtime: str, *, varies: bool) -> Iterator[Setting]:
    """Yield what to try, the present setting too: an accelerator's settings follow each other."""
    options, defined = config.pipelines[wanted.pipeline], config.accelerators
    known = registry.plugin("backends", runtime).candidates()
    # What the owner has defined is tried as defined, and not as the runtime would have it.
    others = [each for each in known if each.name not in defined]
    accelerators = wanted.accelerators or (CPU, options.accelerator, *defined.values(), *others)
    threads = wanted.threads or (*_doubled(os.cpu_count() or 1), options.threads)
    batches = wanted.batches or BATCHES
    for chosen in _each_once(accelerators):
        for count in sorted(set(threads)):
            for batch in sorted(set(batches)) if varies else (1,):
                yield Setting(chosen, count, batch)


def _doubled(most: int) -> Iterator[int]:
    count = 1
    while count < most:
        yield count
        count *= 2
    yield most


def _each_once(accelerators: Sequence[AcceleratorOptions]) -> list[AcceleratorOptions]:
    return [each for n, each in enumerate(accelerators) if each not in accelerators[:n]]


def _tried(bench: Bench, present: Candidate, grid: Iterable[Setting]) -> Iterator[Row]:
    hopeless: AcceleratorOptions | None = None
    for setting in grid:
        if setting == present.setting or setting.accelerator == hopeless:
            continue
        try:
            with bench.open(setting) as candidate:
                yield _row(setting, measure(bench, candidate, present))
        except Refused as refused:
            yield _row(setting, None, str(refused))
            if refused.failure.reason in FOR_ALL:
                hopeless = setting.accelerator


def _confirmed(bench: Bench, present: Candidate, rows: list[Row]) -> int:
    """Return which row to recommend: the fastest, if it is so once more; else the first.

    An agent inspects items one by one, so that larger batches do not count.
    """
    fit = [n for n, row in enumerate(rows) if row.measured and row.batch == 1]
    fastest = max(fit, key=lambda n: _against(rows[n]))
    if _against(rows[fastest]) < WORTH:
        return 0
    setting = Setting(rows[fastest].accelerator, rows[fastest].threads)
    try:
        with bench.open(setting) as candidate:
            again = measure(bench, candidate, present)
    except Refused:
        return 0
    rows[fastest] = _row(setting, again)
    return fastest if again.against >= 1.0 else 0


def _against(row: Row) -> float:
    return row.measured.against if row.measured else 0.0


def _row(setting: Setting, measured: Measured | None, failure: str = "") -> Row:
    return Row(
        asked=setting.accelerator.model_dump(exclude_defaults=True),
        threads=setting.threads,
        batch=setting.batch,
        measured=measured,
        failure=failure,
    )
