"""What compress says where it cannot go on."""

from __future__ import annotations


class CompressFailed(Exception):
    """The model or the data cannot be used; the text says why, in a sentence."""


class MissingFramework(CompressFailed):
    """A format needs a framework that this environment has not."""

    def __init__(self, what: str, framework: str, environment: str) -> None:
        super().__init__(
            f"{what} needs {framework}, which is not installed here: run it with "
            f"{environment}/bin/python (`make training-environment` makes it)"
        )
