"""When things are written: the rhythm of day and week, a slow growth, and the curve of the planted crisis."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from random import Random

BEIJING = timezone(timedelta(hours=8))
PAST_DAYS = 30
LAUNCH_DAYS = 6
"""The seasonal product has been on sale for this long."""
CRISIS_HOURS = 6

# Share of a day's posts by Beijing hour: two coffee breaks, lunch, the evening.
BY_HOUR = (14, 8, 5, 3, 3, 5, 14, 34, 58, 62, 56, 52, 58, 60, 58, 62, 56, 50, 52, 56, 62, 66, 54, 32)
BY_WEEKDAY = (0.96, 0.95, 0.97, 1.0, 1.1, 1.08, 0.98)
FUTURE_PER_HOUR = 6.0
"""Mean number of ordinary posts an hour once the site runs."""

# First-hand posts and copies for each of the six hours before the start, and for the hours after it.
CRISIS_BEFORE = (2, 5, 11, 22, 32, 42)
COPIES_BEFORE = (0, 3, 14, 38, 62, 83)
CRISIS_AFTER = (42, 38, 31, 24, 17, 12, 9, 7, 5, 4, 3, 3, 2, 2, 1, 1)
COPIES_AFTER = (60, 38, 22, 12, 8, 5, 3, 2, 1)


def weight(at: datetime) -> float:
    """Relative rate of ordinary posts at an instant (1.0 is the mean over a week)."""
    local = at.astimezone(BEIJING)
    return BY_HOUR[local.hour] * len(BY_HOUR) / sum(BY_HOUR) * BY_WEEKDAY[local.weekday()]


def spread(n: int, since: datetime, until: datetime, rng: Random, *, growth: float = 1.0) -> list[datetime]:
    """n instants in [since, until) that follow the rhythm, in order; the rate grows `growth`-fold over the span.

    Stratified (one draw in each n-th part of the mass), so that small samples follow the rhythm too.
    """
    hours = max(1, round((until - since) / timedelta(hours=1)))
    step = (until - since) / hours
    rates = [weight(since + step * (k + 0.5)) * growth ** (k / hours) for k in range(hours)]
    mass = [0.0, *accumulate(rates)]
    found = []
    for i in range(n):
        target = (i + rng.random()) / n * mass[-1]
        k = min(bisect_right(mass, target) - 1, hours - 1)
        found.append(since + step * (k + (target - mass[k]) / rates[k]))
    return sorted(found)


def within_hour(n: int, hour: datetime, rng: Random) -> list[datetime]:
    return sorted(hour + timedelta(seconds=rng.uniform(0, 3599)) for _ in range(n))


def scaled(curve: tuple[int, ...], total: int) -> list[int]:
    """The curve shrunk so that it sums to `total` at most (rounding keeps the sum), its steepness kept."""
    whole = sum(curve)
    if total >= whole:
        return list(curve)
    marks = [round(mark * total / whole) for mark in accumulate(curve)]
    return [mark - before for mark, before in zip(marks, [0, *marks], strict=False)]
