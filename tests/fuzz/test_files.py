"""Config, manifest and model files: read, or refused with the class of error that says so."""

from __future__ import annotations

import json
import math
import multiprocessing
import random
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent import registry
from edge_agent.backends.base import BackendContext
from edge_agent.config import parse_json, parse_toml
from edge_agent.errors import ConfigError, ModelError
from edge_agent.modelstore.manifest import parse_manifest
from tests.fuzz.damage import EXAMPLES, FUZZ, TREES, damaged_bytes, damaged_tree
from tests.test_config import good as good_config
from tests.tiny_onnx import add_model, failing_model, identity_model, quantised_model

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "models"
CONFIG = json.dumps(good_config())
TOMLS = [path.read_bytes() for path in sorted((REPOSITORY / "docs" / "examples").glob("*.toml"))]
MANIFESTS = [path.read_text() for path in sorted(MODELS.glob("*/manifest.json"))]
GOOD = {
    "tflite": [(MODELS / "conveyor-parts" / "model.tflite").read_bytes()],
    "onnx": [add_model(), quantised_model(0.1, 3), failing_model(), identity_model(1, 8, 8, 3)],
}
BATCH = 20
MOST_VALUES = 1_000_000  # a task would not feed more either


@FUZZ
@given(damaged_tree(CONFIG) | TREES)
def test_any_config_is_taken_or_every_wrong_field_is_named(tree: Any) -> None:
    read_config(json.dumps(tree).encode(), parse_json)


@FUZZ
@given(damaged_bytes(st.just(CONFIG.encode())) | st.binary())
def test_any_bytes_as_a_config_are_taken_or_refused(text: bytes) -> None:
    read_config(text, parse_json)


@FUZZ
@given(damaged_bytes(st.sampled_from(TOMLS)) | st.binary())
def test_any_bytes_as_a_toml_config_are_taken_or_refused(text: bytes) -> None:
    read_config(text, parse_toml)


def read_config(text: bytes, parse: Any) -> None:
    try:
        config = parse(text)
    except ConfigError as error:
        wrong = [field.message for field in error.fields]
    else:
        wrong = ["" if math.isfinite(config.stop_timeout_s) else "infinite"]
    assert wrong == [""] or (wrong and all(wrong))


@FUZZ
@given(
    st.sampled_from(MANIFESTS).flatmap(damaged_tree).map(lambda tree: json.dumps(tree).encode())
    | st.sampled_from(MANIFESTS).flatmap(lambda text: damaged_bytes(st.just(text.encode())))
    | st.binary()
)
def test_any_manifest_is_taken_or_refused_with_the_field(text: bytes) -> None:
    try:
        said = f"manifest.json: {len(parse_manifest(text).variants)} variants"
    except ModelError as error:
        said = str(error)
    assert said.startswith("manifest.json: ")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("runtime", sorted(GOOD))
@settings(FUZZ, max_examples=max(2, EXAMPLES // BATCH))
@given(seed=st.integers(0, 2**32))
@example(seed=236)  # an ONNX model whose size has a name that is no UTF-8
def test_any_model_is_loaded_or_refused_or_ends_its_own_process_alone(
    runtime: str, seed: int
) -> None:
    # Native code reads these bytes: a crash is allowed, in the child that runs it, and nothing of
    # Python's but ModelError.
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=load_damaged, args=(runtime, seed), daemon=True)
    process.start()
    process.join(120)
    assert process.exitcode is not None, f"seed {seed}: hangs"
    # 1: an exception that nobody expects, whose traceback it has printed.
    assert process.exitcode <= 0, f"seed {seed}"
    process.close()


def load_damaged(runtime: str, seed: int) -> None:
    """Load and run damaged models of one runtime."""
    # What a worker may take by default.
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
    rng = random.Random(seed)
    create = registry.plugin("backends", runtime).create
    for _ in range(BATCH):
        good = rng.choice(GOOD[runtime])
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 9)):
            damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
        try:
            load_and_run(create, bytes(damaged[: rng.randrange(1, 4 * len(good))]))
        except ModelError as error:
            if not str(error):
                raise


def load_and_run(create: Any, model: bytes) -> None:
    backend = create(BackendContext(model, 1))
    # A size that may vary is taken as one.
    shapes = {spec.name: tuple(abs(size) for size in spec.shape) for spec in backend.inputs}
    if all(0 < math.prod(shape) <= MOST_VALUES for shape in shapes.values()):
        backend.run({spec.name: np.zeros(shapes[spec.name], spec.dtype) for spec in backend.inputs})
    backend.close()
