"""What is left of a long text: whole sentences, else whole words."""

from __future__ import annotations

import pytest

from edge_agent.brief import brief


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ("It is\n  short.", "It is short."),
        ("The device is busy. Try it later, or not at all.", "The device is busy."),
        ("No device is there; nobody knows of one that is.", "No device is there"),
        ("It failed! Or did it? Nobody could say so for sure.", "It failed! Or did it?"),
        # A version or an address is no end, and one word in the beginning says nothing.
        (
            "No. Version 2026.3.1 of openvino is the one that is wanted.",
            "No. Version 2026.3.1 of...",
        ),
        ("no dots in here and no place where one would want to cut", "no dots in here and no..."),
        ("x" * 40, "x" * 27 + "..."),
    ],
)
def test_a_long_text_ends_with_a_sentence_or_a_word(text: str, left: str) -> None:
    assert brief(text, 30) == left
