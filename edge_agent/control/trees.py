"""Configs as JSON trees: merged (RFC 7396), compared, hashed, and without their secrets."""

from __future__ import annotations

import hashlib
import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "***"
SECRET_NAMES = re.compile(r"pass(word|wd)?$|pwd$|secret|token|api_?key", re.IGNORECASE)
# scheme://user:PASSWORD@host, and ?password=VALUE among the parameters of a URL.
IN_URL = re.compile(r"(?<=://)([^/@:?#]*):([^/@?#]*)@")
IN_QUERY = re.compile(
    r"(?<=[?&])([^=&#]*(?:pass|pwd|secret|token|key|auth)[^=&#]*)=([^&#]*)", re.IGNORECASE
)
DEPTH_MOST = 40


def merged(tree: Any, patch: Any) -> Any:  # noqa: ANN401  any JSON
    """Return `tree` with a merge patch applied: null takes a key away (RFC 7396, 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def changes(before: object, after: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield JSON pointer, old and new value of each difference; `...` stands for absent.

    Numbers differ by their value, as 8 and 8.0 do not; lists place by place.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            token = str(key).replace("~", "~0").replace("/", "~1")
            there, here = before.get(key, ...), after.get(key, ...)
            yield from changes(there, here, f"{path}/{token}")
    elif isinstance(before, list) and isinstance(after, list):
        for index, pair in enumerate(zip_longest(before, after, fillvalue=...)):
            yield from changes(*pair, f"{path}/{index}")
    elif before != after or isinstance(before, bool) is not isinstance(after, bool):
        yield path, before, after


def digest(tree: object) -> str:
    """Return the SHA-256 of the tree with its keys sorted and without spaces."""
    return hashlib.sha256(msgspec.json.encode(tree, order="sorted")).hexdigest()


def too_deep(tree: object) -> bool:
    """Say whether a tree is deeper than any config: what walks it by recursion is then safe."""
    level = [tree]
    for _ in range(DEPTH_MOST):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def masked(tree: Any, name: str = "") -> Any:  # noqa: ANN401  any JSON
    """Return the tree with `***` in place of each secret."""
    if isinstance(tree, dict):
        return {key: masked(value, str(key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [masked(value, name) for value in tree]
    if not isinstance(tree, str):
        return tree
    if SECRET_NAMES.search(name):
        return MASK
    return IN_QUERY.sub(rf"\1={MASK}", IN_URL.sub(rf"\1:{MASK}@", tree))


def unmasked(tree: Any, current: Any) -> Any:  # noqa: ANN401  any JSON
    """Return the tree with the secrets of `current` where it holds their masks.

    So whoever takes the reported config, changes it and sends it back keeps the secrets.
    """
    if isinstance(tree, dict) and isinstance(current, dict):
        return {key: unmasked(value, current.get(key)) for key, value in tree.items()}
    if isinstance(tree, list) and isinstance(current, list) and len(tree) == len(current):
        return [unmasked(*pair) for pair in zip(tree, current, strict=True)]
    if isinstance(tree, str) and isinstance(current, str) and MASK in tree:
        return current if tree == masked(current) or tree == MASK else tree
    return tree


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
