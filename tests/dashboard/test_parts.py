from __future__ import annotations

from datetime import timedelta

from dashboard import parts
from index.models import Source
from tests.builders import NOW, a_record, ago


def a_source(**changes: object) -> Source:
    good = {"last_outcome": "ok", "last_success_at": ago(minutes=10), "every_s": 900}
    source: Source = a_record(Source, **{**good, **changes})
    return source


def test_fresh_sources_are_counted_and_the_line_is_calm() -> None:
    found = parts.freshness([a_source(), a_source(last_outcome="empty")], NOW)
    assert found == parts.Freshness("数据更新于 10:20 · 2 个来源正常", amber=False)


def test_a_failed_source_never_looks_like_one_without_news() -> None:
    found = parts.freshness([a_source(), a_source(last_outcome="blocked")], NOW)
    assert found.amber
    assert found.text.endswith("1 个来源正常, 1 个异常")


def test_a_source_older_than_two_periods_is_amber_whatever_its_last_outcome_was() -> None:
    assert parts.freshness([a_source(last_success_at=NOW - timedelta(minutes=32))], NOW).amber
    assert not parts.freshness([a_source(last_success_at=NOW - timedelta(minutes=30))], NOW).amber


def test_a_new_source_is_waited_for_and_one_that_is_off_does_not_count() -> None:
    new = a_source(last_outcome=None, last_success_at=None)
    assert parts.freshness([new], NOW) == parts.Freshness("1 个来源等待首次采集", amber=False)
    assert parts.freshness([a_source(enabled=False)], NOW).text == "没有启用的来源, 不会有新数据"


def test_an_unfinished_query_marks_nothing() -> None:
    assert parts.words("咖啡 (拉肚子") == ()
    assert parts.words("咖啡 -加盟") == ("咖啡",)
