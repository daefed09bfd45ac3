"""`edge-agent watch` and the demo's view: drawn in a pseudo-terminal, and as lines in a pipe."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rich.console
import rich.text

from edge_agent.commands import terminal
from edge_agent.commands.overview import Overview
from edge_agent.reporting import messages
from edge_agent.reporting.topics import Topics
from tests.terminal import CTRL_C, Terminal
from tests.test_overview import NOW, TOPICS, stats, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mosquitto, Recorder

ROOT = Path(__file__).parents[1]


def _watch(port: int) -> list[str]:
    return [sys.executable, "-m", "edge_agent", "watch", "--port", str(port)]


def test_in_a_terminal_the_pipelines_stand_in_a_table_until_ctrl_c(
    mosquitto: Mosquitto, mqtt_client: Recorder
) -> None:
    status = messages.StatusMessage(ts=NOW, device="gw1", status="online", started_ts=NOW)
    mqtt_client.publish(TOPICS.status, messages.encode(status), retain=True)
    mqtt_client.publish(TOPICS.stats("qc", "surface"), stats("running", passes=3), retain=True)
    screen = Terminal(_watch(mosquitto.port), ROOT)
    try:
        screen.wait_for("connected")
        screen.wait_for("qc surface")
        mqtt_client.publish(TOPICS.verdict("qc", "surface"), verdict(1, "fail", label="dent"))
        screen.wait_for("dent")
        screen.type(CTRL_C)
        assert screen.exit_status() == 0
    finally:
        screen.close()
    assert "Traceback" not in screen.seen


def test_it_logs_in_where_the_broker_asks_for_a_password(
    tmp_path: Path, mosquitto_with: Callable[[str], Mosquitto]
) -> None:
    secret, accounts = tmp_path / "secret", tmp_path / "accounts"
    secret.write_text("at-the-line")
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", accounts, "technician", "at-the-line"], check=True
    )
    broker = mosquitto_with(f"password_file {accounts}")
    login = ["--username", "technician", "--password-file", str(secret)]
    screen = Terminal([*_watch(broker.port), *login], ROOT)
    try:
        screen.wait_for("connected")
        screen.type(CTRL_C)
        assert screen.exit_status() == 0
    finally:
        screen.close()


def test_in_a_pipe_each_event_is_a_line(mosquitto: Mosquitto, mqtt_client: Recorder) -> None:
    mqtt_client.publish(TOPICS.stats("qc", "surface"), stats("running"), retain=True)
    with subprocess.Popen(
        _watch(mosquitto.port),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[1:] == ["surface", "running"]
        mqtt_client.publish(TOPICS.verdict("qc", "surface"), verdict(1, "fail"))
        assert "fail       0.25 (limit 0.5)  good  12.0 ms" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
    assert watching.returncode == 0


def test_it_ends_without_a_word_when_nobody_reads_its_lines_any_more(
    mosquitto: Mosquitto, mqtt_client: Recorder
) -> None:
    mqtt_client.publish(TOPICS.stats("qc", "surface"), stats("running"), retain=True)
    with subprocess.Popen(
        _watch(mosquitto.port),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert watching.stdout.readline()
        watching.stdout.close()
        mqtt_client.publish(TOPICS.verdict("qc", "surface"), verdict(1, "fail"))
        said = watching.stderr.read()
    assert "pipe" not in said.lower()
    assert watching.returncode == 0


def test_without_a_broker_the_view_says_so_and_can_be_ended() -> None:
    # Port 1 is reserved (tcpmux): nothing listens there.
    screen = Terminal(_watch(1), ROOT)
    try:
        screen.wait_for("refused")
        screen.type(CTRL_C)
        assert screen.exit_status() == 0
    finally:
        screen.close()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_the_picture_fits_into_every_terminal(width: int, height: int) -> None:
    drawn = drawn_lines(busy(), width, height)
    assert len(drawn) < height or height == 10, "at least one line of the log is always shown"
    assert max(map(len, drawn)) <= width


def test_80_columns_show_what_matters_of_each_pipeline() -> None:
    row = next(line for line in drawn_lines(busy(), 80, 24) if "qc surface" in line)
    words = re.split(r" {1,}", row.strip())
    assert words == [
        "●",
        "qc",
        "surface",
        "fail",
        "0.9",
        "dent",
        "20.5",
        "12.0",
        "20",
        "20",
        "0",
        "0",
    ]


def test_the_gateway_stands_beside_its_pipelines_where_there_is_more_than_one() -> None:
    overview = Overview()
    overview.take(TOPICS.verdict("qc", "surface"), verdict(1), 0.0)
    assert "gw1 qc surface" not in "".join(drawn_lines(overview, 80, 24))
    other = Topics("acme/oslo/hall1/line2/press3/edge/gw2", "gw2")
    overview.take(other.verdict("qc", "surface"), verdict(1), 0.0)
    drawn = "".join(drawn_lines(overview, 80, 24))
    assert "gw1 qc surface" in drawn
    assert "gw2 qc surface" in drawn


def test_a_pipeline_in_trouble_says_why_where_its_scores_would_stand() -> None:
    overview = busy()
    overview.take(TOPICS.stats("qc", "surface"), stats("waiting"), 2.0)
    assert any("waiting camera 0: unplugged" in line for line in drawn_lines(overview, 140, 24)[:6])


@pytest.mark.parametrize(
    ("width", "ends"),
    [(120, "  blocked..."), (140, "no NPU compiled..."), (200, "the vendor's library.")],
)
def test_a_long_reason_ends_with_a_word_or_sentence_and_takes_no_room_from_other_columns(
    width: int, ends: str
) -> None:
    overview = busy()
    reason = "unavailable: no NPU compiled the model: cannot start the vendor's library."
    detail = {"detail": f"{reason} Whoever is of the group render may do so."}
    payload = json.dumps(json.loads(stats("blocked")) | detail).encode()
    overview.take(TOPICS.stats("qc", "surface"), payload, 2.0)
    drawn = drawn_lines(overview, width, 24)
    row = next(line for line in drawn if "qc surface" in line)
    assert row.split()[:7] == ["●", "qc", "surface", "fail", "0.9", "0.5", "dent"]
    assert row.endswith(ends)
    assert not any("\u2026" in line for line in drawn)  # nor is what happened, below the table


@pytest.mark.parametrize("width", [110, 120, 150, 200])
def test_an_accelerator_in_trouble_takes_no_room_from_other_columns(width: int) -> None:
    overview = busy()
    counts = {"detail": "", "passes": 1234, "fails": 567}
    told = {"accelerator_requested": "libedgetpu.so.1", "accelerator_reason": "library_missing"}
    payload = json.dumps(json.loads(stats("running")) | counts | told).encode()
    overview.take(TOPICS.stats("qc", "surface"), payload, 2.0)
    row = next(line for line in drawn_lines(overview, width, 24) if "qc surface" in line)
    assert row.split()[:7] == ["●", "qc", "surface", "fail", "0.9", "0.5", "dent"]
    assert row.split()[10:14] == ["1234", "567", "0", "0"]
    assert "cpu," in row
    assert "…" not in row


def test_the_scale_of_the_bars_holds_the_limit() -> None:
    overview = Overview()
    for seq in range(1, 4):
        small_noise = verdict(seq, score=0.01 * seq, threshold=0.5)
        overview.take(TOPICS.verdict("qc", "surface"), small_noise, 0.0)
    row = next(line for line in drawn_lines(overview, 120, 24) if "qc surface" in line)
    assert row.split()[-1] == "▁▁▁"


def busy() -> Overview:
    overview = Overview()
    for seq in range(1, 41):
        bad = seq % 2 == 0
        payload = verdict(
            seq,
            "fail" if bad else "pass",
            score=0.9 if bad else 0.1,
            defect_class="dent" if bad else "",
        )
        overview.take(TOPICS.verdict("qc", "surface"), payload, seq / 20)
    return overview


def drawn_lines(overview: Overview, width: int, height: int) -> list[str]:
    console = rich.console.Console(width=width, height=height)
    broker = rich.text.Text("broker 127.0.0.1:1883  connected", no_wrap=True, overflow="ellipsis")
    with console.capture() as captured:
        console.print(terminal.picture(overview, broker, "Ctrl-C stops", console.size, 2.0))
    return [line.rstrip() for line in captured.get().splitlines()]
