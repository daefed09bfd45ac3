"""How tests wait: for an effect, which may not have begun to show."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import WaitFor


def test_the_last_of_a_list_is_waited_for_while_the_list_is_empty(wait_for: WaitFor) -> None:
    heard: list[str] = []
    empty_seen = threading.Event()

    def last() -> str:
        if not heard:
            empty_seen.set()
        return heard[-1]

    def speak() -> None:
        empty_seen.wait(60)
        heard.append("running")

    speaker = threading.Thread(target=speak)
    speaker.start()
    assert wait_for(lambda: last() == "running")
    speaker.join()


def test_a_list_that_stays_empty_fails_with_words(wait_for: WaitFor) -> None:
    nothing: list[str] = []
    with pytest.raises(pytest.fail.Exception, match=r"within 0 s: the list .* is empty"):
        wait_for(lambda: nothing[-1], 0)
