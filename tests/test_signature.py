"""Requests that are signed, and those that are not signed as they must be."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.config import RemoteOptions
from edge_agent.control.requests import Refused
from edge_agent.control.signature import Seal, sign
from edge_agent.errors import EdgeAgentError

PRIVATE = bytes(range(32))
TOPIC = "U/config/set"


def seal(**more: Any) -> Seal:
    public = Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes_raw()
    return Seal(RemoteOptions(public_keys={"maria": base64.b64encode(public).decode()}, **more))


def test_a_signed_request_is_opened() -> None:
    payload = sign({"id": "x"}, TOPIC, 1000.0, "maria", PRIVATE)
    assert json.loads(seal().opened(payload, TOPIC, 1030.0)) == {"id": "x"}


@pytest.mark.parametrize("what", ["plain", "other_topic", "old", "ahead", "other_key", "changed"])
def test_a_request_that_is_not_signed_as_it_must_be_is_refused(what: str) -> None:
    payload = sign({"id": "x"}, TOPIC, 1000.0, "maria", PRIVATE)
    topic, now_s = TOPIC, 1000.0
    match what:
        case "plain":
            payload = b'{"id": "x"}'
        case "other_topic":
            topic = "U2/config/set"
        case "old":
            now_s += 61.0
        case "ahead":
            now_s -= 61.0
        case "other_key":
            payload = sign({"id": "x"}, TOPIC, 1000.0, "maria", bytes(32))
        case "changed":
            payload = payload.replace(rb"\"x\"", rb"\"y\"")
    with pytest.raises(Refused) as caught:
        seal().opened(payload, topic, now_s)
    assert caught.value.code == 401


def test_a_key_that_is_none_ends_the_start_with_a_sentence() -> None:
    with pytest.raises(EdgeAgentError, match=r"remote\.public_keys"):
        Seal(RemoteOptions(public_keys={"maria": "AAAA"}))
