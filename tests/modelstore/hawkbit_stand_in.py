"""A stand-in for hawkBit's DDI, as its published API describes it: one tenant, one controller.

It is as strict as the server: an unknown word in a feedback is answered with 400, an action stays
open until it is closed, a wrong token is answered with 401.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXECUTIONS = {
    "closed",
    "proceeding",
    "canceled",
    "scheduled",
    "rejected",
    "resumed",
    "downloaded",
    "download",
}


@dataclass
class Hawkbit:
    """What the server wants of the controller, and what it heard. `url`: set by who serves it."""

    controller: str = "gw-1"
    url: str = ""
    chunks: list[dict[str, Any]] = field(default_factory=list)
    action: str = ""
    cancel: str = ""
    wants_attributes: bool = False
    update: str = "forced"
    window: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    heard: list[tuple[str, str, list[str]]] = field(default_factory=list)

    def deploy(self, action: str, *models: tuple[str, str, str]) -> None:
        """Open an action: (slot, model_id, version) each."""
        self.chunks = [
            {
                "part": "model",
                "name": model_id,
                "version": version,
                "artifacts": [],
                "metadata": [{"key": "slot", "value": slot}],
            }
            for slot, model_id, version in models
        ]
        self.action = action  # last: the controller may ask at this moment


class _Controller(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hawkbit: Hawkbit, *arguments: Any) -> None:
        self.hawkbit = hawkbit
        super().__init__(*arguments)

    def do_GET(self) -> None:
        hawkbit = self.hawkbit
        base = f"/plant/controller/v1/{hawkbit.controller}"
        path = self.path.partition("?")[0]
        if not self._known():
            return
        if path == base:
            links = {
                "deploymentBase": hawkbit.action and f"deploymentBase/{hawkbit.action}?c=-21",
                "cancelAction": hawkbit.cancel and f"cancelAction/{hawkbit.cancel}",
                "configData": hawkbit.wants_attributes and "configData",
            }
            # Behind a proxy hawkBit names hosts that a gateway does not know.
            host = "http://hawkbit.internal:8080"
            hrefs = {n: {"href": f"{host}{base}/{to}"} for n, to in links.items() if to}
            self._answer({"config": {"polling": {"sleep": "00:05:00"}}, "_links": hrefs})
        elif path == f"{base}/deploymentBase/{hawkbit.action}":
            deployment: dict[str, Any] = {
                "download": "forced",
                "update": hawkbit.update,
                "chunks": hawkbit.chunks,
            }
            if hawkbit.window:
                deployment["maintenanceWindow"] = hawkbit.window
            self._answer({"id": hawkbit.action, "deployment": deployment})
        elif path == f"{base}/cancelAction/{hawkbit.cancel}":
            self._answer({"id": hawkbit.cancel, "cancelAction": {"stopId": hawkbit.action}})
        else:
            self._answer({"errorCode": "hawkbit.server.error.repo.entitiyNotFound"}, 404)

    def do_POST(self) -> None:
        status = self._body()["status"]
        execution, finished = status["execution"], status["result"]["finished"]
        if not self._known():
            return
        if execution not in EXECUTIONS or finished not in {"success", "failure", "none"}:
            self._answer({"errorCode": "hawkbit.server.error.rest.body.notReadable"}, 400)
            return
        self.hawkbit.heard.append((execution, finished, status["details"]))
        if "/cancelAction/" in self.path and execution == "closed":
            self.hawkbit.cancel = self.hawkbit.action = ""
        elif execution == "closed" and f"/{self.hawkbit.action}/" in self.path:
            self.hawkbit.action = ""
        self._answer(None)

    def do_PUT(self) -> None:
        body = self._body()
        if self._known():
            self.hawkbit.attributes |= body["data"]
            self.hawkbit.wants_attributes = False
            self._answer(None)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _known(self) -> bool:
        if self.headers.get("Authorization") == "TargetToken secret":
            return True
        self._answer({}, 401)
        return False

    def _answer(self, tree: Any, status: int = 200) -> None:
        body = b"" if tree is None else json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def server(hawkbit: Hawkbit) -> ThreadingHTTPServer:
    """Return a server that is not started."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Controller, hawkbit))
    made.daemon_threads = True
    return made
