"""The rhythm and the curves."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sample.posts import dated
from sample.timeline import BEIJING, scaled, spread

INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
CURVES = st.lists(st.integers(0, 90), min_size=1, max_size=8).map(tuple)


@given(st.integers(0, 60), INSTANTS, st.integers(1, 100), st.integers())
def test_spread_stays_within_its_span_in_order(n: int, since: datetime, hours: int, seed: int) -> None:
    until = since + timedelta(hours=hours)
    times = spread(n, since, until, Random(seed))
    assert len(times) == n
    assert times == sorted(times)
    assert all(since <= at < until for at in times)


def test_mornings_and_evenings_are_busier_than_the_night() -> None:
    since = datetime(2026, 11, 1, 16, tzinfo=UTC)
    times = spread(5000, since, since + timedelta(days=28), Random(1))
    by_hour = Counter(at.astimezone(BEIJING).hour for at in times)
    assert by_hour[3] * 8 < by_hour[9]
    assert by_hour[3] * 8 < by_hour[21]


@given(CURVES, st.integers(0, 400))
def test_a_scaled_curve_sums_to_what_there_is(curve: tuple[int, ...], total: int) -> None:
    small = scaled(curve, total)
    assert sum(small) == min(total, sum(curve))
    assert all(0 <= part <= whole + 1 for part, whole in zip(small, curve, strict=True))


@given(st.integers(9, 16), INSTANTS)
def test_no_day_that_a_crisis_text_names_lies_after_the_start(day: int, anchor_at: datetime) -> None:
    start = anchor_at.astimezone(BEIJING).date()
    named = int(dated(f"我{day}日下午买的", anchor_at)[1:].partition("日")[0])
    assert named in {(start - timedelta(days=back)).day for back in range(6)}


def test_what_is_no_day_is_left_alone() -> None:
    text = "一号线12号口，排队第87位，12:30下单，12号店，3号买的，2026-11-12"
    assert dated(text, datetime(2026, 6, 20, tzinfo=UTC)) == text
