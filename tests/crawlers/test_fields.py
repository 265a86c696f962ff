"""Chinese times and counts, ids and URLs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawlers.fields import SHANGHAI, native_id, parse_count, parse_region, parse_time, plausible, url_key
from tests.crawlers.conftest import NOW


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("刚刚", "2026-11-26 12:00"),
        ("几秒前", "2026-11-26 12:00"),
        ("30秒前", "2026-11-26 11:59:30"),
        ("3分钟前", "2026-11-26 11:57"),
        ("3 分鐘前", "2026-11-26 11:57"),
        ("十五分钟前", "2026-11-26 11:45"),
        ("半小时前", "2026-11-26 11:30"),
        ("一小时前", "2026-11-26 11:00"),
        ("两小时半前", "2026-11-26 09:30"),
        ("1.5小时前", "2026-11-26 10:30"),
        ("3天前", "2026-11-23 12:00"),
        ("3天前 08:30", "2026-11-23 08:30"),
        ("两周前", "2026-11-12 12:00"),
        ("两个月前", "2026-09-26 12:00"),
        ("1年前", "2025-11-26 12:00"),
        ("昨天 12:30", "2026-11-25 12:30"),
        ("昨晚8点半", "2026-11-25 20:30"),
        ("前天", "2026-11-24 00:00"),
        ("大前天 9:05", "2026-11-23 09:05"),
        ("今天 08:30", "2026-11-26 08:30"),
        ("今天上午8点", "2026-11-26 08:00"),
        ("今天凌晨12:10", "2026-11-26 00:10"),
        ("09:30", "2026-11-26 09:30"),
        ("23:30", "2026-11-25 23:30"),
        ("周三", "2026-11-25 00:00"),
        ("周日 20:00", "2026-11-22 20:00"),
        ("上周五", "2026-11-20 00:00"),
        ("上週五 18:00", "2026-11-20 18:00"),
        ("星期四 08:00", "2026-11-26 08:00"),
        ("11-16 08:30", "2026-11-16 08:30"),
        ("11/16 08:30", "2026-11-16 08:30"),
        ("11月16日 08:30", "2026-11-16 08:30"),
        ("12月30日", "2025-12-30 00:00"),
        ("去年12月1日", "2025-12-01 00:00"),
        ("前年3月5日 10:00", "2024-03-05 10:00"),
        ("2月29日", "2024-02-29 00:00"),
        ("2026年11月16日 8:30", "2026-11-16 08:30"),
        ("2026年11月16日 星期一 08:30", "2026-11-16 08:30"),
        ("2026年11月16日下午3点20分", "2026-11-16 15:20"),
        ("2026-11-16 08:30", "2026-11-16 08:30"),
        ("2026-1-6 8:30:05", "2026-01-06 08:30:05"),
        ("2026/11/16", "2026-11-16 00:00"),
        ("2026.11.16", "2026-11-16 00:00"),
        ("23年5月6日", "2023-05-06 00:00"),
        ("发布于 2026-11-16 08:30", "2026-11-16 08:30"),
        ("发表于:11-16 08:30", "2026-11-16 08:30"),
        ("發佈於 3 小時前", "2026-11-26 09:00"),
        ("编辑于 昨天 10:00・IP属地上海", "2026-11-25 10:00"),
        ("最后更新时间：2026-11-16", "2026-11-16 00:00"),
        ("11-16 08:30 来自 iPhone客户端", "2026-11-16 08:30"),
        ("2026-11-16 08:30 IP属地：广东", "2026-11-16 08:30"),
    ],
)
def test_a_chinese_time_means_its_moment_in_beijing(said: str, meant: str) -> None:
    assert parse_time(said, now=NOW) == at(meant)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Fri, 02 Jan 2026 03:04:05 GMT", "2026-01-02T03:04:05+00:00"),
        ("Fri, 20 Nov 2026 10:00:00 +0800", "2026-11-20T10:00:00+08:00"),
        ("Fri Nov 20 10:00:00 +0800 2026", "2026-11-20T10:00:00+08:00"),
        ("2026-11-16T08:30:00+0800", "2026-11-16T08:30:00+08:00"),
        ("2026-11-16T08:30:00Z", "2026-11-16T08:30:00+00:00"),
        ("2026-11-16 08:30:00.123 +08:00", "2026-11-16T08:30:00.123+08:00"),
        ("2026-09-12T07:49:30-07:00", "2026-09-12T07:49:30-07:00"),
        ("1795651200", "2026-11-26T00:00:00+00:00"),
        ("1795651200000", "2026-11-26T00:00:00+00:00"),
        (1795651200, "2026-11-26T00:00:00+00:00"),
        (1795651200000, "2026-11-26T00:00:00+00:00"),
    ],
)
def test_an_offset_or_an_epoch_is_kept(said: object, meant: str) -> None:
    assert parse_time(said, now=NOW) == datetime.fromisoformat(meant)


def test_it_rolls_the_year_back_over_new_year() -> None:
    third_of_january = datetime(2027, 1, 3, 2, 0, tzinfo=UTC)
    assert parse_time("12月30日", now=third_of_january) == at("2026-12-30 00:00")
    assert parse_time("12-31 23:50", now=third_of_january) == at("2026-12-31 23:50")
    assert parse_time("01-02 08:00", now=third_of_january) == at("2027-01-02 08:00")


def test_it_keeps_the_year_when_the_page_is_an_hour_ahead_of_midnight() -> None:
    last_evening = datetime(2026, 12, 31, 15, 30, tzinfo=UTC)
    assert parse_time("1月1日 00:10", now=last_evening) == at("2027-01-01 00:10")


def test_the_day_of_a_relative_word_is_that_of_beijing() -> None:
    already_friday_in_beijing = datetime(2026, 11, 26, 17, 0, tzinfo=UTC)
    assert parse_time("今天 00:30", now=already_friday_in_beijing) == at("2026-11-27 00:30")
    assert parse_time("昨天 12:30", now=already_friday_in_beijing) == at("2026-11-26 12:30")


def test_dates_of_spreadsheet_cells_are_beijing_time() -> None:
    assert parse_time(datetime(2026, 11, 16, 8, 30), now=NOW) == at("2026-11-16 08:30")
    assert parse_time(date(2026, 11, 16), now=NOW) == at("2026-11-16 00:00")


@pytest.mark.parametrize(
    "said", ["", "  ", None, True, "某天", "13月45日", "2026-13-40", "25:99", "转发", "x" * 500, "1e999"]
)
def test_what_is_no_time_is_none(said: object) -> None:
    assert parse_time(said, now=NOW) is None


@pytest.mark.parametrize(
    ("said", "believed"),
    [("1970-01-01", False), ("2099-01-01", False), ("1994-06-01", False), ("2001-01-01", True), ("2026-11-27", True)],
)
def test_only_times_after_1995_and_up_to_a_day_ahead_are_plausible(said: str, believed: bool) -> None:
    assert plausible(at(said), NOW) is believed


@example(10**400)
@example(float("inf"))
@given(st.text(max_size=60) | st.floats() | st.integers())
def test_no_text_and_no_number_makes_it_raise(said: object) -> None:
    found = parse_time(said, now=NOW)
    assert found is None or found.tzinfo is not None


@given(st.datetimes(datetime(2000, 1, 1), datetime(2026, 11, 26, 12)))
def test_a_full_date_comes_back_as_it_was_written(moment: datetime) -> None:
    moment = moment.replace(second=0, microsecond=0, tzinfo=SHANGHAI)
    for form in (f"{moment:%Y-%m-%d %H:%M}", f"{moment:%Y/%m/%d %H:%M}", f"{moment:%Y年%m月%d日 %H:%M}"):
        assert parse_time(form, now=NOW) == moment


@given(st.datetimes(datetime(2025, 11, 28), datetime(2026, 11, 26, 12)))
def test_a_date_without_a_year_is_the_latest_one_that_has_been(moment: datetime) -> None:
    moment = moment.replace(second=0, microsecond=0, tzinfo=SHANGHAI)
    assert parse_time(f"{moment:%m-%d %H:%M}", now=NOW) == moment


@given(st.integers(1, 59), st.sampled_from(["秒", "秒钟", "分", "分钟"]))
def test_counting_back_is_exact(count: int, unit: str) -> None:
    assert parse_time(f"{count}{unit}前", now=NOW) == NOW - timedelta(seconds=count * (60 if unit[0] == "分" else 1))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("1.5万", 15_000),
        ("100万+", 1_000_000),
        ("3,456", 3_456),
        ("1.2亿", 120_000_000),
        ("2.3w", 23_000),
        ("1k", 1_000),
        ("12", 12),
        ("赞(12)", 12),
        ("转发", None),
        ("评论", None),
        ("", None),
        (None, None),
        ("-3", None),
        (-3, None),
        (True, None),
        (15, 15),
        (15.0, 15),
        (float("nan"), None),
    ],
)
def test_a_chinese_count_is_a_number_or_none(said: object, meant: int | None) -> None:
    assert parse_count(said) == meant


@given(st.text(max_size=40) | st.floats() | st.integers())
def test_a_count_is_never_negative_and_never_raises(said: object) -> None:
    found = parse_count(said)
    assert found is None or found >= 0


def test_the_region_is_read_from_the_ip_note() -> None:
    assert parse_region("11-16 08:30 IP属地：广东") == "广东"
    assert parse_region("昨天 來自上海") is None


def test_a_url_key_ignores_order_fragment_and_trackers_but_keeps_ids() -> None:
    plain = url_key("https://a.example/p?id=7&page=2")
    assert url_key("https://a.example/p?page=2&utm_source=x&id=7&spm=a.b#top") == plain
    assert url_key("https://a.example/p?id=8&page=2") != plain


@given(st.text(max_size=80))
def test_a_url_key_never_raises(url: str) -> None:
    assert url_key(url) is not None


def test_a_native_id_is_kept_when_it_is_short_and_hashed_when_it_is_a_url() -> None:
    assert native_id("4967-abc_1") == "4967-abc_1"
    hashed = native_id("https://a.example/p?id=1&utm_source=rss")
    assert hashed == native_id("", "https://a.example/p?id=1")
    assert len(hashed) == 24
