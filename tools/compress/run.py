"""Compress a model: make the variants, measure them, choose one, write it with its table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.bundling.fresh_folder import check_replaceable, fresh_folder
from tools.compress import measure
from tools.compress.failures import CompressFailed
from tools.compress.fitting import check_input
from tools.compress.scoring import chosen_metric
from tools.compress.source import read_source
from tools.compress.table import Row, smallest, table
from tools.compress.variants import (
    Settings,
    Variant,
    fewest_samples,
    quantisation_aware,
    shapes,
    variants,
)
from tools.training.data_checks import named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tools.compress.samples import Samples
    from tools.compress.scoring import Metric
    from tools.compress.source import Source

    Array = NDArray[np.float32]

TABLE = "variants.json"
WRITTEN = frozenset({TABLE, "table.md", "model.tflite", "model.onnx"})
# As many held samples show a spoilt model; more only take time.
GATE_SAMPLES = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out: the chosen variant's model, all rows, and the lines that say so."""

    chosen: Row
    rows: tuple[Row, ...]
    stopped: tuple[Variant, ...]
    lines: tuple[str, ...]
    runtime: str


def compress(
    model: Path,
    samples: Samples,
    settings: Settings,
    *,
    metric: str = "",
    loss_allowed: float = 0.5,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Return the smallest variant of `model` that loses at most `loss_allowed`, and the table.

    Loss in points of 100 for accuracy and AUROC, else in percent of the float model's error.
    Raises CompressFailed, DataUnfit, QuantisationFailed, ModelError, NotTflite.
    """
    source = read_source(model, samples.inputs[:1])
    if source.note:
        say(source.note)
    _check_shape(source, samples)
    train, held = samples.split.train, _held(samples)
    wanted = fewest_samples(settings)
    if source.runtime == "tflite" and len(train) < wanted:
        say(
            f"note: int8 wants {wanted} samples to calibrate with, and the training part has "
            f"{len(train)}: it will be stopped. Bring more, or say --calibration {len(train)}"
        )
    measured = _Bench(source, samples, metric)
    if doubt := measured.doubt():
        say(doubt)
    made, stopped = [], []
    for shape in shapes(source, samples.inputs[train], settings, say):
        found = list(
            variants(shape, source.runtime, samples.inputs[train], held[:GATE_SAMPLES], settings)
        )
        eight_bits = next(variant for variant in found if variant.precision == "int8")
        in_float = next(variant for variant in found if variant.precision == "float32")
        # Training for int8 gives back what int8 took, not what was taken before.
        too_much = measured.lost(in_float) <= loss_allowed and (
            not eight_bits.model or measured.lost(eight_bits) > loss_allowed
        )
        if settings.quantisation_aware and shape.network is not None and too_much:
            say(f"{shape.name}: int8 loses too much, training for it")
            answers = measured.answers_of(shape.model, samples.inputs[train])
            found.append(
                quantisation_aware(
                    shape, samples.inputs[train], held[:GATE_SAMPLES], answers, settings
                )
            )
        made += [variant for variant in found if variant.model]
        stopped += [variant for variant in found if not variant.model]
    rows = measured.rows(made)
    chosen = smallest(rows, measured.metric, loss_allowed)
    lines = table(rows, stopped, measured.metric, chosen)
    lines += _remarks(rows, chosen, measured.metric, loss_allowed)
    return Outcome(chosen, tuple(rows), tuple(stopped), tuple(lines), source.runtime)


def check_out(out: Path) -> None:
    """Raise FileExistsError where `out` holds anything that this tool did not write."""
    check_replaceable(out, marker=TABLE)
    there = {each.name for each in out.iterdir()} if out.exists() else set()
    others = sorted(there - WRITTEN)
    if others:
        raise FileExistsError(
            f"{out} holds {named(others)} beside a model of this tool: choose another place"
        )


def write(out: Path, outcome: Outcome) -> None:
    """Write the chosen model, the table and its figures into folder `out`, whole or not at all."""
    check_out(out)
    with fresh_folder(out, marker=TABLE) as folder:
        (folder / f"model.{outcome.runtime}").write_bytes(outcome.chosen.variant.model)
        (folder / "table.md").write_text("\n".join(outcome.lines) + "\n", encoding="utf-8")
        figures = [_figures(row) for row in outcome.rows]
        (folder / TABLE).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


class _Bench:
    """Measures variants of one source on the validation and the test part."""

    def __init__(self, source: Source, samples: Samples, metric: str) -> None:
        self._runtime = source.runtime
        self._samples = samples
        whole = self.answers_of(source.whole, samples.inputs)
        self.metric: Metric = chosen_metric(metric, whole, samples.targets)
        self._targets = whole if self.metric.name == "difference" else samples.targets
        self._whole = self._value(whole[self._validation], self._validation)
        test = samples.split.test
        self._whole_test = self._value(whole[test], test)

    @property
    def _validation(self) -> NDArray[np.int64]:
        split = self._samples.split
        # Data that comes parted may have no validation part: the training part is the next best.
        return split.validation if len(split.validation) else split.train

    def answers_of(self, model: bytes, inputs: Array) -> Array:
        return measure.answers(model, self._runtime, inputs)

    def lost(self, variant: Variant) -> float:
        """Return what `variant` loses on the validation part."""
        answers = self.answers_of(variant.model, self._samples.inputs[self._validation])
        return self.metric.lost(self._whole, self._value(answers, self._validation))

    def doubt(self) -> str:
        """Return what is to be said where the model as given knows no more than chance."""
        test = self._samples.split.test
        if self._targets is None or not len(test):
            return ""
        chance = self.metric.chance(self._targets[test])
        if chance is None or self.metric.lost(self._whole_test, chance) > 0:
            return ""
        text = self.metric.text
        return (
            f"warning: the model as given has {self.metric.name} {text(self._whole_test)} on the "
            f"test part, where chance gets up to {text(chance)}: no figure below says anything. "
            "Are the inputs scaled as in its training (--mean, --std, --zscore), and the classes "
            "in its order?"
        )

    def rows(self, variants: Sequence[Variant]) -> list[Row]:
        """Return a row for each variant; their latencies are measured in turn."""
        latencies = measure.latencies(
            [(variant.model, self._runtime) for variant in variants], self._samples.inputs[:1]
        )
        rows = []
        for variant, latency in zip(variants, latencies, strict=True):
            values = [
                self._value(self.answers_of(variant.model, self._samples.inputs[part]), part)
                for part in (self._validation, self._samples.split.test)
            ]
            weights = measure.weights_of(variant.model, self._runtime)
            zipped = measure.zipped(variant.model)
            rows.append(Row(variant, zipped, weights, values[0], values[1], latency))
        return rows

    def _value(self, answers: Array, part: NDArray[np.int64]) -> float:
        if self._targets is None:
            raise CompressFailed("the data holds no targets")
        return self.metric.value(answers, self._targets[part])


def _check_shape(source: Source, samples: Samples) -> None:
    backend = measure.load(source.whole, source.runtime)
    specs = backend.inputs
    backend.close()
    if len(specs) != 1:
        raise CompressFailed(f"the model has {len(specs)} inputs instead of one")
    check_input((1, *samples.inputs.shape[1:]), specs[0].shape, specs[0].name)


def _held(samples: Samples) -> Array:
    """Return samples for the gate: not those of calibration, and none of the test part."""
    split = samples.split
    return samples.inputs[split.validation if len(split.validation) else split.train]


def _remarks(rows: Sequence[Row], chosen: Row, metric: Metric, loss_allowed: float) -> list[str]:
    lost = metric.lost(rows[0].test, chosen.test)
    unit = "points" if metric.name in {"accuracy", "auroc"} else "%"
    kilobytes = [len(row.variant.model) / 1e3 for row in (chosen, rows[0])]
    seen = metric.lost(rows[0].validation, chosen.validation)
    remark = (
        f"chosen on the validation part: {chosen.variant.shape}, {chosen.variant.precision}, "
        f"{kilobytes[0]:.1f} kB of {kilobytes[1]:.1f} kB; it loses {seen:+.2f} {unit} of "
        f"{metric.name} there ({loss_allowed:g} allowed) and {lost:+.2f} on the test part"
    )
    remarks = [remark]
    times = [row.latency.p50_ms for row in (chosen, rows[0])]
    if times[0] > times[1]:
        remarks.append(
            f"note: it is slower here than the model as given, p50 {times[0]:.3f} ms beside "
            f"{times[1]:.3f} ms: it saves room, not time"
        )
    if lost > loss_allowed:
        remarks.append(
            "note: on the test part it loses more than is allowed; with so few samples the two "
            "parts differ by that much, so take more, or allow less"
        )
    return remarks


def _figures(row: Row) -> dict[str, object]:
    return {
        "model": row.variant.shape,
        "stored_as": row.variant.precision,
        "bytes": len(row.variant.model),
        "zipped_bytes": row.zipped,
        "weights": row.weights.count,
        "zeros": row.weights.zeros,
        "validation": row.validation,
        "test": row.test,
        "p50_ms": row.latency.p50_ms,
        "p95_ms": row.latency.p95_ms,
    }
