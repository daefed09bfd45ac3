"""From an MLflow server, by its alias, to a bundle that is signed and published."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from edge_agent.modelstore.manifest import load_bundle
from tests.agents import MODELS
from tests.conftest import free_port, wait_until
from tools.repo.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.capture import CaptureFixture

pytestmark = [pytest.mark.registry, pytest.mark.timeout(300)]

ENVIRONMENT = Path(os.environ.get("VENV_MLFLOW", ".venv-mlflow")).absolute()
PUBLISH = Path(__file__).with_name("publish.py")


class Mlflow:
    """A server with a database and a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        program, port = str(ENVIRONMENT / "bin" / "mlflow"), str(self.port)
        command = [
            *(program, "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
            *("--artifacts-destination", str(folder / "store")),
        ]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, 120)

    def publish(self, name: str, folder: Path) -> tuple[str, str]:
        """Register a folder; return version and run."""
        python = ENVIRONMENT / "bin" / "python"
        command = [str(python), str(PUBLISH), self.url, name, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        version, run = done.stdout.split("\n")[-2].split()
        return version, run

    def end(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "mlflow ended"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """Run one server for all tests here."""
    server = Mlflow(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.end()


class Repo(NamedTuple):
    folder: Path
    imported: Path

    def bring(self, server: Mlflow, reference: str, *more: str) -> int:
        origin = ["--from", "mlflow", reference, "--server", server.url]
        return main(["import", str(self.folder), *origin, *more])


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    assert main(["init", str(tmp_path / "repo")]) == 0
    return Repo(tmp_path / "repo", tmp_path / "repo-imported")


def test_a_champion_comes_with_its_evaluation_and_is_published_after_somebody_signs_it(
    mlflow: Mlflow, repo: Repo, capsys: CaptureFixture[str]
) -> None:
    version, run = mlflow.publish("parts", MODELS / "conveyor-parts")
    assert repo.bring(mlflow, "parts@champion") == 0
    folder = repo.imported / "conveyor-parts-1.0.0"
    assert f"add-model REPO {folder}" in capsys.readouterr().out
    source = load_bundle(folder).manifest.source
    assert source.run == run
    assert source.evaluation == {"auroc": 0.987, "escapes": 0.012}
    assert source.tags == {"data_sha256": "ab" * 32, "who": "line | 3"}
    assert source.git == "0123abcd"
    assert source.training == "python -m tools.train_conveyor", "its own manifest knew better"
    card = (folder / "card.md").read_text()
    assert f"version {version}" in card
    assert "| auroc | 0.987 |" in card
    assert "| who | line \\| 3 |" in card
    assert "verified: 8 golden samples" in card
    assert "conveyor-parts" not in status(repo, capsys), "nothing is signed by an import"
    assert main(["add-model", str(repo.folder), str(folder), "--slot", "plates"]) == 0
    assert "conveyor-parts@1.0.0 seq 1" in status(repo, capsys)


def test_a_plain_file_becomes_a_bundle_like_another_under_the_next_seq(
    mlflow: Mlflow, repo: Repo, tmp_path: Path
) -> None:
    assert main(["add-model", str(repo.folder), str(MODELS / "conveyor-parts")]) == 0
    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(MODELS / "conveyor-parts" / "model.tflite", plain / "parts v2.tflite")
    version, _ = mlflow.publish("plain", plain)
    assert repo.bring(mlflow, "plain@champion") == 1, "nobody said what it takes"
    like = ["--like", str(MODELS / "conveyor-parts")]
    assert repo.bring(mlflow, f"plain@v{version}", *like) == 0
    folder = repo.imported / f"conveyor-parts-{version}"
    bundle = load_bundle(folder)
    assert (bundle.manifest.version, bundle.manifest.seq) == (version, 2)
    assert len(bundle.manifest.selftest.cases) == 8
    assert bundle.labels == load_bundle(MODELS / "conveyor-parts").labels
    assert bundle.manifest.source.data_sha256 == "ab" * 32
    assert main(["add-model", str(repo.folder), str(folder)]) == 0


def test_what_cannot_be_had_or_does_not_run_is_refused_and_leaves_nothing(
    mlflow: Mlflow, repo: Repo, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    assert repo.bring(mlflow, "nobody@champion") == 1
    assert "404" in capsys.readouterr().err
    damaged = tmp_path / "damaged"
    shutil.copytree(MODELS / "conveyor-parts", damaged)
    (damaged / "model.tflite").write_bytes(b"no model")
    mlflow.publish("damaged", damaged)
    assert repo.bring(mlflow, "damaged@champion") == 1
    assert "differs from what manifest.json says" in capsys.readouterr().err
    (damaged / "labels.txt").unlink()
    mlflow.publish("damaged", damaged)
    assert repo.bring(mlflow, "damaged@champion") == 1
    assert "labels.txt" in capsys.readouterr().err
    assert not repo.imported.exists() or not list(repo.imported.iterdir())


def test_a_registry_that_is_away_is_told(repo: Repo, capsys: CaptureFixture[str]) -> None:
    origin = ["--from", "mlflow", "parts@champion", "--server", f"http://127.0.0.1:{free_port()}"]
    assert main(["import", str(repo.folder), *origin]) == 1
    assert "offline" in capsys.readouterr().err
    assert main(["import", str(repo.folder), *origin[:3]]) == 1
    assert "MLFLOW_TRACKING_URI" in capsys.readouterr().err


def status(repo: Repo, capsys: CaptureFixture[str]) -> str:
    """Return what `status` prints."""
    capsys.readouterr()
    assert main(["status", str(repo.folder)]) == 0
    return capsys.readouterr().out


def test_metrics_that_are_no_numbers_do_not_come(mlflow: Mlflow, repo: Repo) -> None:
    mlflow.publish("numbers", MODELS / "conveyor-parts")
    assert repo.bring(mlflow, "numbers@champion") == 0
    text = (repo.imported / "conveyor-parts-1.0.0" / "manifest.json").read_text()
    assert "nothing" not in json.loads(text)["source"]["evaluation"]
