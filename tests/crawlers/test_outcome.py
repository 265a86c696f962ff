"""judge(): one verdict and one sentence for every way that a run can end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.outcome import CrawlStats, PageEnd, judge
from index.models import Outcome


def verdict(killed: bool = False, **stats: Any) -> tuple[Outcome, str]:
    fields: dict[str, Any] = {"finish_reason": "finished", "first": PageEnd.PARSED, "ends": {PageEnd.PARSED: 1}} | stats
    return judge(CrawlStats(**fields), killed=killed, run_timeout_s=600)


def test_no_stats_mean_that_the_child_died() -> None:
    outcome, message = judge(None, killed=False, run_timeout_s=600, log="Traceback\nMemoryError")
    assert outcome is Outcome.FAILED
    assert "MemoryError" in message


def test_a_killed_child_is_a_timeout() -> None:
    assert judge(None, killed=True, run_timeout_s=600)[0] is Outcome.TIMEOUT
    assert verdict(killed=True, n_items=3)[0] is Outcome.TIMEOUT


def test_pages_without_items_are_empty_not_failed() -> None:
    assert verdict()[0] is Outcome.EMPTY


def test_items_make_it_ok() -> None:
    assert verdict(n_items=7) == (Outcome.OK, "读到 7 条")


def test_few_bad_lines_leave_it_ok_and_are_told() -> None:
    outcome, message = verdict(n_items=90, n_bad=10, bad_reasons=("x：没有正文",))
    assert outcome is Outcome.OK
    assert "10 条不能识别（x：没有正文）" in message


def test_many_bad_lines_make_it_partial() -> None:
    assert verdict(n_items=7, n_bad=3)[0] is Outcome.PARTIAL


def test_only_bad_lines_mean_that_the_page_has_changed() -> None:
    assert verdict(n_bad=3)[0] is Outcome.CHANGED


@pytest.mark.parametrize(
    ("first", "outcome"),
    [
        (PageEnd.UNRECOGNISED, Outcome.CHANGED),
        (PageEnd.LOGIN, Outcome.LOGIN_EXPIRED),
        (PageEnd.CAPTCHA, Outcome.BLOCKED),
        (PageEnd.BLOCKED, Outcome.BLOCKED),
        (PageEnd.BUSY, Outcome.BLOCKED),
        (PageEnd.ROBOTS, Outcome.BLOCKED),
        (PageEnd.ADDRESS, Outcome.FAILED),
        (PageEnd.TOO_BIG, Outcome.FAILED),
        (PageEnd.SLOW, Outcome.FAILED),
        (PageEnd.NETWORK, Outcome.FAILED),
        (PageEnd.SERVER, Outcome.FAILED),
        (PageEnd.GONE, Outcome.FAILED),
        (PageEnd.REDIRECTS, Outcome.FAILED),
        (PageEnd.FILE, Outcome.FAILED),
        (PageEnd.ERROR, Outcome.FAILED),
    ],
)
def test_the_end_of_the_first_page_decides(first: PageEnd, outcome: Outcome) -> None:
    found, message = verdict(first=first, ends={first: 1}, examples={first: "某页如此"})
    assert found is outcome
    assert message.startswith("某页如此，")


def test_the_pages_behind_the_list_decide_when_the_list_is_well() -> None:
    ends = {PageEnd.PARSED: 1, PageEnd.BLOCKED: 5, PageEnd.GONE: 1}
    assert verdict(ends=ends)[0] is Outcome.BLOCKED


def test_some_failed_pages_make_it_partial() -> None:
    outcome, message = verdict(n_items=5, ends={PageEnd.PARSED: 4, PageEnd.GONE: 1})
    assert outcome is Outcome.PARTIAL
    assert "5 个页面中有 1 个" in message


@given(
    st.builds(
        CrawlStats,
        finish_reason=st.sampled_from(["finished", "closespider_timeout", "shutdown", ""]),
        n_items=st.integers(0, 3),
        n_bad=st.integers(0, 3),
        first=st.none() | st.sampled_from(PageEnd),
        ends=st.dictionaries(st.sampled_from(PageEnd), st.integers(1, 3), max_size=3),
        problem=st.sampled_from(["", "选项有误"]),
    ),
    st.booleans(),
)
def test_a_failure_never_looks_like_no_mentions(stats: CrawlStats, killed: bool) -> None:
    outcome, message = judge(stats, killed=killed, run_timeout_s=600)
    assert message
    if outcome is Outcome.EMPTY:
        assert stats.finish_reason == "finished"
        assert stats.n_failed == 0
        assert stats.n_bad == 0
        assert not killed
    if outcome in (Outcome.OK, Outcome.PARTIAL):
        assert stats.n_items
