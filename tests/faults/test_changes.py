"""Changes while pictures come without a pause: the product, and the config file."""

from __future__ import annotations

import json
import os
import signal
import statistics
from typing import TYPE_CHECKING

from tests.control import Belt, Desk, camera, every_picture, inspected
from tests.faults.conftest import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.agents import AgentProcess
    from tests.conftest import Mosquitto, WaitFor
    from tests.faults.conftest import Trial

PLC = "plc/line2/product"
LIMITS = {"P-1": 0.7, "P-2": 0.011}


def limits(desk: Desk) -> list[float]:
    return [v["threshold"] for v in desk.verdicts("one") if v["verdict"] != "error"]


def test_a_product_code_holds_from_the_next_picture_on(
    start: Callable[..., AgentProcess],
    mosquitto: Mosquitto,
    desk: Desk,
    wait_for: WaitFor,
    trial: Trial,
) -> None:
    rule = {"kind": "threshold", "fail_at": LIMITS["P-2"]}
    recipes = {"P-2": {"model": camera()["model"], "rule": rule}}
    product = {"topic": PLC, "codes": {"P-1": ""}}
    start({"one": every_picture(recipes=recipes, product=product)})
    desk.until_running("one")
    late = []
    with Belt(mosquitto) as belt:
        wait_for(lambda: limits(desk))
        for change in range(100 if trial.full else 4):
            code = "P-1" if change % 2 else "P-2"
            desk.client.publish(PLC, code.encode())
            sent = belt.sent  # what is sent from now on comes after the code
            wait_for(lambda code=code: limits(desk)[-1] == LIMITS[code])  # type: ignore[misc]
            former = [n for n, limit in enumerate(limits(desk)) if limit != LIMITS[code]]
            late.append(max(0, former[-1] + 1 - sent))
    wait_for(lambda: inspected(desk) == belt.sent)
    trial.note(
        Finding(
            "another product code on a PLC's topic, at 20 pictures/s",
            len(late),
            f"{belt.sent - inspected(desk)} of {belt.sent} pictures",
            "-",
            f"judged by the former recipe after the code: {statistics.median(late):g} pictures "
            f"in the median, {max(late)} at most",
        )
    )
    if trial.full:
        assert statistics.median(late) == 0
        assert max(late) <= 1


def test_a_reload_of_a_changed_file_misses_no_picture(
    start: Callable[..., AgentProcess],
    mosquitto: Mosquitto,
    desk: Desk,
    wait_for: WaitFor,
    trial: Trial,
) -> None:
    agent = start({"one": every_picture(), "two": camera()})
    desk.until_running("one", "two")
    times = 50 if trial.full else 4
    with Belt(mosquitto) as belt:
        for rev in range(2, times + 2):
            tree = json.loads(agent.config.read_text())
            tree["pipelines"]["one"]["rule"]["fail_at"] = round(0.7 + rev / 1000, 3)
            tree["pipelines"]["two"]["source"]["seed"] = rev
            agent.config.write_text(json.dumps(tree))
            os.kill(agent.pid, signal.SIGHUP)
            wait_for(lambda rev=rev: desk.reported()["rev"] == rev)  # type: ignore[misc]
    wait_for(lambda: inspected(desk) == belt.sent)
    trial.note(
        Finding(
            "reload: the limit of one pipeline and the source of another changed",
            times,
            f"{belt.sent - inspected(desk)} of {belt.sent} pictures of the first",
        )
    )
