from __future__ import annotations

import json
from datetime import timedelta

from dashboard import charts
from index.models import Alert, Sentiment
from tests.builders import NOW, a_record, ago


def test_hours_are_shown_for_a_day_and_days_for_a_week() -> None:
    assert charts.buckets(ago(hours=24), NOW).unit == "hour"
    assert charts.buckets(ago(days=7), NOW).unit == "day"


def test_days_begin_at_midnight_in_beijing() -> None:
    axis = charts.buckets(ago(days=7), NOW)
    assert axis.keys[0] == "2026-11-19"
    assert axis.keys[-1] == "2026-11-26"
    assert axis.starts[0].hour == 16


def test_the_axis_has_the_keys_that_the_store_groups_by() -> None:
    assert charts.buckets(ago(hours=2), NOW).keys == ("2026-11-26T08", "2026-11-26T09", "2026-11-26T10")


def test_what_nobody_has_read_yet_is_drawn_as_such() -> None:
    axis = charts.buckets(ago(hours=1), NOW)
    option = charts.trend(axis, {("2026-11-26T10", ""): 3, ("2026-11-26T10", "negative"): 2})
    data = {series["name"]: series["data"] for series in option["series"]}
    assert data["负面"] == [0, 2]
    assert data["未标注"] == [0, 3]


def test_an_alert_is_pinned_to_its_hour() -> None:
    axis = charts.buckets(ago(hours=3), NOW)
    option = charts.trend(axis, {}, [], [a_record(Alert, opened_at=ago(hours=1))])
    pins = option["series"][0]["markPoint"]["data"]
    assert [(pin["coord"][0], pin["value"]) for pin in pins] == [(2, "橙")]


def test_days_before_the_first_mention_are_no_normal_days() -> None:
    axis = charts.buckets(ago(hours=1), NOW)
    history = {(axis.key(axis.starts[-1] - timedelta(days=day)),): 10 for day in (1, 2)}
    assert charts.bands(axis, history)[-1] is None
    history = {(axis.key(axis.starts[-1] - timedelta(days=day)),): 10 for day in (1, 2, 3)}
    band = charts.bands(axis, history)[-1]
    assert band is not None
    assert band.usual == 10


def test_net_sentiment_stays_where_it_was_when_nothing_is_said() -> None:
    axis = charts.buckets(ago(hours=2), NOW)
    counts = {("2026-11-26T08", "positive"): 3, ("2026-11-26T08", "negative"): 1}
    assert charts.net_series(axis, counts) == [50.0, 50.0, 50.0]


def test_aspects_come_with_the_most_spoken_of_first() -> None:
    rows = charts.aspect_rows({("taste:negative",): 2, ("price:negative",): 5, ("taste:positive",): 9, ("",): 4})
    assert [name for name, _ in rows] == ["taste", "price"]
    assert rows[0][1][Sentiment.POSITIVE] == 9
    assert charts.aspects(rows)["yAxis"]["data"] == ["价格", "口味"]


def test_every_option_is_plain_json() -> None:
    axis = charts.buckets(ago(days=7), NOW)
    json.dumps(charts.trend(axis, {}, charts.bands(axis, {}), [a_record(Alert)]))


def test_the_chart_says_its_point_to_those_who_cannot_see_it() -> None:
    axis = charts.buckets(ago(hours=1), NOW)
    assert charts.trend_alt(axis, {("2026-11-26T10", "negative"): 2}) == (
        "声量与情感趋势: 共 2 条提及, 负面 2 条, 负面最多在 11-26 10:00, 2 条。"
    )
    assert charts.trend_alt(axis, {}) == "这段时间没有提及。"
