"""Which variants a gateway fetches: those for what its config says, defines, or asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from edge_agent.config import Config, parse_tree
from edge_agent.modelstore.models import ModelPorts
from edge_agent.modelstore.synced import Synced
from tests.test_config import good

if TYPE_CHECKING:
    from pathlib import Path

SYNC = {"url": "https://models.example/", "root": "root.json", "hw": ["openvino"]}
EDGE_TPU = {"delegate": "/usr/lib/libedgetpu.so.1"}


def config(accelerator: str, **accelerators: Any) -> Config:
    tree = good() | {"sync": SYNC, "accelerators": accelerators}
    tree["pipelines"]["camera-1"]["accelerator"] = accelerator
    return parse_tree(tree)


def test_what_a_config_defines_is_fetched_before_a_pipeline_asks_for_it(tmp_path: Path) -> None:
    nothing = cast("Any", None)  # nothing is published, ordered or run
    ports = ModelPorts(tmp_path, tmp_path, nothing, lambda *_: [], nothing, nothing)
    before = config("npu")
    assert before.sync is not None
    synced = Synced(before, before.sync, ports, {})
    supplier = synced.updater._gateway.supplier
    assert cast("Any", supplier).place.hw == ("openvino", "npu")
    synced.configure(config("cpu", tpu=EDGE_TPU), [])
    assert cast("Any", supplier).place.hw == ("openvino", "edgetpu", "cpu")
