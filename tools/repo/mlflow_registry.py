"""An MLflow registry over its REST API: a model by its alias, its evaluation, its files.

MLflow's own client is 850 MB with what it needs; four requests are all that is wanted of it:

    GET registered-models/alias, model-versions/get       which version, of which run
    GET model-versions/get-download-uri                   where its files lie
    GET runs/get                                          metrics, tags, data
    GET mlflow-artifacts/artifacts[/PATH]                 the files, through the server

https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from edge_agent.errors import SyncError
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from tools.repo.signing import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

API = "api/2.0/mlflow"
FILES = "api/2.0/mlflow-artifacts/artifacts"
MAX_ANSWER_BYTES = 16 << 20
MAX_FILE_BYTES = 1 << 30
MOST_FILES, DEEPEST = 500, 6
VERSION = re.compile(r"v(\d+)")
# A name that leads nowhere else on this machine.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9 ._-]*")
# MLflow's own notes begin so; of them these are kept.
OWN_TAGS = "mlflow."
COMMIT, SOURCE = "mlflow.source.git.commit", "mlflow.source.name"
DATA = "data_sha256"


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of a model. `files`: path to length; `read` brings one. `data`: hash or digest."""

    name: str
    version: str
    run: str
    metrics: dict[str, float]
    tags: dict[str, str]
    git: str
    data: str
    files: dict[str, int]
    folder: str
    origin: HttpOrigin = field(repr=False)

    def read(self, path: str) -> bytes:
        """Return a file's bytes. Raises RepositoryError."""
        try:
            content = self.origin.read(f"{FILES}/{self.folder}/{path}", self.files[path])
        except SyncError as error:
            raise RepositoryError(f"{path}: {error}") from None
        if len(content) != self.files[path]:
            raise RepositoryError(f"{path}: {len(content)} bytes instead of {self.files[path]}")
        return content


class MlflowRegistry:
    """One server. `environment`: MLflow's own variables for the address and who we are."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        url = url or environment.get("MLFLOW_TRACKING_URI", "")
        if not url.startswith(("http://", "https://")):
            raise RepositoryError("no registry: --server or MLFLOW_TRACKING_URI says http(s)://...")
        settings = HttpSettings(
            ca_file=environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH", ""),
            authorization=_authorization(environment),
        )
        self._origin = HttpOrigin(url, settings)

    def close(self) -> None:
        """Close the connection: no file can be read any more."""
        self._origin.close()

    def find(self, reference: str) -> Registered:
        """Return MODEL@ALIAS or MODEL@vNUMBER. Raises RepositoryError."""
        name, _, alias = reference.rpartition("@")
        if not name:
            raise RepositoryError(f"{reference}: say MODEL@ALIAS, or MODEL@v3")
        try:
            return self._find(name, alias)
        except SyncError as error:
            raise RepositoryError(f"{reference}: {error}") from None
        except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
            raise RepositoryError(f"{reference}: not an answer of MLflow: {error!r}") from None

    def _find(self, name: str, alias: str) -> Registered:
        if number := VERSION.fullmatch(alias):
            found = self._ask("model-versions/get", name=name, version=number[1])
        else:
            found = self._ask("registered-models/alias", name=name, alias=alias)
        model = found["model_version"]
        version, run_id = str(model["version"]), model.get("run_id") or ""
        run = self._ask("runs/get", run_id=run_id)["run"] if run_id else {}
        tags = _pairs(run.get("data", {}).get("tags", ())) | _pairs(model.get("tags", ()))
        folder = self._folder(name, version)
        return Registered(
            name=name,
            version=version,
            run=run_id,
            metrics={
                str(each["key"]): value
                for each in run.get("data", {}).get("metrics", ())
                if math.isfinite(value := float(each["value"]))
            },
            tags={key: text for key, text in tags.items() if not key.startswith(OWN_TAGS)},
            git=tags.get(COMMIT, ""),
            data=tags.get(DATA, "") or _digest(run),
            files=dict(self._list(folder, "", 0)),
            folder=folder,
            origin=self._origin,
        )

    def _folder(self, name: str, version: str) -> str:
        """Return where the files lie, below the server's own store."""
        answer = self._ask("model-versions/get-download-uri", name=name, version=version)
        parts = urlsplit(str(answer["artifact_uri"]))
        if parts.scheme != "mlflow-artifacts":
            raise RepositoryError(
                f"{name} lies at {parts.scheme}://..., which the server does not hand out: "
                "start it with --serve-artifacts"
            )
        return parts.path.strip("/")

    def _list(self, folder: str, below: str, depth: int) -> Iterator[tuple[str, int]]:
        path = f"{folder}/{below}".rstrip("/")
        answer = self._get(f"{FILES}?{urlencode({'path': path})}")
        files = answer.get("files", ())
        if len(files) > MOST_FILES or depth > DEEPEST:
            raise RepositoryError(f"{path}: more files or folders than a model has")
        for each in files:
            name = str(each["path"]).rpartition("/")[2]
            if not PLAIN_NAME.fullmatch(name):
                raise RepositoryError(f"{path}: a file called {name!r}")
            inside = f"{below}/{name}".lstrip("/")
            if each.get("is_dir"):
                yield from self._list(folder, inside, depth + 1)
            else:
                yield inside, min(int(each.get("file_size", 0)), MAX_FILE_BYTES)

    def _ask(self, what: str, **query: str) -> dict[str, Any]:
        return self._get(f"{API}/{what}?{urlencode(query)}")

    def _get(self, target: str) -> dict[str, Any]:
        content = self._origin.exchange("GET", target, b"", MAX_ANSWER_BYTES)
        tree = msgspec.json.decode(content)
        if not isinstance(tree, dict):
            raise TypeError(target)
        return tree


def _pairs(entries: Any) -> dict[str, str]:  # noqa: ANN401  JSON of somebody else
    return {str(each["key"]): str(each["value"]) for each in entries}


def _digest(run: dict[str, Any]) -> str:
    """Return the digests of the data that the run took, as MLflow made them."""
    inputs = run.get("inputs", {}).get("dataset_inputs", ())
    return " ".join(str(each["dataset"]["digest"]) for each in inputs)


def _authorization(environment: Mapping[str, str]) -> str:
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        return f"Bearer {token}"
    if user := environment.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""
