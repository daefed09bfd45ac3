"""What libraries say runs to pages: what a person is told of it, in whole sentences or words."""

from __future__ import annotations

import re

MOST = 300  # characters: some four lines in a terminal, of which the first says what is wrong
_END = re.compile(r"[.;!?](?= )")


def brief(text: str, most: int = MOST) -> str:
    """Return `text` on one line and, where it is longer than `most`, its first sentences.

    Where those are less than half of what there is room for: its first words, and `...`.
    """
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    ends = [end.start() + 1 for end in _END.finditer(line) if most / 2 <= end.start() < most]
    if ends:
        return line[: ends[-1]].removesuffix(";")
    head = line[: most - 3]
    return f"{head.rpartition(' ')[0] or head}..."
