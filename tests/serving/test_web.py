"""The HTTP server: what it answers, and that nobody who asks can hold it up."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import TYPE_CHECKING

import pytest

from edge_agent.reporting.messages import CheckState
from edge_agent.serving.options import HttpOptions
from edge_agent.serving.web import MOST_CLIENTS, Answer, Web, health
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import WaitFor

HELLO = Answer(200, "text/plain", b"hello")


@pytest.fixture
def port(wait_for: WaitFor) -> Iterator[int]:
    number = free_port()
    web = Web(HttpOptions(port=number), {"/hello": lambda: HELLO})
    web.start()
    wait_for(lambda: listens(number))
    yield number
    web.stop()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_a_page_is_served_and_no_other(port: int) -> None:
    assert ask(port, "/hello") == (200, b"hello")
    assert ask(port, "/hello?query=1") == (200, b"hello")
    assert ask(port, "/hello", "HEAD") == (200, b"")
    assert ask(port, "/etc/passwd")[0] == 404
    assert ask(port, "/../hello")[0] == 404
    assert ask(port, "/hello", "POST")[0] == 501


def test_clients_that_never_finish_asking_are_cut_off_and_others_served(
    port: int, wait_for: WaitFor
) -> None:
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * MOST_CLIENTS)]
    for client in slow:
        client.settimeout(60)
        client.sendall(b"GET /hel")

    def answered() -> bool:
        try:
            return ask(port, "/hello") == (200, b"hello")
        except OSError:
            return False

    wait_for(answered)
    for client in slow:
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
        client.close()


def test_a_port_that_is_taken_is_said_and_tried_again(wait_for: WaitFor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        web = Web(HttpOptions(port=taken.getsockname()[1]), {})
        web.start()
        detail = wait_for(lambda: web.detail)
        web.stop()
    assert "Address already in use" in detail


def test_a_server_that_is_off_does_not_listen() -> None:
    number = free_port()
    web = Web(HttpOptions(on=False, port=number), {"/hello": lambda: HELLO})
    web.start()
    assert not listens(number)
    web.stop()


def state(name: str, word: str) -> CheckState:
    since_ts = "2026-01-02T03:04:05.678Z"
    return CheckState(name=name, pipeline="", state=word, reason="", since_ts=since_ts)  # type: ignore[arg-type]


def test_health_is_503_when_a_check_fails_and_before_any_was_made() -> None:
    assert health([]).status == 503
    assert health([state("a", "ok"), state("b", "warn")]).status == 200
    answer = health([state("a", "ok"), state("b", "warn"), state("c", "fail")])
    assert answer.status == 503
    body = json.loads(answer.body)
    assert not body["ok"]
    assert [check["name"] for check in body["checks"]] == ["c", "b", "a"]
