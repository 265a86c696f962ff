from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dashboard import filters
from dashboard.filters import Filters
from index.models import ASPECTS, Intent, Sentiment
from tests.builders import NOW, ago

MINUTES = st.integers(0, 10**6).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n))
ID = st.text("abcxyz0189:-_", min_size=1, max_size=8)
IDS = st.lists(ID, max_size=3).map(tuple)
FILTERS = st.builds(
    Filters,
    topic=st.none() | ID,
    window=st.sampled_from([filters.TODAY, filters.DAY, filters.WEEK, filters.MONTH]),
    platforms=IDS,
    text=st.text(max_size=20),
    sentiments=st.lists(st.sampled_from(list(Sentiment)), unique=True).map(tuple),
    intents=st.lists(st.sampled_from(list(Intent)), unique=True).map(tuple),
    severity=st.sampled_from([None, 1, 2]),
    aspects=st.lists(st.sampled_from(ASPECTS), unique=True).map(tuple),
    sources=IDS,
    all_copies=st.booleans(),
    since=st.none() | MINUTES,
    until=st.none() | MINUTES,
    story=st.none() | ID,
    persona=st.none() | ID,
    customer=st.none() | ID,
    polarity=st.none() | st.sampled_from(list(Sentiment)),
    unsure=st.booleans(),
    hidden=st.booleans(),
)


@given(FILTERS)
def test_a_link_opens_the_very_view_it_was_made_from(chosen: Filters) -> None:
    again = filters.from_params(chosen.params())
    assert again == chosen
    assert again.query(NOW) == chosen.query(NOW)


@given(st.dictionaries(st.sampled_from(sorted(filters.PARAMS)), st.lists(st.text(max_size=12), max_size=3)))
def test_any_url_can_be_read(params: dict[str, list[str]]) -> None:
    filters.from_params(params).query(NOW)


def test_chosen_days_are_whole_days_in_beijing() -> None:
    chosen = filters.from_params({"time": ["custom"], "days": ["2026-11-20", "2026-11-21"]})
    assert chosen.period(NOW) == (datetime(2026, 11, 19, 16, tzinfo=UTC), datetime(2026, 11, 21, 16, tzinfo=UTC))


def test_today_begins_at_midnight_in_beijing() -> None:
    assert Filters(window=filters.TODAY).period(NOW)[0] == datetime(2026, 11, 25, 16, tzinfo=UTC)


def test_the_period_before_is_as_long_and_ends_where_this_one_begins() -> None:
    chosen = Filters(window=filters.WEEK)
    since, until = chosen.period(NOW)
    assert chosen.before(NOW) == (since - timedelta(days=7), since)
    assert until - since == timedelta(days=7)


def test_a_view_keeps_its_query_for_a_minute_so_that_it_can_be_cached() -> None:
    assert Filters().query(NOW) == Filters().query(NOW + timedelta(seconds=59))


def test_a_story_is_shown_with_all_its_copies() -> None:
    assert Filters().query(NOW).copies == "fold"
    assert Filters(story="weibo:1").query(NOW).copies == "all"


def test_an_hour_from_a_chart_goes_before_the_chosen_time() -> None:
    chosen = Filters(window=filters.MONTH, since=ago(hours=2), until=ago(hours=1))
    assert chosen.period(NOW) == (ago(hours=2), ago(hours=1))
