"""An exchange that takes too long is broken off, whenever its socket comes."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING

from edge_agent.modelstore.http_watchdog import Watchdog

if TYPE_CHECKING:
    from tests.conftest import WaitFor


def test_a_socket_that_comes_after_the_time_is_over_is_broken_too(wait_for: WaitFor) -> None:
    connection = http.client.HTTPConnection("nobody.example")
    watchdog = Watchdog(0.01)
    watchdog.start(connection)
    wait_for(lambda: watchdog.bit)  # while it is still looked up and connected
    for _ in range(2):  # the second is what TLS puts in the place of the first
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.settimeout(60)
            connection.sock = ours
            assert theirs.recv(1) == b""
    watchdog.stop()


def test_one_that_is_stopped_in_time_breaks_nothing(wait_for: WaitFor) -> None:
    connection = http.client.HTTPConnection("nobody.example")
    stopped, late = Watchdog(0.05), Watchdog(0.1)
    stopped.start(connection)
    stopped.stop()
    late.start(connection)
    wait_for(lambda: late.bit)
    late.stop()
    assert not stopped.bit
