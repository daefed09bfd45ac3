from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import SyncError
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from tests.modelstore.plant import served, serving
from tools.repo.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.modelstore.plant import Owner, Site


@dataclass(frozen=True)
class Certificates:
    """Files of one certificate that vouches for itself: server and gateway each have one."""

    certificate: Path
    key: Path


def make_certificate(folder: Path, name: str) -> Certificates:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*openssl, *names, *files], check=True, capture_output=True)
    return Certificates(certificate, key)


@pytest.fixture
def server_certificate(tmp_path: Path) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    return make_certificate(tmp_path, "server")


@pytest.fixture
def gateway_certificate(tmp_path: Path) -> Certificates:
    return make_certificate(tmp_path, "gateway")


@pytest.fixture
def strict_server(
    owner: Owner, server_certificate: Certificates, gateway_certificate: Certificates
) -> Iterator[str]:
    """Serve the repository over TLS to whoever shows the gateway's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server_certificate.certificate, server_certificate.key)
    context.load_verify_locations(gateway_certificate.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    server = make_server(owner.desk.folder)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    # Clients that are refused are meant here: no traceback of each.
    vars(server)["handle_error"] = lambda *_: None
    with serving(server) as url:
        yield url.replace("http:", "https:")


def settings(server: Certificates, gateway: Certificates | None, proxy: str = "") -> HttpSettings:
    return HttpSettings(
        proxy=proxy,
        ca_file=str(server.certificate),
        cert_file=str(gateway.certificate) if gateway else "",
        key_file=str(gateway.key) if gateway else "",
    )


def test_a_gateway_shows_its_certificate_and_takes_a_model(
    owner: Owner,
    gateway: Site,
    strict_server: str,
    server_certificate: Certificates,
    gateway_certificate: Certificates,
) -> None:
    with_both = settings(server_certificate, gateway_certificate)
    gateway.origin = HttpOrigin(strict_server, with_both)
    assert gateway.take(owner.add()).fetched_bytes == 5010
    gateway.origin.close()


def test_without_its_certificate_or_with_a_server_nobody_vouches_for_it_is_offline(
    gateway: Site,
    strict_server: str,
    server_certificate: Certificates,
    gateway_certificate: Certificates,
) -> None:
    for wrong in (
        settings(server_certificate, None),
        settings(gateway_certificate, gateway_certificate),
    ):
        gateway.origin = HttpOrigin(strict_server, wrong)
        with pytest.raises(SyncError, match="offline"):
            gateway.refresh()
        gateway.origin.close()


class Tunnel:
    """A proxy that opens one tunnel after another to wherever it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            head = client.recv(4096).decode()
            self.asked.append(head.split("\r\n")[0])
            host, _, port = head.split()[1].partition(":")
            peer = socket.create_connection((host, int(port)))
            client.sendall(b"HTTP/1.1 200 go\r\n\r\n")
            for pair in ((client, peer), (peer, client)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with source:
        try:
            while content := source.recv(1 << 16):
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


def test_through_a_proxy_tls_reaches_from_end_to_end(
    owner: Owner,
    gateway: Site,
    strict_server: str,
    server_certificate: Certificates,
    gateway_certificate: Certificates,
) -> None:
    tunnel = Tunnel()
    through = settings(server_certificate, gateway_certificate, tunnel.url)
    gateway.origin = HttpOrigin(strict_server, through)
    assert gateway.take(owner.add()).fetched_bytes == 5010
    gateway.origin.close()
    tunnel.close()
    assert [line.split()[:2] for line in tunnel.asked] == [["CONNECT", strict_server.split("/")[2]]]


def test_a_server_that_drops_idle_connections_is_asked_again_at_once(
    owner: Owner, gateway: Site
) -> None:
    with served(owner.desk.folder) as url:
        origin = gateway.origin = HttpOrigin(url, HttpSettings())
        gateway.refresh()
        connection = origin._connection
        assert connection is not None
        assert connection.sock is not None
        connection.sock.shutdown(socket.SHUT_RDWR)
        gateway.refresh()
        origin.close()
