"""Ed25519 signatures on requests, for plants that do not trust the broker's access list alone.

    {"v": 1, "key": "maria", "signed": "<the request as text>", "signature": "<base64>"}

The text is a request with two more fields: `topic`, which it was meant for (so that it cannot be
sent to another gateway, or as another command), and `ts`, UTC in seconds since 1970. What was heard
once is not obeyed again: the same request gets the answer of before, and one that is older than
`signed_within_s` is refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from edge_agent.config import strict_json
from edge_agent.control.requests import Refused
from edge_agent.errors import ConfigError, EdgeAgentError, FieldError, shown
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from edge_agent.config import RemoteOptions

    ed25519: Any
    exceptions: Any
else:
    ed25519 = lazy_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    exceptions = lazy_module("cryptography.exceptions")


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent instead of the request itself."""

    v: int = 1
    key: str
    signed: str
    signature: str


class Seal:
    """The keys of one agent. Raises EdgeAgentError where one of them is none."""

    def __init__(self, options: RemoteOptions) -> None:
        self._within_s = options.signed_within_s
        try:
            self._keys = {name: _public(text) for name, text in options.public_keys.items()}
        except (ValueError, binascii.Error) as error:
            raise EdgeAgentError(f"remote.public_keys: {error}") from None
        except ModuleNotFoundError:
            raise EdgeAgentError(
                "remote.public_keys: signatures need `pip install edge-agent[signed]`"
            ) from None

    def opened(self, payload: bytes, topic: str, utc_s: float) -> bytes:
        """Return the request in `payload`. Raises Refused unless it is signed as it must be."""
        if not self._keys:
            return payload
        try:
            envelope = msgspec.json.decode(payload, type=Envelope)
            key = self._keys[envelope.key]
            key.verify(
                base64.b64decode(envelope.signature, validate=True), envelope.signed.encode()
            )
        except msgspec.DecodeError:
            raise _refused("must be signed: {v, key, signed, signature}") from None
        except KeyError:
            # Those that there are say who may change this gateway: not to somebody unknown.
            raise _refused(f"no such key: {shown(envelope.key)}") from None
        except (binascii.Error, ValueError, exceptions.InvalidSignature):
            raise _refused("the signature does not fit") from None
        return self._inner(envelope.signed.encode(), topic, utc_s)

    def _inner(self, text: bytes, topic: str, utc_s: float) -> bytes:
        try:
            tree = strict_json(text)
        except ConfigError as error:
            raise Refused(400, "bad_json", error.fields) from None
        if not isinstance(tree, dict) or tree.pop("topic", None) != topic:
            raise _refused("was signed for another topic")
        ts = tree.pop("ts", None)
        if not isinstance(ts, int | float) or abs(utc_s - ts) > self._within_s:
            raise _refused(f"was not signed within the last {self._within_s:g} s")
        return msgspec.json.encode(tree)


def sign(request: dict[str, Any], topic: str, utc_s: float, key: str, private: bytes) -> bytes:
    """Return a signed request; `private`: the 32 bytes of an Ed25519 key."""
    text = msgspec.json.encode({**request, "topic": topic, "ts": utc_s})
    signer = ed25519.Ed25519PrivateKey.from_private_bytes(private)
    signature = base64.b64encode(signer.sign(text)).decode()
    return msgspec.json.encode(Envelope(key=key, signed=text.decode(), signature=signature))


def _public(text: str) -> Any:  # noqa: ANN401  a type of the optional library
    return ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))


def _refused(message: str) -> Refused:
    return Refused(401, "refused", [FieldError("", "signature", message)])
