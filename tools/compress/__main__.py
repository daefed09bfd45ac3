"""Find the smallest variant of a trained model that is still good enough.

    python -m tools.compress MODEL OUT --data samples.npz [--metric accuracy] [--loss-allowed 0.5]

MODEL is a .keras, .h5, SavedModel, PyTorch (.pt), .onnx or float .tflite model. Keras models and
SavedModels need .venv-keras/bin/python, the others .venv-train/bin/python: both are made by
`make training-environment`. OUT becomes a folder with the chosen model, the table of all variants
as Markdown and as JSON.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import ModelError
from tools.compress import from_files
from tools.compress.failures import CompressFailed, MissingFramework
from tools.compress.formats import keras, saved_model
from tools.compress.quantise import QuantisationFailed
from tools.compress.run import TABLE, check_out, compress, write
from tools.compress.samples import read_samples
from tools.compress.scoring import METRICS
from tools.compress.tflite_file import NotTflite
from tools.compress.variants import Settings
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.compress.samples import Samples

DEFAULTS = Settings()
FAILURES = (CompressFailed, DataUnfit, QuantisationFailed, ModelError, NotTflite, FileExistsError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write the chosen model; return 1 with a sentence where that fails."""
    options = _parser().parse_args(arguments)
    try:
        check_out(options.out)
        _check_quantiser(options.model)
        if (options.out / TABLE).is_file():
            print(f"{options.out} holds a model of this tool already: this one replaces it")
        shares = tuple(options.shares)
        samples = _samples(options, (shares[0], shares[1], shares[2]))
        for name, part in samples.split.parts():
            print(f"{name}: {len(part)} samples")
        outcome = compress(
            options.model,
            samples,
            _settings(options),
            metric=options.metric,
            loss_allowed=options.loss_allowed,
        )
        print(*outcome.lines, sep="\n")
        write(options.out, outcome)
    except FAILURES as failure:
        print(f"compress: {failure}", file=sys.stderr)
        return 1
    print(f"written to {options.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.compress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path, help="a folder that is made")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="an .npz file: inputs [items, ...] as the float model takes them, targets, and groups "
        "(what belongs together) or parts (train, validation, test) if there are any; or a folder "
        "of labelled photos, or CSV files",
    )
    parser.add_argument("--metric", default="", choices=("", *METRICS))
    parser.add_argument(
        "--loss-allowed",
        type=float,
        default=0.5,
        help="in points of 100 for accuracy and auroc, in percent of the float model's rmse "
        "(default: %(default)s)",
    )
    parser.add_argument("--shares", type=float, nargs=3, default=(0.7, 0.15, 0.15))
    parser.add_argument("--calibration", type=int, default=DEFAULTS.calibration, help="samples")
    parser.add_argument("--epochs", type=int, default=DEFAULTS.epochs, help="of fine-tuning")
    parser.add_argument("--zeros", type=float, default=DEFAULTS.zeros, help="share of each kernel")
    parser.add_argument("--clusters", type=int, default=DEFAULTS.clusters, help="of each kernel")
    parser.add_argument("--channels", type=float, nargs="*", default=DEFAULTS.channels)
    parser.add_argument("--no-training", action="store_true", help="take the model as it is")
    parser.add_argument("--seed", type=int, default=0)
    from_files.add_arguments(parser)
    return parser


def _samples(options: argparse.Namespace, shares: tuple[float, float, float]) -> Samples:
    if from_files.is_files(options.data):
        return from_files.samples_of_files(options, shares)
    return read_samples(options.data, shares=shares, seed=options.seed)


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        zeros=options.zeros,
        clusters=options.clusters,
        channels=() if options.no_training else tuple(options.channels),
        epochs=0 if options.no_training else options.epochs,
        calibration=options.calibration,
        seed=options.seed,
        quantisation_aware=not options.no_training,
    )


def _check_quantiser(model: Path) -> None:
    try:
        import ai_edge_quantizer  # noqa: F401, PLC0415  of the tools' environments only
    except ImportError:
        of_keras = keras.is_format(model) or saved_model.is_format(model)
        environment = ".venv-keras" if of_keras else ".venv-train"
        raise MissingFramework("compress", "ai-edge-quantizer", environment) from None


if __name__ == "__main__":
    sys.exit(main())
