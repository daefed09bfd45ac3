"""The two copies of a slot's record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_agent.modelstore.desired import ModelRef
from edge_agent.modelstore.slot_record import (
    QUARANTINED_MOST,
    Generation,
    RecordFile,
    SlotRecord,
)

if TYPE_CHECKING:
    from pathlib import Path

GENERATION = Generation(number=3, model=ModelRef("wear", "1.0"), digest="ab", seq=7, blobs=("ab",))


def test_where_nothing_is_there_the_factory_runs(tmp_path: Path) -> None:
    assert RecordFile(tmp_path / "slot").read() == SlotRecord()


def test_what_was_written_last_is_read_again_and_the_copies_take_turns(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    for number in range(1, 6):
        written = file.write(SlotRecord(state="confirmed", active=GENERATION, starts=number))
        assert file.read() == written
        assert written.serial == number
    serials = {
        msgspec.json.decode((tmp_path / name).read_bytes().partition(b"\n")[2])["serial"]
        for name in ("state.a", "state.b")
    }
    assert serials == {4, 5}


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None])
def test_of_a_damaged_copy_the_one_before_is_read(tmp_path: Path, damage: bytes | None) -> None:
    file = RecordFile(tmp_path)
    before = file.write(SlotRecord(state="staged"))
    file.write(SlotRecord(state="shadow"))
    newest = tmp_path / "state.b"
    content = newest.read_bytes()
    newest.write_bytes(content.replace(b"shadow", b"shadoW") if damage is None else damage)
    assert file.read() == before
    assert file.write(SlotRecord(state="trial")).serial == before.serial + 1
    assert file.read().state == "trial"


def test_with_both_copies_damaged_the_factory_runs(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    file.write(SlotRecord(active=GENERATION))
    file.write(SlotRecord(active=GENERATION))
    for name in ("state.a", "state.b"):
        (tmp_path / name).write_bytes(b"{}")
    assert file.read().active is None


def test_the_quarantine_forgets_the_oldest() -> None:
    record = SlotRecord()
    for number in range(QUARANTINED_MOST + 5):
        bad = msgspec.structs.replace(GENERATION, digest=str(number))
        record = msgspec.structs.replace(record, **record.quarantining(bad, "hang"))
    assert len(record.quarantine) == QUARANTINED_MOST
    assert list(record.quarantine)[-1] == str(QUARANTINED_MOST + 4)
