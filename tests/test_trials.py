"""What the long trials judge by: when something counts as crawled or told twice, and what is done to whom when."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trials.fleet import Deed, Wanted, deeds
from tests.trials.nodes import longest
from tests.trials.progress import TrialError
from tests.trials.serving import Message
from tests.trials.verdicts import CUT, KILLED, UNEXPLAINED, Asked, History, Recorded, Span, crawls, repeats, too_soon
from tests.trials.visitor import View

NOTHING = History(kills=(), cuts=(), server="es")
A_KILL = History(kills=(Span("m1", 4, 4.1),), cuts=(), server="es")
A_CUT = History(kills=(), cuts=(Span("m1", 4, 64),), server="es")
THE_SERVER_CUT = History(kills=(), cuts=(Span("es", 4, 64),), server="es")


def test_the_requests_of_one_machine_within_one_run_are_one_crawl() -> None:
    (crawl,) = crawls([Asked("a", "m1", 3), Asked("a", "m1", 20)], [Recorded("a", 0, 30)])
    assert (crawl.machine, crawl.started_at, crawl.finished_at) == ("m1", 0, 30)


def test_another_machine_within_a_run_is_a_second_crawl() -> None:
    done = crawls([Asked("a", "m1", 3), Asked("a", "m2", 4)], [Recorded("a", 0, 30)])
    assert [(crawl.machine, crawl.finished_at) for crawl in done] == [("m1", 30), ("m2", None)]


def test_two_crawls_an_interval_apart_are_right_however_late_the_first_request_came() -> None:
    done = crawls([Asked("a", "m1", 15), Asked("a", "m2", 61)], [Recorded("a", 0, 20), Recorded("a", 60, 62)])
    assert too_soon(done, NOTHING, every_s=60) == []


def test_two_recorded_runs_inside_the_interval_have_no_excuse() -> None:
    done = crawls([], [Recorded("a", 0, 10), Recorded("a", 30, 40), Recorded("b", 31, 40)])
    assert [cause for cause, _, _ in too_soon(done, A_CUT, every_s=60)] == [UNEXPLAINED]


@pytest.mark.parametrize(
    ("history", "cause"), [(A_KILL, KILLED), (A_CUT, CUT), (THE_SERVER_CUT, CUT), (NOTHING, UNEXPLAINED)]
)
def test_a_crawl_that_was_never_recorded_needs_a_reason_to_be_repeated(history: History, cause: str) -> None:
    done = crawls([Asked("a", "m1", 3), Asked("a", "m2", 12)], [Recorded("a", 10, 20)])
    assert [found for found, _, _ in too_soon(done, history, every_s=60)] == [cause]


@pytest.mark.parametrize(
    ("history", "cause"), [(A_KILL, KILLED), (A_CUT, CUT), (THE_SERVER_CUT, UNEXPLAINED), (NOTHING, UNEXPLAINED)]
)
def test_a_message_that_comes_again_is_excused_by_what_befell_its_sender_only(history: History, cause: str) -> None:
    messages = [Message("n1", None, "10.0.0.1", 3), Message("n2", None, "10.0.0.1", 3), Message("n1", None, "x", 190)]
    assert repeats(messages, history, {"10.0.0.1": "m1"}) == [(cause, "n1")]


@given(seed=st.integers(0, 10**6), n_cuts=st.integers(0, 16), n_kills=st.integers(0, 30))
def test_no_line_is_cut_while_it_is_cut_and_all_are_mended_in_time(seed: int, n_cuts: int, n_kills: int) -> None:
    wanted = Wanted(seconds=480, n_sources=50, n_kills=n_kills, n_cuts=n_cuts, cut_s=60, seed=seed)
    planned = deeds(wanted, ("m1", "m2", "m3"), "es")
    assert Counter(deed.what for deed in planned) == Counter(kill=n_kills, cut=n_cuts, mend=n_cuts)
    assert all(deed.after_s <= wanted.seconds for deed in planned)
    for line in ("m1", "m2", "m3", "es"):
        own = [deed.what for deed in planned if deed.machine == line and deed.what != "kill"]
        assert own == ["cut", "mend"] * (len(own) // 2)


def test_more_cuts_than_fit_are_refused() -> None:
    with pytest.raises(TrialError, match="do not fit"):
        deeds(Wanted(seconds=120, n_sources=5, n_kills=0, n_cuts=8, cut_s=60, seed=1), ("m1", "m2", "m3"), "es")


def test_the_same_seed_does_the_same_to_the_same() -> None:
    wanted = Wanted(seconds=480, n_sources=50, n_kills=5, n_cuts=8, cut_s=60, seed=7)
    planned: list[Deed] = deeds(wanted, ("m1", "m2", "m3"), "es")
    assert planned == deeds(wanted, ("m1", "m2", "m3"), "es")


def test_a_page_is_down_from_the_first_bad_view_until_a_good_one_is_there() -> None:
    views = [a_view(0), a_view(2, ok=False), a_view(5, ok=False), a_view(9), a_view(12, ok=False), a_view(13)]
    assert longest(views, of="down") == pytest.approx(9 + 0.5 - 2)
    assert longest(views, of="old") == 0


def test_a_page_that_never_comes_back_is_down_to_the_end() -> None:
    assert longest([a_view(0), a_view(2, ok=False), a_view(50, ok=False)], of="down") == pytest.approx(48.5)


def a_view(at: float, *, ok: bool = True, old: bool = False) -> View:
    return View("overview", at, 0.5, ok=ok, old=old)
