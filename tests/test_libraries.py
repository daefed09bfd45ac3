"""A config from afar brings no library: it names what the gateway's file defines."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.control import candidates, trees
from edge_agent.errors import ConfigError
from tests.test_config import good, parse
from tests.test_control_parts import by_words

USB = {"delegate": "/usr/lib/libnpu.so", "options": {"device": "usb"}}


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"delegate": "/opt/mine.so"}, "delegate"),
        ({"delegate": "/usr/lib/libnpu.so"}, "delegate"),
        (USB | {"options": {"device": "pci"}}, "delegate"),
        ({"provider": "QNNExecutionProvider", "options": {"backend_path": "/opt/x.so"}}, "options"),
        ({"hardware": "npu", "options": {"dispatch_library": "/opt/x.so"}}, "options"),
    ],
)
def test_a_library_comes_from_the_file_alone(table: dict[str, Any], place: str) -> None:
    current = by_words(USB, one="cpu", two="npu")
    tree = candidates.tree_of(current)
    for name in ("one", "two", "new"):
        patch = {"pipelines": {name: good()["pipelines"]["camera-1"] | {"accelerator": table}}}
        with pytest.raises(ConfigError) as caught:
            candidates.candidate(trees.merged(tree, patch), current)
        (field,) = caught.value.fields
        assert field.path == f"/pipelines/{name}/accelerator/{place}"
        assert "[accelerators.WORD] in the config file" in field.message
        assert field.message.endswith("there are: cpu, gpu, npu")


@pytest.mark.parametrize(
    "accelerator", ["npu", "gpu", USB, {"hardware": "npu"}, {"provider": "CPUExecutionProvider"}]
)
def test_what_the_file_defines_and_what_brings_no_library_may_be_chosen(accelerator: Any) -> None:
    current = by_words(USB, one="cpu")
    patch = {"pipelines": {"one": {"accelerator": accelerator}}}
    assert candidates.candidate(trees.merged(candidates.tree_of(current), patch), current)


def test_a_library_that_is_in_force_stays_until_it_changes() -> None:
    one = good()["pipelines"]["camera-1"] | {"accelerator": {"delegate": "/opt/own.so"}}
    current = parse(good() | {"pipelines": {"one": one}})
    tree = candidates.tree_of(current)
    found = candidates.candidate(trees.merged(tree, {"stats_every_s": 1.0}), current)
    assert found.pipelines["one"].accelerator.delegate == "/opt/own.so"
    with pytest.raises(ConfigError, match="/pipelines/two/accelerator/delegate: cannot come over"):
        candidates.candidate(trees.merged(tree, {"pipelines": {"two": one}}), current)
