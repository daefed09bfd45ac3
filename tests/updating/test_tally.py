"""When a model on its way in has done badly enough."""

from __future__ import annotations

from edge_agent.line.tally import Bounds, Tally

BOUNDS = Bounds(max_error_rate=0.1, max_disagree=0.2, p50_ms=5.0)


def test_a_few_errors_among_the_first_items_say_nothing_yet() -> None:
    tally = Tally()
    for _ in range(2):
        tally.erred("nan")
    assert tally.breach(BOUNDS, 0) is None
    tally.erred("nan")
    assert tally.breach(BOUNDS, 0) == ("errs", "3 errors in 3 items: nan")


def test_errors_count_by_their_share_once_there_are_many_items() -> None:
    tally = Tally()
    for index in range(200):
        tally.erred("nan") if index % 11 == 0 else tally.decided(1.0)
    assert tally.breach(BOUNDS, 0) is None
    for _ in range(5):
        tally.erred("nan")
    found = tally.breach(BOUNDS, 0)
    assert found is not None
    assert found[0] == "errs"


def test_disagreement_is_certain_as_soon_as_it_cannot_be_made_good() -> None:
    tally = Tally()
    for _ in range(10):
        tally.decided(1.0, agrees=False)
    assert tally.breach(BOUNDS, 50) is None
    tally.decided(1.0, agrees=False)
    found = tally.breach(BOUNDS, 50)
    assert found is not None
    assert found[0] == "disagrees"


def test_slow_is_what_is_slow_half_of_the_time() -> None:
    tally = Tally()
    for index in range(40):
        tally.decided(100.0 if index % 4 == 0 else 1.0)
    assert tally.breach(BOUNDS, 0) is None
    for _ in range(60):
        tally.decided(6.0)
    found = tally.breach(BOUNDS, 0)
    assert found is not None
    assert found[0] == "slow"
    assert "5 are allowed" in found[1]
