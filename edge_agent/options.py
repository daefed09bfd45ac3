"""What every table of options has in common: strict, frozen, nothing extra, nothing infinite."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class StrictOptions(BaseModel):
    """Base of every config table, manifest part and plug-in Options."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        # A refused value may be a secret: it must not come back in an error text.
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


# Ignition refuses `. & % =` in names and Sparkplug refuses `+ / #`: these suit every consumer.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

# An MQTT topic to publish to or receive from, without wildcards.
Topic = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00#+]+$")]

# What to receive: topics in which + stands for one level and a # at the end for all that follow.
TopicFilter = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=r"^(?:(?:\+|[^\x00+#/]*)/)*(?:#|\+|[^\x00+#/]*)$",
    ),
]


def _is_address(url: str) -> str:
    parts = urlsplit(url)  # raises ValueError, as `port` does
    if not parts.hostname or parts.port == 0:
        raise ValueError("not an address like https://host/path")
    return url


# Of a server that is told a secret: user and password do not stand in it.
ServerAddress = Annotated[
    str, Field(max_length=2048, pattern=r"^https?://[^\s@]+$"), AfterValidator(_is_address)
]
