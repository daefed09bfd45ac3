"""The log from afar: the latest lines, in room that does not grow."""

from __future__ import annotations

import logging

from edge_agent.control.latest_log import LINE_MOST_BYTES, LINES_MOST, ROOM_BYTES, LatestLog

STAMP = len("2026-11-30T17:00:00.000Z ") + len("\0")


def said(log: LatestLog, count: int = LINES_MOST) -> list[str]:
    return [line.split(" ", 1)[1] for line in log.latest(count)]


def test_the_latest_lines_come_in_order_as_many_as_are_asked_for() -> None:
    log = LatestLog()
    assert log.latest(10) == []
    for number in range(LINES_MOST + 200):
        log.add(logging.INFO, f"line {number}")
    assert said(log, 2) == [f"INFO line {LINES_MOST + 198}", f"INFO line {LINES_MOST + 199}"]
    assert len(log.latest(LINES_MOST)) == LINES_MOST


def test_long_lines_and_odd_ones_make_way_for_each_other_and_each_stays_whole() -> None:
    log = LatestLog()
    texts = [f"{number} " + "grün\n\0" * (number % 300) for number in range(3000)]
    for done, text in enumerate(texts, 1):
        log.add(logging.WARNING, text)
        if done % 100 == 0:
            wanted = [f"WARNING {each}".replace("\0", " ") for each in texts[:done]]
            got = said(log)
            assert got == wanted[-len(got) :]
            full = sum(len(line.encode()) + STAMP for line in wanted[-len(got) - 2 :]) > ROOM_BYTES
            assert full or len(got) in {done, LINES_MOST}


def test_of_a_line_that_is_too_long_the_beginning_is_kept() -> None:
    log = LatestLog()
    log.add(logging.INFO, "x" * 10 * ROOM_BYTES)
    log.add(logging.INFO, "the next")
    first, second = said(log)
    assert first.startswith("INFO xxx")
    assert len(first) < LINE_MOST_BYTES
    assert second == "INFO the next"


def test_the_room_is_taken_from_the_start_on() -> None:
    log = LatestLog()
    for number in range(5000):
        log.add(logging.INFO, f"line {number}")
    assert len(log._room) == ROOM_BYTES
