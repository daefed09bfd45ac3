"""What a registry gave becomes a bundle: the same as with a real one, from files over HTTP."""

from __future__ import annotations

import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from edge_agent.modelstore.manifest import load_bundle
from tests.agents import MODELS
from tests.modelstore.plant import serving
from tools.repo.importing import stage
from tools.repo.mlflow_registry import FILES, MlflowRegistry, Registered
from tools.repo.signing import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PARTS = MODELS / "conveyor-parts"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[Callable[[], Registered]]:
    """Return what makes a registered model of the files in `tmp_path`/files."""
    root = tmp_path / "served" / FILES
    root.mkdir(parents=True)
    (root / "files").symlink_to(tmp_path / "files")
    handler = partial(_Quiet, directory=str(tmp_path / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with serving(server) as url:
        origin = HttpOrigin(url, HttpSettings())

        def make() -> Registered:
            files = {p.name: p.stat().st_size for p in (tmp_path / "files").iterdir()}
            metrics, tags = {"auroc": 0.9}, {"who": "line | 3"}
            return Registered(
                "parts", "7", "run-1", metrics, tags, "0123", "ab" * 32, files, "files", origin
            )

        yield make
        origin.close()


def test_a_bundle_keeps_its_files_and_takes_its_evaluation_along(
    tmp_path: Path, registered: Callable[[], Registered]
) -> None:
    shutil.copytree(PARTS, tmp_path / "files")
    said = stage(registered(), tmp_path / "out", None, {"conveyor-parts": 4})
    folder = tmp_path / "out" / "conveyor-parts-1.0.0"
    assert any("seq 1 is not above 4" in line for line in said)
    source = load_bundle(folder).manifest.source
    assert (source.run, source.evaluation) == ("run-1", {"auroc": 0.9})
    assert "| who | line \\| 3 |" in (folder / "card.md").read_text()
    for name in ("model.tflite", "golden_out_0.npz"):
        assert (folder / name).read_bytes() == (PARTS / name).read_bytes()
    with pytest.raises(RepositoryError, match="brought before"):
        stage(registered(), tmp_path / "out", None, {})


def test_a_plain_file_answers_the_golden_inputs_of_the_bundle_that_it_is_like(
    tmp_path: Path, registered: Callable[[], Registered]
) -> None:
    (tmp_path / "files").mkdir()
    shutil.copy(PARTS / "model.tflite", tmp_path / "files" / "parts v2.tflite")
    stage(registered(), tmp_path / "out", PARTS, {"conveyor-parts": 4})
    bundle = load_bundle(tmp_path / "out" / "conveyor-parts-7")
    assert (bundle.manifest.version, bundle.manifest.seq) == ("7", 5)
    assert len(bundle.manifest.selftest.cases) == 8
    assert bundle.labels == load_bundle(PARTS).labels


@pytest.mark.parametrize(
    ("like", "complaint"),
    [(None, "--like"), (MODELS / "motor-bearing", "do not fit")],
)
def test_a_plain_file_that_nobody_speaks_for_is_refused_and_leaves_nothing(
    tmp_path: Path, registered: Callable[[], Registered], like: Path | None, complaint: str
) -> None:
    (tmp_path / "files").mkdir()
    shutil.copy(PARTS / "model.tflite", tmp_path / "files")
    with pytest.raises(RepositoryError, match=complaint):
        stage(registered(), tmp_path / "out", like, {})
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_model_is_refused(
    tmp_path: Path, registered: Callable[[], Registered]
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "model.tflite").write_bytes(b"no model at all")
    with pytest.raises(RepositoryError, match="golden inputs"):
        stage(registered(), tmp_path / "out", PARTS, {})


def test_without_an_address_the_registry_is_asked_for() -> None:
    with pytest.raises(RepositoryError, match="MLFLOW_TRACKING_URI"):
        MlflowRegistry("", {})
    with pytest.raises(RepositoryError, match="@ALIAS"):
        MlflowRegistry("http://127.0.0.1:1", {}).find("parts")
