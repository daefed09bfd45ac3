"""The commands that the pages tell a stranger to type are commands that there are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*/card.md")]


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for page in PAGES:
        for line in re.findall(r"python -m (tools\.[^`\n]*)", page.read_text()):
            words = line.split()
            found.append((words[0], words[1:]))
    return found


def test_every_module_that_a_page_or_card_names_is_there() -> None:
    names = {module for module, _ in commands()}
    assert {"tools.train", "tools.verify", "tools.pipeline", "tools.evaluate"} <= names
    assert not {name for name in names if importlib.util.find_spec(name) is None}


def test_every_recipe_that_a_page_names_is_there() -> None:
    recipes = {words[0] for module, words in commands() if module == "tools.train" and words}
    assert {"classify", "sensor-classify"} <= recipes
    folder = ROOT / "tools" / "train"
    missing = {
        name
        for name in recipes
        if name.isascii()
        and name.replace("-", "").islower()
        and not (folder / f"{name.replace('-', '_')}.py").is_file()
    }
    assert not missing


def test_a_stranger_needs_four_commands() -> None:
    page = (ROOT / "docs" / "bring-your-own-model.md").read_text()
    blocks = re.findall(r"(?:^    (?:python -m tools|edge-agent).*\n)+", page, re.MULTILINE)
    ways = [block.splitlines() for block in blocks if "edge-agent run" in block]
    assert len(ways) == 2  # photos, and a CSV
    for way in ways:
        kinds = [line.split()[2] if "-m" in line else line.split()[1] for line in way]
        assert kinds == ["tools.train", "tools.verify", "tools.pipeline", "run"]
