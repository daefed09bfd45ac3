"""What proves to a broker who we are, read from files at each connect so that they can change."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from edge_agent.errors import NotConnected

if TYPE_CHECKING:
    from edge_agent.mqtt.broker_options import BrokerOptions, TlsOptions


def password(options: BrokerOptions) -> str | None:
    """Return the password, if there is one. Raises NotConnected that names the file."""
    if options.password_file is None:
        return options.password.get_secret_value() if options.password else None
    try:
        return options.password_file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotConnected(f"password_file: {error}") from None


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """Return a context that checks the broker's name. Raises NotConnected that names the files."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.cert_file:
            context.load_cert_chain(options.cert_file, options.key_file)
    except OSError as error:
        files = ", ".join(str(f) for f in (options.ca_file, options.cert_file) if f)
        raise NotConnected(f"tls: {files}: {error}") from None
    return context
