"""Writes docs/config.md and docs/manifest.md: every field, from the code that checks it.

Run as `python -m tools.reference docs`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.config import Config
from edge_agent.modelstore.manifest import Manifest

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGES: dict[str, tuple[str, str, type[BaseModel]]] = {
    "config.md": (
        "Config",
        """One TOML file. `edge-agent check FILE` names every wrong field with its path. Working
examples are in [examples](examples). The broker's user and password may also come from the
environment: `EDGE_AGENT_BROKER_USERNAME`, `EDGE_AGENT_BROKER_PASSWORD`.""",
        Config,
    ),
    "manifest.md": (
        "The manifest of a model bundle",
        """A bundle is a folder: `manifest.json`, the model file, labels, golden samples. The
manifest says how an item becomes the model's input, what the model's output means, and from which
score on an item fails. `edge-agent bundle` writes a first one.""",
        Manifest,
    ),
}


def page(name: str) -> str:
    """Return the text of one page."""
    title, introduction, model = PAGES[name]
    schema = model.model_json_schema(by_alias=True)
    sections = [_section("Top level", schema)]
    sections += [_section(key, part) for key, part in schema["$defs"].items() if _is_table(part)]
    return (
        f"# {title}\n\n{introduction}\n\nMade by `python -m tools.reference docs`; do not edit.\n\n"
        + "\n".join(sections)
    )


def _is_table(part: dict[str, Any]) -> bool:
    return bool(part.get("properties"))


def _section(key: str, part: dict[str, Any]) -> str:
    required = part.get("required", [])
    lines = [f"## {_title(key, part)}", "", *_text(part), "| field | what it may be | default |"]
    lines.append("|---|---|---|")
    for name, field in part["properties"].items():
        default = "**required**" if name in required else _default(field)
        words = " ".join(field.get("description", "").split())
        kind = _kind(field)
        cell = (f"{kind}. {words}" if words else kind).replace("|", r"\|")
        lines.append(f"| `{name}` | {cell} | {default} |")
    return "\n".join(lines) + "\n"


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if isinstance(value, dict):
        return "see there"
    return "" if value is None else f"`{json.dumps(value)}`"


def _title(key: str, part: dict[str, Any]) -> str:
    """Name a plug-in's options by the folder and the kind: "sources: camera"."""
    folder = key.split("__")[1] if key.startswith("edge_agent__") else ""
    kind = part["properties"].get("kind", {}).get("const")
    if folder and kind and key.endswith("__Options"):
        return f"{folder}: {kind}"
    if folder:
        return f"{folder}: {key.split('__')[2]}, {key.rsplit('__', 1)[-1].lower()}"
    return key if kind is None else f'{key}: `kind = "{kind}"`'


def _text(part: dict[str, Any]) -> list[str]:
    return [part["description"].strip(), ""] if part.get("description") else []


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return f"table {name.replace('edge_agent__', '').replace('__', ' ')}"
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_kind(part) for part in field["anyOf"] if part.get("type") != "null")
    if "oneOf" in field:
        return " or ".join(f"`{kind}`" for kind in sorted(field["discriminator"]["mapping"]))
    return _plain(field)


def _plain(field: dict[str, Any]) -> str:
    kind = field.get("type", "any")
    if kind == "array":
        return "list"
    limits = [
        f"{word} {field[key]}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if key in field
    ]
    words = {"string": "text", "object": "table", "boolean": "true or false"}
    return " ".join([words.get(kind, kind), *limits])


def main(folder: Path) -> None:
    """Write both pages."""
    for name in PAGES:
        (folder / name).write_text(page(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
