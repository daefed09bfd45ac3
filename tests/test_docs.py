"""The documents keep their word: links lead somewhere, examples are valid, tables are true."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from edge_agent.config import parse_toml
from edge_agent.control.requests import COMMANDS, read, tree_of
from edge_agent.errors import Trouble

if TYPE_CHECKING:
    from tests.conftest import WaitFor

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def _blocks(language: str) -> list[tuple[str, str]]:
    """Return each code block of `language` with the place where it stands."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (f"{page.relative_to(ROOT)}-{number}", block)
        for page in PAGES
        for number, block in enumerate(fence.findall(page.read_text()))
    ]


def test_links_between_the_documents_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_a_page_whose_commands_begin_with_python_says_which_one_it_is() -> None:
    texts = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
    commands = {
        name for name, text in texts.items() if re.search("^    python ", text, re.MULTILINE)
    }
    assert commands
    assert not {name for name in commands if not re.search("`python`.*\\s(is|one)\\b", texts[name])}


def test_the_figures_of_the_recorded_day_are_printed_by_the_command_on_the_page() -> None:
    page = (ROOT / "docs/line-figures.md").read_text()
    (command,) = re.findall(
        r"^    (\S*python -m tools.recorded_day (?:.*\\\n)*.*)$", page, re.MULTILINE
    )
    python, *words = command.replace("\\\n", " ").split()
    assert python == ".venv/bin/python", "the environment that make sets up"
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True)
    assert b"OEE 0.657778" in done.stdout


def test_mosquitto_takes_the_recommended_configuration(tmp_path: Path, wait_for: WaitFor) -> None:
    recommended = (ROOT / "docs/mosquitto.conf").read_text()
    # Somewhere else than Debian's, and as whoever runs the tests.
    text = recommended.replace("/var/lib/mosquitto/", f"{tmp_path}/")
    socket = tmp_path / "broker.sock"
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"{text}\nuser root\nlistener 0 {socket}\nallow_anonymous true\n")
    with subprocess.Popen(
        ["mosquitto", "-c", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as broker:
        wait_for(lambda: socket.exists() or broker.poll() is not None)
        send = ["mosquitto_pub", "--unix", str(socket), "-i", "gw1", "-q", "1", "-r", "-t", "a"]
        subprocess.run([*send, "-m", "kept"], check=True, timeout=60)
        broker.terminate()
        said, _ = broker.communicate(timeout=60)
    assert broker.returncode in {0, -signal.SIGTERM}, said.decode()
    assert b"Error" not in said
    assert b"recommended" not in said, "an option that mosquitto is about to drop"
    assert b"as gw1" in said, "who comes and goes is worth a line"
    assert (tmp_path / "mosquitto.db").exists()
    assert b"Saving" not in said, "that it saves, at each change, is not"


@pytest.mark.parametrize("place_and_block", _blocks("toml"), ids=lambda pair: pair[0])
def test_a_config_in_the_documents_is_valid(place_and_block: tuple[str, str]) -> None:
    parse_toml(place_and_block[1].encode())


def test_a_command_in_the_documents_is_one() -> None:
    page = (ROOT / "docs/configure.md").read_text()
    found = re.findall(r"-t \$GW/cmd/(\w+)(?: \\\n)? +-m '(.*)'", page)
    assert {verb for verb, _ in found} == set(COMMANDS)
    ids = [read(tree_of(payload.encode()), COMMANDS[verb]).id for verb, payload in found]
    assert set(ids) == {"'$(date +%s%N)'"}, "whoever sends one once more gets another answer"


def test_every_reason_why_an_accelerator_does_not_run_is_explained() -> None:
    page = (ROOT / "docs/accelerators.md").read_text()
    explained = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert set(get_args(Trouble)) <= explained
