"""Wrong configs over MQTT: each is refused with its place, and the line beside it loses no part."""

from __future__ import annotations

import copy
import json
import os
import random
from typing import TYPE_CHECKING, Any

from tests.agents import workers
from tests.control import Belt, Desk, camera, every_picture, inspected
from tests.fuzz.damage import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.agents import AgentProcess
    from tests.conftest import Mosquitto, WaitFor

# 50 are tried by default, 400 by `make fuzz`.
COUNT = min(EXAMPLES, 400)
SEED = int(os.environ.get("FUZZ_SEED", "1"))

WRONG_TYPES: tuple[Any, ...] = ({}, [], [[]], {"kind": "os"}, {"kind": "../x"}, True, -1.5)
WRONG_NUMBERS: tuple[Any, ...] = (-1, 0, 2**63, 10**30, 1e308, "1", None, [1])
TOO_HUGE = 1_100_000
KINDS = (
    *("type", "unknown", "number", "twice", "nan", "model", "recipe", "fixed", "huge", "deep"),
    *("name", "gone", "source"),
)


def put(tree: dict[str, Any], path: str, value: object) -> None:
    *folders, leaf = path[1:].split("/")
    for folder in folders:
        tree = tree[folder]
    tree[leaf] = value


def damaged(good: dict[str, Any], rng: random.Random) -> tuple[bytes, str, set[int]]:
    """Return the JSON of a wrong config, where it is wrong, and the codes that may answer it."""
    tree = copy.deepcopy(good)
    two = "/pipelines/two"
    kind = rng.choice(KINDS)
    match kind:
        case "type":
            path = rng.choice(
                [two, f"{two}/source", f"{two}/rule", "/device", "/broker", "/pipelines"]
            )
            put(tree, path, rng.choice([[], [[]], True, -1.5, "x"]))
        case "unknown":
            path = (
                rng.choice([two, f"{two}/source", f"{two}/rule", "/device", "/broker", ""]) + "/no"
            )
            put(tree, path, rng.choice(WRONG_TYPES))
        case "number":
            path = rng.choice(
                [f"{two}/threads", f"{two}/source/fps", "/stats_every_s", "/broker/port"]
            )
            put(tree, path, rng.choice(WRONG_NUMBERS))
        case "model":
            path = f"{two}/model"
            put(tree, path, rng.choice(["not-there", "../..", "/etc", "\x00", "", "x" * 5000]))
        case "recipe":
            put(tree, f"{two}/recipes", {"A": {"model": "recipes/A"}})
            path = f"{two}/recipe"
            put(tree, path, rng.choice(["B", "two", "A/recipe", 1]))
        case "fixed":
            path = rng.choice(["/device/name", "/broker/host"])
            put(tree, path, "other")
        case "name":
            path = "/pipelines/" + rng.choice(["a b", "x" * 65, "a+b", ""])
            put(tree, path, camera())
        case "gone":
            path = rng.choice([f"{two}/source", f"{two}/model", f"{two}/family", "/device"])
            parent = tree if path.count("/") == 1 else tree["pipelines"]["two"]
            del parent[path.rsplit("/", 1)[1]]
        case "source":
            path = f"{two}/source"
            put(tree, path, {"kind": rng.choice(["os", "../camera", "base", "", "camera"])})
        case _:
            return broken(kind, tree), "", {400}
    return json.dumps(tree).encode(), path, {422}


def broken(kind: str, tree: dict[str, Any]) -> bytes:
    """Return what cannot be read at all."""
    text = json.dumps(tree)
    if kind == "twice":
        text = text.replace('"two": {', '"two": {"threads": 1, "threads": 2, ')
    elif kind == "nan":
        text = text.replace('"fps": 20.0', '"fps": NaN')
    elif kind == "huge":
        tree["pipelines"]["two"]["model"] = "x" * TOO_HUGE
        text = json.dumps(tree)
    else:
        text = text.replace('"fps": 20.0', '"fps": ' + "[" * 100 + "]" * 100)
    return text.encode()


def is_at(found: list[str], path: str) -> bool:
    """Say whether an answer's pointers name the place, one above it or one below it."""
    return any(
        p == path or p.startswith(path) or path.startswith(p) for p in found if p or not path
    )


def test_wrong_configs_are_refused_with_their_place_while_every_part_is_inspected(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": every_picture(), "two": camera(threads=1)})
    desk.until_running("one", "two")
    process = workers(agent.pid)["one"]
    good = desk.reported()["config"]
    rng = random.Random(SEED)
    with Belt(mosquitto) as belt:
        for number in range(COUNT):
            config, path, codes = damaged(good, rng)
            head = f'{{"v": 1, "id": "f{number}", "base_rev": 1, "config": '.encode()
            answer = desk.ask("config/set", None, raw=head + config + b"}")
            told = (number, path, config[:2000], answer)
            assert answer["code"] in codes, told
            assert is_at([error["path"] for error in answer["errors"]], path), told
        # And two that only a trial can tell.
        tree = copy.deepcopy(good)
        tree["pipelines"]["two"]["source"] = {"kind": "camera", "url": "rtsp://127.0.0.1:9/x"}
        assert desk.change(config=tree)["code"] == 500
        tree["pipelines"]["two"]["source"] = {"kind": "folder", "path": "not-there"}
        assert desk.change(config=tree)["code"] == 500
    assert desk.reported()["rev"] == 1
    wait_for(lambda: inspected(desk) == belt.sent)
    assert process == workers(agent.pid)["one"]
