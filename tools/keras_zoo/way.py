"""One model's way: trained, compressed, bundled, verified, and run by the agent's own code."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.commands.verification import verify
from edge_agent.inference.model import load_model
from tools.bundling.bundle import Draft, files_sha256, write_bundle
from tools.bundling.fresh_folder import fresh_folder
from tools.compress.quantise import stored_inputs
from tools.compress.run import compress, write
from tools.compress.samples import Samples
from tools.compress.scoring import Metric
from tools.compress.variants import Settings
from tools.training.data_checks import DataUnfit
from tools.training.splits import Split, grouped_split

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from numpy.typing import NDArray

    from tools.compress.run import Outcome
    from tools.compress.table import Row as Measured
    from tools.keras_zoo.recipes import Examples, Recipe

HEADINGS = (
    *("model", "file", "metric on the test part", "Keras", "float", "bundled", "by the agent"),
    *("stored as", "kB of", "verified"),
)
LICENCE = {"spdx": "LicenseRef-not-for-distribution", "attribution": "an example of the tools"}


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one model; figures in the metric's own unit."""

    recipe: Recipe
    keras: float
    whole: float
    bundled: float
    agent: float
    stored_as: str
    kilobytes: tuple[float, float]
    verified: str
    passed: bool

    def cells(self) -> list[str]:
        """Return the row of the table."""
        scale = self.recipe.scale if self.recipe.metric == "rmse" else 1.0
        metric = Metric(self.recipe.metric)
        figures = [metric.text(value * scale) for value in (self.keras, self.whole, self.bundled)]
        return [
            self.recipe.name,
            self.recipe.suffix,
            self.recipe.metric,
            *figures,
            metric.text(self.agent * scale),
            self.stored_as,
            f"{self.kilobytes[0]:.1f} of {self.kilobytes[1]:.1f}",
            self.verified,
        ]


def whole_way(recipe: Recipe, options: argparse.Namespace) -> Row:
    """Take one model the whole way; raise what any part of it raises."""
    print(f"\n{recipe.name}: {recipe.what}", flush=True)
    examples = recipe.examples(options.data)
    samples = _samples(examples, options)
    path = options.out / f"{recipe.name}{recipe.suffix}"
    keras = _train(recipe, samples, path, options)
    loss_allowed = 0.5 if recipe.metric == "accuracy" else 1.0
    outcome = compress(
        path,
        samples,
        Settings(epochs=min(5, options.epochs or 5), seed=options.seed),
        metric=recipe.metric,
        loss_allowed=loss_allowed,
    )
    print(*outcome.lines, sep="\n", flush=True)
    write(options.out / f"{recipe.name}-compressed", outcome)
    bundle = options.out / recipe.name
    with fresh_folder(bundle) as folder:
        bundled = _smallest_int8(outcome, recipe, loss_allowed)
        write_bundle(folder, _draft(recipe, examples, samples, bundled, options))
    found = verify(bundle)
    agent = _by_the_agent(recipe, examples, samples, bundle)
    whole = outcome.rows[0]
    return Row(
        recipe=recipe,
        keras=keras,
        whole=whole.test,
        bundled=bundled.test,
        agent=agent,
        stored_as=f"{bundled.variant.shape}, {bundled.variant.precision}",
        kilobytes=(len(bundled.variant.model) / 1e3, len(whole.variant.model) / 1e3),
        verified=f"p95 {found.p95_ms:.2f} ms" if found.passed else f"NO: {found.failure}",
        passed=found.passed,
    )


def _samples(examples: Examples, options: argparse.Namespace) -> Samples:
    count = len(examples.inputs)
    groups = examples.groups if examples.groups is not None else np.arange(count)
    classes = examples.targets.dtype.kind == "i"
    split = grouped_split(
        [str(group) for group in groups],
        seed=options.seed,
        labels=[str(target) for target in examples.targets] if classes else None,
    )
    if options.items:
        rng = np.random.default_rng(options.seed)
        shares = (0.7, 0.15, 0.15)
        parts = [
            np.sort(rng.permutation(part)[: round(options.items * share)])
            for (_, part), share in zip(split.parts(), shares, strict=True)
        ]
        split = Split(parts[0], parts[1], parts[2])
    print("; ".join(f"{name} {len(part)}" for name, part in split.parts()), flush=True)
    return Samples(examples.inputs, examples.targets, split)


def _train(recipe: Recipe, samples: Samples, path: Path, options: argparse.Namespace) -> float:
    """Write the trained model to `path`; return its figure on the test part, by Keras itself."""
    library: Any = importlib.import_module(recipe.library)
    library.utils.set_random_seed(options.seed)
    model = library.Sequential(
        [library.layers.Input(samples.inputs.shape[1:])]
        + [getattr(library.layers, kind)(**settings) for kind, settings in recipe.layers]
    )
    model.compile(library.optimizers.Adam(1e-3), recipe.loss)
    targets = samples.targets
    if targets is None:
        raise DataUnfit("the examples have no targets")
    train, held = samples.split.train, samples.split.validation
    model.fit(
        samples.inputs[train],
        targets[train],
        batch_size=64,
        epochs=options.epochs or recipe.epochs,
        validation_data=(samples.inputs[held], targets[held]),
        callbacks=[
            library.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
            library.callbacks.LambdaCallback(on_epoch_end=_say_epoch),
        ],
        verbose=0,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    test = samples.split.test
    answers = np.asarray(model.predict(samples.inputs[test], verbose=0))
    return Metric(recipe.metric).value(answers, targets[test])


def _say_epoch(epoch: int, logs: dict[str, float] | None) -> None:
    losses = logs or {}
    print(
        f"  epoch {epoch + 1:2d}  loss {losses.get('loss', 0):.4f}  "
        f"validation {losses.get('val_loss', 0):.4f}",
        flush=True,
    )


def _smallest_int8(outcome: Outcome, recipe: Recipe, loss_allowed: float) -> Measured:
    """Return the smallest int8 variant that loses no more than allowed; else what was chosen.

    Of models of some hundred weights the float file is the smallest: scales weigh more than
    weights. What is shown here is the way, so it goes on in int8.
    """
    whole, *others = outcome.rows
    int8 = [row for row in others if row.variant.precision.startswith("int8")]
    metric = Metric(recipe.metric)
    allowed = [row for row in int8 if metric.lost(whole.validation, row.validation) <= loss_allowed]
    return min(allowed, key=lambda row: len(row.variant.model), default=outcome.chosen)


def _draft(
    recipe: Recipe,
    examples: Examples,
    samples: Samples,
    bundled: Measured,
    options: argparse.Namespace,
) -> Draft:
    variant = bundled.variant
    golden = samples.inputs[samples.split.validation[:2]]
    folder = options.data / {"mnist": "mnist", "cifar": "cifar10"}.get(
        recipe.examples.__name__, "cmapss"
    )
    return Draft(
        model_id=recipe.name,
        version="1.0.0",
        seq=1,
        task={**recipe.task, "preprocess": examples.preprocess},
        decision={"rule": recipe.rule},
        license=LICENCE,
        source={
            "training": "python -m tools.keras_zoo",
            "data_sha256": files_sha256(folder, (p for p in folder.glob("*") if p.is_file())),
        },
        model=variant.model,
        precision=variant.precision.split()[0].strip(","),
        golden=stored_inputs(variant.model, [sample[None] for sample in golden]),
        atol=0.05,
        p95_ms_max=50.0,
        labels=recipe.labels,
    )


def _by_the_agent(recipe: Recipe, examples: Examples, samples: Samples, bundle: Path) -> float:
    """Return the figure on the test part, each item taken the way it takes on a gateway."""
    model = load_model(bundle, threads=1, roi=None)
    test, targets = samples.split.test, examples.targets
    answers: list[float] = []
    for index in test.tolist():
        item = examples.items(index)
        prediction = model.task.interpret(model.backend.run(model.task.prepare(item)), item)
        answers.append(
            recipe.labels.index(prediction.label)
            if recipe.labels
            else prediction.score / recipe.scale
        )
    model.backend.close()
    found: NDArray[np.float64] = np.array(answers)
    wanted = targets[test].astype(np.float64)
    if recipe.labels:
        return float((found == wanted).mean())
    return float(np.sqrt(np.mean(np.square(found - wanted))))
