"""What to do about a broker's trouble, found by words in what a connection says of itself."""

from __future__ import annotations

ADVICE = (
    (
        "password_file",
        "does the file exist? systemd hands it over: LoadCredential= (docs/service.md)",
    ),
    ("tls", "do the files of [broker.tls] exist, and may this user read them?"),
    ("certificate", "does ca_file belong to the broker, and is the clock right?"),
    ("refused: ", "the broker does not know this username and password; ask who runs it"),
    (
        "Connection refused",
        "nothing listens there: is the broker running, are host and port right?",
    ),
    ("Name or service", "the name is unknown: DNS, or a typing mistake in broker.host"),
)
OTHER_ADVICE = "is the broker there, and no firewall before it? `ping` the host"
# MQTT 3.1.1 is tried next.
PASSING = "unsupported protocol"


def advice(detail: str) -> str:
    """Return what to do about `Connection.detail`."""
    return next((todo for words, todo in ADVICE if words in detail), OTHER_ADVICE)


def is_final(detail: str) -> bool:
    """Return whether waiting does not help: somebody has to mend something first."""
    return PASSING not in detail and any(words in detail for words, _ in ADVICE)
