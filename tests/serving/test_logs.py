"""Where records go, and with which fields: read from a socket as the journal would."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edge_agent.serving.logs import JournalHandler, JsonFormatter, Whose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Journal:
    """What stands in for systemd's journal: a socket that keeps what it is sent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(60)

    def entry(self) -> dict[str, str]:
        """Return the next entry, read by the rules of the native protocol."""
        payload, entry = self._socket.recv(1 << 20), {}
        while payload:
            line, _, payload = payload.partition(b"\n")
            name, equals, value = line.partition(b"=")
            if not equals:
                length = int.from_bytes(payload[:8], "little")
                value, payload = payload[8 : 8 + length], payload[8 + length + 1 :]
            entry[name.decode()] = value.decode()
        return entry

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "journal")
    yield found
    found.close()


def record(message: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("edge_agent.line", level, "/file.py", 7, message, args, None)


def handler(journal: Journal) -> JournalHandler:
    made, whose = JournalHandler(str(journal.path)), Whose()
    whose.pipelines, whose.worker = frozenset({"camera"}), "shared"
    made.addFilter(whose)
    return made


def test_an_entry_has_fields_for_pipeline_worker_and_priority(journal: Journal) -> None:
    sender = handler(journal)
    sender.handle(record("%s: waiting: %s", "camera", "unplugged"))
    sender.close()
    entry = journal.entry()
    assert entry["MESSAGE"] == "camera: waiting: unplugged"
    assert (entry["PIPELINE"], entry["WORKER"], entry["PRIORITY"]) == ("camera", "shared", "4")
    assert (entry["SYSLOG_IDENTIFIER"], entry["LOGGER"]) == ("edge-agent", "edge_agent.line")
    assert (entry["CODE_FILE"], entry["CODE_LINE"]) == ("/file.py", "7")


def test_what_is_of_no_pipeline_has_no_such_field(journal: Journal) -> None:
    sender = handler(journal)
    sender.handle(record("outbox: disk full", level=logging.ERROR))
    sender.close()
    entry = journal.entry()
    assert "PIPELINE" not in entry
    assert entry["PRIORITY"] == "3"


def test_a_record_of_a_lost_worker_names_it(journal: Journal) -> None:
    sender = handler(journal)
    sender.handle(record("worker press: killed by SIGKILL"))
    sender.close()
    assert journal.entry()["WORKER"] == "press"


def test_a_message_of_several_lines_stays_one_field(journal: Journal) -> None:
    sender = handler(journal)
    sender.handle(record("camera: bug\nPRIORITY=0\nTraceback"))
    sender.close()
    entry = journal.entry()
    assert entry["MESSAGE"] == "camera: bug\nPRIORITY=0\nTraceback"
    assert entry["PRIORITY"] == "4"


def test_a_journal_that_is_gone_costs_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = JournalHandler(str(tmp_path / "nobody"))
    sender.handle(record("camera: waiting"))
    sender.close()
    assert "camera: waiting" in capsys.readouterr().err


def test_json_has_one_object_a_line() -> None:
    one = record("%s: waiting", "camera")
    whose = Whose()
    whose.pipelines = frozenset({"camera"})
    whose.filter(one)
    line = json.loads(JsonFormatter().format(one))
    assert (line["level"], line["message"], line["pipeline"]) == (
        "warning",
        "camera: waiting",
        "camera",
    )
    assert "worker" not in line


def test_stderr_that_is_the_journal_is_recognised(journal: Journal, tmp_path: Path) -> None:
    """As systemd does it: stderr is a stream whose device and inode the environment names."""
    code = (
        "import os, logging, sys; from edge_agent.serving import logs;"
        "found = os.fstat(2); environ = {'JOURNAL_STREAM': f'{found.st_dev}:{found.st_ino}'};"
        f"logs.set_up('INFO', 'text', environ, {str(journal.path)!r});"
        "logs.name_pipelines(['camera']); logging.getLogger('x').info('camera: running')"
    )
    with (tmp_path / "stderr").open("wb") as stderr:
        subprocess.run([sys.executable, "-c", code], check=True, stderr=stderr)
    assert journal.entry()["PIPELINE"] == "camera"
    assert (tmp_path / "stderr").read_bytes() == b""


def test_elsewhere_the_log_is_text(tmp_path: Path) -> None:
    code = (
        "import logging; from edge_agent.serving import logs;"
        "logs.set_up('INFO', 'text', {'JOURNAL_STREAM': '1:2'});"
        "logging.getLogger('x').info('camera: running')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        cwd=tmp_path,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stderr == "INFO camera: running\n"
