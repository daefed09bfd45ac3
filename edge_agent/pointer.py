"""JSON pointers (RFC 6901): where in a document a value stands."""

from __future__ import annotations


def resolve(tree: object, pointer: str) -> object:
    """Return the value at `pointer`, "" being the whole document. Raises KeyError without one."""
    for token in parse(pointer):
        if isinstance(tree, dict):
            tree = tree[token]
        elif isinstance(tree, list) and token.isdigit() and int(token) < len(tree):
            tree = tree[int(token)]
        else:
            raise KeyError(token)
    return tree


def parse(pointer: str) -> tuple[str, ...]:
    """Return the tokens of `pointer`. Raises ValueError when it does not begin with a slash."""
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise ValueError(f"a JSON pointer begins with /: {pointer!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
