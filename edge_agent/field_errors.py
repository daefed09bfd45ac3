"""From pydantic's errors to JSON pointers of the user's own tree, with what is allowed there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge_agent.errors import FieldError, no_such, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError


# What a person reads more easily than the pattern of a field.
PATTERNS = {
    r"^[A-Za-z0-9_-]{1,64}$": "must be 1 to 64 of A-Z a-z 0-9 _ -",
    r"^[A-Za-z0-9]{1,64}$": "must be 1 to 64 of A-Z a-z 0-9",
    r"^[^\x00]+$": "must not hold a zero byte",
    r"^[^\x00#+]+$": "must be a topic, without + and #",
    r"^(?:(?:\+|[^\x00+#/]*)/)*(?:#|\+|[^\x00+#/]*)$": (
        "must be a topic, in which + stands for one level, and # at the end for all that follow"
    ),
    r"^https?://[^\s@]+$": "must be like https://host/path, without a user",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": 'must be a time of day from "00:00" to "23:59"',
    r"^[0-2]\d:[0-5]\d-[0-2]\d:[0-5]\d$": 'must be from and to, like "22:00-05:30"',
    r"^[ -~]{4}$": 'must be four characters, like "MJPG"',
    r"^[0-9a-f]{64}$": "must be 64 of 0-9 a-f",
    r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$": (
        "must be the name of a file: 1 to 128 of A-Z a-z 0-9 . _ -, and no . first"
    ),
    r"^[0-9A-Za-z.+-]{1,64}$": "must be 1 to 64 of 0-9 A-Z a-z . + -",
}

# What pydantic says in the words of a schema, by its type of error, with what it knows of it.
WORDS = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number, neither NaN nor infinite",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "greater_than": "must be more than {gt:.15g}",
    "greater_than_equal": "must be {ge:.15g} or more",
    "less_than": "must be less than {lt:.15g}",
    "less_than_equal": "must be {le:.15g} or less",
    "literal_error": "must be {expected}",
    "string_too_short": "its length must be {min_length} or more",
    "string_too_long": "its length must be {max_length} or less",
    "too_short": "its length must be {min_length} or more",
    "too_long": "its length must be {max_length} or less",
}


def field_errors(error: ValidationError, tree: object, schema: dict[str, Any]) -> list[FieldError]:
    """Return one FieldError for each wrong field of `tree`; `schema` is the model's JSON Schema."""
    found = error.errors()
    return [
        _field_error(details, tree, _Schema(schema, schema))
        for details in found
        if not _echoes(details["loc"], details["type"], [each["loc"] for each in found])
    ]


def _echoes(place: Sequence[object], kind: str, wrong: list[tuple[int | str, ...]]) -> bool:
    """Return whether a list is said to be too short only because something in it is wrong."""
    return kind == "too_short" and any(each[: len(place)] == place != each for each in wrong)


def _field_error(details: Mapping[str, Any], tree: object, schema: _Schema) -> FieldError:
    """Follow pydantic's location through the tree and the schema.

    pydantic puts the `kind` of a plug-in into the location; the user's tree has no such level.
    """
    parts: list[str] = []
    location = details["loc"]
    node = tree
    allowed = schema.fields()
    for depth, key in enumerate(location):
        there = _has(node, key)
        if not there and schema.has_kind(key):
            schema = schema.of_kind(key)
        elif key != "[key]" and (there or depth == len(location) - 1):
            parts.append(str(key).replace("~", "~0").replace("/", "~1"))
            node = node[key] if there else None  # type: ignore[index]
            allowed = schema.fields()
            schema = schema.child(key)
    message = str(details["msg"]).removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        message = no_such("field", str(location[-1]), allowed)
    elif details["type"] == "union_tag_invalid":
        message = no_such("kind", str(details["ctx"]["tag"]), schema.kinds())
    elif details["type"] == "union_tag_not_found":
        message = f"`kind` must say which it is: {', '.join(schema.kinds())}"
    elif details["type"] == "string_pattern_mismatch":
        message = PATTERNS.get(details["ctx"]["pattern"], message)
    elif details["type"] == "missing":
        message = "is missing"
    elif words := WORDS.get(details["type"]):
        message = words.format(**details.get("ctx", {}))
        # Of a text it is not said what it is: it may be a secret.
        message += "" if details["type"].startswith("string") else _instead(details["input"])
    return FieldError("".join(f"/{part}" for part in parts), details["type"], message)


def _instead(given: object) -> str:
    """Return what stands there instead, where that is one word or number."""
    if isinstance(given, str):
        return f", not {shown(given)}"
    return f", not {json.dumps(given)}" if isinstance(given, bool | int | float) else ""


def _has(node: object, key: str | int) -> bool:
    if isinstance(node, dict):
        return key in node
    return isinstance(node, list) and isinstance(key, int) and key < len(node)


class _Schema:
    """A place in a JSON Schema."""

    def __init__(self, root: dict[str, Any], place: object) -> None:
        self._root = root
        self._place = self._resolved(place)

    def fields(self) -> list[str]:
        """Return the names of the fields that may stand here."""
        return sorted(self._place.get("properties", {}))

    def kinds(self) -> list[str]:
        """Return the kinds of plug-in that may be chosen here."""
        return sorted(map(str, self._kinds()))

    def has_kind(self, kind: str | int) -> bool:
        """Return whether a plug-in is chosen here, and this is one."""
        return kind in self._kinds()

    def of_kind(self, kind: str | int) -> _Schema:
        """Return the options of a plug-in."""
        return _Schema(self._root, {"$ref": self._kinds()[kind]})

    def child(self, key: str | int) -> _Schema:
        """Return what may stand under `key`."""
        place = self._place
        others = (
            place.get("additionalProperties"),
            *place.get("patternProperties", {}).values(),
            place.get("items"),
        )
        known = place.get("properties", {}).get(key)
        return _Schema(self._root, known or next(filter(None, others), None))

    def _kinds(self) -> dict[str | int, str]:
        kinds: dict[str | int, str] = self._place.get("discriminator", {}).get("mapping", {})
        return kinds

    def _resolved(self, place: object) -> dict[str, Any]:
        if not isinstance(place, dict):
            return {}
        if "$ref" in place:
            return self._resolved(self._root["$defs"][place["$ref"].rsplit("/", 1)[-1]])
        # A table that may be left out, or in whose place a word may stand: what it is as a table.
        options = [
            part for part in place.get("anyOf", ()) if part.get("type") not in {"null", "string"}
        ]
        return self._resolved(options[0]) if len(options) == 1 else place
