"""No group in two parts, the same split for the same seed, and a word on what cannot be had."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tools.training.data_checks import DataUnfit, Finding, named, print_findings, settle
from tools.training.splits import described, folds, grouped_split

GROUPS = [f"part {number // 5}" for number in range(200)]
LABELS = ["bad" if number // 5 % 4 == 0 else "good" for number in range(200)]


def test_parts_share_no_group_and_hold_every_item_once() -> None:
    split = grouped_split(GROUPS, labels=LABELS)
    seen = [{GROUPS[index] for index in part} for _, part in split.parts()]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 40
    items = np.concatenate([part for _, part in split.parts()])
    assert sorted(items) == list(range(200))


def test_parts_are_about_as_large_as_was_asked_for() -> None:
    split = grouped_split(GROUPS, shares=(0.5, 0.25, 0.25), labels=LABELS)
    assert [len(part) for _, part in split.parts()] == pytest.approx([100, 50, 50], abs=10)


def test_every_class_is_in_every_part_where_groups_allow() -> None:
    split = grouped_split(GROUPS, labels=LABELS)
    assert split.findings == ()
    for _, part in split.parts():
        assert {LABELS[index] for index in part} == {"good", "bad"}


def test_a_class_of_one_group_is_found_missing() -> None:
    labels = ["bad" if group == "part 7" else "good" for group in GROUPS]
    texts = [finding.text for finding in grouped_split(GROUPS, labels=labels).findings]
    assert len(texts) == 2
    assert all(text.startswith("class bad has no item in the ") for text in texts)


def test_the_same_seed_gives_the_same_split_and_another_one_another() -> None:
    first, again, other = (grouped_split(GROUPS, seed=seed) for seed in (1, 1, 2))
    assert (first.test == again.test).all()
    assert sorted(first.test) != sorted(other.test)


def test_two_groups_cannot_be_parted_into_three() -> None:
    with pytest.raises(DataUnfit, match=r"2 groups \(a, b\) cannot be parted into 3 parts"):
        grouped_split(["a", "b", "a"])


def test_a_part_with_no_share_stays_empty() -> None:
    split = grouped_split(["a", "b", "c"], shares=(0.5, 0.5, 0))
    assert len(split.test) == 0
    assert len(split.train) > 0 < len(split.validation)


@pytest.mark.parametrize("seed", range(60))
def test_no_list_of_groups_makes_a_split_that_leaks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.choice(list("abcdefgh"), size=int(rng.integers(3, 40))).tolist()
    try:
        split = grouped_split(groups)
    except DataUnfit:
        assert len(set(groups)) < 3
        return
    parts = [{groups[index] for index in part} for _, part in split.parts()]
    assert sum(map(len, parts)) == len(set(groups))


def test_each_group_is_held_out_once_in_folds_of_nearly_one_size() -> None:
    held = [part for _, part in folds(GROUPS, 5)]
    assert sorted(np.concatenate(held)) == list(range(200))
    assert {len(part) for part in held} == {40}
    for train, part in folds(GROUPS, 5):
        assert not {GROUPS[index] for index in train} & {GROUPS[index] for index in part}


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(DataUnfit, match="2 groups cannot make 3 folds"):
        list(folds(["a", "b"], 3))


def test_a_split_is_described_with_groups_and_classes() -> None:
    split = grouped_split(["a", "a", "b", "c"], labels=["x", "y", "x", "y"])
    lines = described(split, ["a", "a", "b", "c"], ["x", "y", "x", "y"])
    assert [line.split(":")[0] for line in lines] == ["train", "validation", "test"]
    assert any("2 items of 1 groups (a); x 1, y 1" in line for line in lines)


def test_errors_stop_and_warnings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    settle([Finding("warning", "few photos")])
    assert capsys.readouterr().err == "warning: few photos\n"
    with pytest.raises(DataUnfit, match="no photos"):
        settle([Finding("warning", "few photos"), Finding("error", "no photos")])


def test_errors_are_printed_first() -> None:
    out = io.StringIO()
    print_findings([Finding("warning", "w"), Finding("error", "e")], out)
    assert out.getvalue() == "error: e\nwarning: w\n"


def test_of_many_names_a_few_are_shown() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named([str(number) for number in range(12)]) == "0, 1, 2, 3, 4 and 7 more"
