"""The web server of the fleet, on loopback: nginx, else the development server; and its traffic."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from functools import partial
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

from tools.repo.serving import RepositoryRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"
START_S = 10.0
SYSTEM_FOLDERS = ":/usr/local/sbin:/usr/sbin"

# As docs/fleet.md says, and nothing below /var.
CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
{user}
events {{ worker_connections 4096; }}
http {{
    types {{ application/json json; }}
    default_type application/octet-stream;
    log_format sent '$status $bytes_sent';
    access_log {log} sent;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on; tcp_nopush on;
    server {{
        listen {host}:{port};
        root {repo};
        location /metadata/ {{ gzip on; gzip_types application/json; }}
        location /staged/ {{ deny all; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a server answered: requests, bytes with their headers."""

    requests: int
    sent_bytes: int

    def since(self, before: Traffic) -> Traffic:
        """Return what came after `before`."""
        return Traffic(self.requests - before.requests, self.sent_bytes - before.sent_bytes)


@dataclass(frozen=True, slots=True)
class Web:
    """A server that runs. `log`: a line for each answer, "status bytes"."""

    name: str
    url: str
    log: Path

    def traffic(self) -> Traffic:
        """Return all that was answered so far."""
        sizes = [int(line.split()[1]) for line in self.log.read_text().splitlines()]
        return Traffic(len(sizes), sum(sizes))


@contextlib.contextmanager
def serve(repo: Path, folder: Path, *, nginx: bool = True) -> Iterator[Web]:
    """Serve `repo` until the end of the block; what the server writes goes to `folder`."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + SYSTEM_FOLDERS)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "access.log"
    log.touch()
    start = _nginx(program, repo, folder, log) if nginx and program else _own(repo, log)
    with start as web:
        yield web


@contextlib.contextmanager
def _nginx(program: str, repo: Path, folder: Path, log: Path) -> Iterator[Web]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    # As root it would become another user, who may not read the folder.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        CONFIG.format(folder=folder, log=log, host=HOST, port=port, repo=repo, user=user)
    )
    command = [program, "-e", str(folder / "error.log"), "-c", str(config)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for_port(process, port)
        yield Web("nginx", f"http://{HOST}:{port}/", log)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.01)
    raise OSError("nginx does not come up")


class CountedRequest(RepositoryRequest):
    """A request that is written down as nginx does, but for the headers' bytes."""

    def __init__(self, log: Path, repo: Path, *arguments: object) -> None:
        self._log = log
        self._status = 0
        super().__init__(repo, *arguments)

    def send_response(self, code: int, message: str | None = None) -> None:
        """Note the status on the way."""
        self._status = int(code)
        super().send_response(code, message)

    def send_header(self, keyword: str, value: str) -> None:
        """Write the line: each answer has a length."""
        if keyword == "Content-Length":
            with self._log.open("a") as file:
                file.write(f"{self._status} {value}\n")
        super().send_header(keyword, value)


@contextlib.contextmanager
def _own(repo: Path, log: Path) -> Iterator[Web]:
    with ThreadingHTTPServer((HOST, 0), partial(CountedRequest, log, repo)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            url = f"http://{HOST}:{server.server_address[1]}/"
            yield Web("python -m tools.repo serve", url, log)
        finally:
            server.shutdown()
            thread.join()
