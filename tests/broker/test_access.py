"""Passwords, certificates, and options that are wrong."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from edge_agent.mqtt.broker import (
    BrokerOptions,
    TlsOptions,
)
from tests.conftest import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WaitFor

from tests.broker.conftest import Connect, MosquittoWith, at


def test_a_wrong_password_is_told_apart_from_an_absent_broker(
    tmp_path: Path, mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    broker = mosquitto_with(f"password_file {password_file_of_broker(tmp_path)}")
    wrong, _ = connect(at(broker, username="agent", password=SecretStr("guess")))
    absent, _ = connect(BrokerOptions(port=free_port()))
    wait_for(lambda: "not authorized" in wrong.detail)
    wait_for(lambda: "refused" in absent.detail)
    assert not wrong.connected


def test_a_password_file_is_read_again_at_each_attempt(
    tmp_path: Path, mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    broker = mosquitto_with(f"password_file {password_file_of_broker(tmp_path)}")
    secret = tmp_path / "secret"
    connection, _ = connect(at(broker, username="agent", password_file=secret))
    wait_for(lambda: "No such file" in connection.detail)
    secret.write_text("guess\n")
    wait_for(lambda: "not authorized" in connection.detail)
    secret.write_text("right\n")
    wait_for(lambda: connection.connected)


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_client_certificates_both_ways(
    tmp_path: Path, mosquitto_with: MosquittoWith, connect: Connect, wait_for: WaitFor
) -> None:
    make_certificates(tmp_path)
    broker = mosquitto_with(
        f"allow_anonymous true\ncafile {tmp_path}/ca.crt\ncertfile {tmp_path}/broker.crt\n"
        f"keyfile {tmp_path}/broker.key\nrequire_certificate true"
    )
    ours = {"cert_file": tmp_path / "agent.crt", "key_file": tmp_path / "agent.key"}
    good, _ = connect(at(broker, tls=TlsOptions(ca_file=tmp_path / "ca.crt", **ours)))
    wait_for(lambda: good.connected)
    without, _ = connect(at(broker, tls=TlsOptions(ca_file=tmp_path / "ca.crt")))
    stranger, _ = connect(at(broker, tls=TlsOptions(**ours)))
    missing, _ = connect(at(broker, tls=TlsOptions(ca_file=tmp_path / "absent.crt")))
    wait_for(lambda: "certificate verify failed" in stranger.detail)
    wait_for(lambda: "absent.crt" in missing.detail)
    wait_for(lambda: without.detail not in {"", "connecting"})
    assert not without.connected
    assert not stranger.connected


@pytest.mark.parametrize(
    "wrong", [{"port": 0}, {"keepalive_s": 61}, {"protocol": "4"}, {"user": "x"}, {"host": ""}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BrokerOptions(**wrong)


def password_file_of_broker(folder: Path) -> Path:
    path = folder / "passwords"
    path.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(path), "agent", "right"], check=True)
    return path


def make_certificates(folder: Path) -> None:
    """Make a CA, and certificates by it for the broker and the agent."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl(
        folder, "req", "-x509", *key, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt"
    )
    for name in ("broker", "agent"):
        sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
        openssl(folder, "req", "-x509", *key, *sign, "-subj", f"/CN={name}", *files)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
