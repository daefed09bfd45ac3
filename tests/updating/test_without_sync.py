"""An agent without [sync] is what it was."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from edge_agent.errors import ConfigError
from edge_agent.processes import wire
from tests.test_config import good, parse

IMPORTED = """
import sys
import edge_agent.agent
for name in ("updater", "supplier", "trust", "slot_course", "synced"):
    assert "edge_agent.modelstore." + name not in sys.modules, name
import edge_agent.modelstore.synced
for name in ("tuf", "securesystemslib", "numpy"):
    assert name not in sys.modules, name
"""


def test_it_imports_nothing_of_it_and_with_it_only_a_child_process_reads_metadata() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_pipelines_of_one_slot_have_one_model() -> None:
    tree = good()
    tree["pipelines"]["camera-2"] = tree["pipelines"]["camera-1"] | {"slot": "camera-1"}
    assert parse(tree).pipelines["camera-2"].slot == "camera-1"
    tree["pipelines"]["camera-2"]["model"] = "models/other"
    with pytest.raises(ConfigError, match="slot camera-1"):
        parse(tree)


def test_a_window_and_a_poll_are_checked() -> None:
    sync = {"url": "https://models.example/", "root": "root.json"}
    assert parse(good() | {"sync": sync}).sync is not None
    for wrong in ({"window": "22-6"}, {"poll_s": 0.0}, {"swap_mode": "hope"}, {"key": "x"}):
        with pytest.raises(ConfigError, match="/sync"):
            parse(good() | {"sync": sync | wrong})


def test_an_order_for_the_next_model_survives_the_pipe() -> None:
    order = wire.Succeed("plates", "load", "/store/gens/2", pause=True)
    assert wire.to_worker(msgspec.msgpack.encode(order)) == order
