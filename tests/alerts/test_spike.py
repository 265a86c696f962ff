"""What counts as unlikely against a topic's own past."""

from __future__ import annotations

import numpy as np
import pytest

from alerts import spike
from alerts.series import DAY_SLOTS, WEEK_SLOTS, Series
from alerts.spike import HOUR_SLOTS, Window

NINE = 9 * HOUR_SLOTS


def test_a_burst_that_grew_since_the_small_hours_is_not_explained_by_its_own_beginning() -> None:
    counts = quiet_nights()
    for hours_before, n in ((6, 2), (5, 5), (4, 11), (3, 22), (2, 32), (1, 42)):
        counts[:, -hours_before * HOUR_SLOTS] += n

    found = hour_before_nine(counts)

    assert found.count >= 42
    assert found.recent_probability < 1e-3


def test_an_hour_like_the_loud_ones_before_it_is_explained_by_them() -> None:
    counts = quiet_nights()
    counts[:, -12 * HOUR_SLOTS :: HOUR_SLOTS] += 42

    found = hour_before_nine(counts)

    assert found.probability < 1e-4
    assert found.recent_probability > 1e-2


@pytest.mark.parametrize("n", [12, 30, 90])
def test_more_before_the_window_never_makes_the_window_less_likely_to_be_explained(n: int) -> None:
    few, many = quiet_nights(), quiet_nights()
    for counts in (few, many):
        counts[:, -HOUR_SLOTS] += 40
    few[:, -5 * HOUR_SLOTS] += n
    many[:, -5 * HOUR_SLOTS] += 2 * n

    assert hour_before_nine(many).recent_probability >= hour_before_nine(few).recent_probability


def quiet_nights() -> np.ndarray:
    """Five weeks up to nine in the morning: from eight to eight six an hour, then none."""
    slots = np.arange(5 * WEEK_SLOTS + NINE)
    hour = slots % DAY_SLOTS // HOUR_SLOTS
    at_the_hour = slots % HOUR_SLOTS == 0
    return np.where(at_the_hour & (hour >= 8) & (hour < 20), 6, 0)[None, :].astype(np.int64)


def hour_before_nine(counts: np.ndarray) -> Window:
    nothing = np.zeros_like(counts)
    series = Series(0, ("site",), counts, nothing, nothing, nothing.astype(bool))
    found = spike.window(series, stop=counts.shape[1], length=HOUR_SLOTS, weeks=4, at_least=10)
    assert found is not None
    return found
