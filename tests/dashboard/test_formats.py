from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import formats
from tests.builders import NOW, ago


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (ago(minutes=5), "今天 10:25"),
        (ago(hours=10, minutes=31), "昨天 23:59"),
        (ago(days=10), "11-16 10:30"),
        (ago(days=400), "2025-10-22 10:30"),
        (None, "–"),
    ],
)
def test_a_time_says_as_much_as_is_needed(at: datetime | None, shown: str) -> None:
    assert formats.when(at, NOW) == shown


def test_it_keeps_the_year_on_new_years_morning() -> None:
    now = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    assert formats.when(now - timedelta(days=2), now) == "2025-12-30 08:30"


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (1234, "1,234"), (99_999, "99,999"), (123_456, "12.3万"), (None, "–")]
)
def test_large_numbers_are_counted_in_ten_thousands(value: int | None, shown: str) -> None:
    assert formats.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(720, "剩 12 分钟"), (3 * 3600 + 60, "剩 3 小时 1 分"), (-90, "超时 1 分钟"), (-30, "超时 30 秒")],
)
def test_time_left_turns_into_time_over(seconds: int, shown: str) -> None:
    assert formats.left(NOW + timedelta(seconds=seconds), NOW) == shown


@given(st.integers(0, 10**8))
def test_a_span_never_shows_a_unit_of_nothing(seconds: int) -> None:
    assert " 0 " not in f" {formats.span(seconds)} " or seconds < 1
