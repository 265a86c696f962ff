"""What the machines together say about who reads."""

from __future__ import annotations

from index.models import ReaderState
from index.readers import best_version, in_use, present, worst
from tests.builders import ago


def a_state(machine: str, version: str = "new", reason: str = "", **silent: float) -> ReaderState:
    return ReaderState(
        id=machine, model_version=version, fallback_reason=reason, since_at=ago(days=1), checked_at=ago(**silent)
    )


def test_a_machine_that_fell_silent_while_another_spoke_reads_no_more() -> None:
    gone, here = a_state("gone", "linear", "已损坏", hours=1), a_state("here")
    assert present([gone, here]) == [here]
    assert worst([gone, here]) is None


def test_of_machines_that_all_fell_silent_the_last_word_counts() -> None:
    gone = a_state("gone", "linear", "已损坏", days=3)
    assert worst([gone]) == gone


def test_one_machine_on_the_fallback_is_told_and_does_not_keep_the_others_from_reading_again() -> None:
    ill = a_state("ill", "linear", "已损坏")
    assert worst([a_state("sound"), ill]) == ill
    assert best_version([a_state("sound"), ill]) == "new"


def test_a_machine_without_any_model_is_told_first() -> None:
    without = a_state("z", "", "找不到模型文件", minutes=1)
    assert worst([a_state("a", "linear", "已损坏"), without]) == without


def test_nothing_is_best_where_two_versions_read_or_none_does() -> None:
    assert best_version([a_state("a"), a_state("b", "newer")]) is None
    assert best_version([a_state("a", "linear", "已损坏")]) is None
    assert best_version([]) is None


def test_in_use_are_the_sound_versions_or_else_those_that_were_fallen_back_on() -> None:
    ill, without = a_state("ill", "linear", "已损坏"), a_state("z", "", "找不到模型文件")
    assert in_use([a_state("a"), a_state("b", "newer"), ill, without]) == {"new", "newer"}
    assert in_use([ill, without]) == {"linear"}
    assert in_use([without]) == in_use([]) == set()
