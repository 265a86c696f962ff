"""How unlikely a window's count is against the topic's own past: a negative binomial tail.

What is normal is the mean of the same hours of past weeks and of the same hours of the last days, each
brought to today's level by the ratio of the seven-day totals before it (slow trend). The spread is that
of a negative binomial: its dispersion is pooled over the whole past from pairs of windows one week
apart, and the uncertainty of the mean itself is added. Sources that were down in the window are left out
of both sides; past windows are left out or scaled up by the share of sources that could be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alerts.series import DAY_SLOTS, SLOT_S, WEEK_SLOTS, Bools, Floats, Ints, Series

HOUR_SLOTS = 3600 // SLOT_S
RECENT_SLOTS = 12 * HOUR_SLOTS
MIN_COVERAGE = 0.5
MIN_SAMPLES = 3
MIN_DISPERSION, MAX_DISPERSION = 0.01, 1.0
LEVEL_PRIOR = 10.0
"""Mentions added to both seven-day totals, so that a ratio of tiny totals says little."""
LEVEL_RANGE = (0.5, 2.0)
DAY_WEIGHT = 0.5
NEIGHBOUR_WEIGHT = 0.5
TRIM = 0.2
PAIRS_KEPT, CALM_SHARE = 0.97, 0.76
"""The calmest 97 % of the pairs make the dispersion; they hold so much of the spread of all (found on made series
without bursts: 0.83 for a normal spread, less for the heavier tails of counts)."""
MEAN_PRIOR = 0.3
"""Weight of the all-hours mean, in samples."""


@dataclass(frozen=True, slots=True)
class Window:
    """The count now and what was to be expected; probability is P(count or more)."""

    count: int
    severe: int
    words: int
    expected: float
    spread: float
    probability: float
    recent_probability: float
    """The same tail if the last 12 h, where they ran above normal, are taken as the new normal."""


def tail(count: int, mean: float, dispersion: float) -> float:
    """P(X >= count) for a negative binomial with this mean and variance mean + dispersion * mean**2."""
    from scipy.special import betainc

    if count <= 0:
        return 1.0
    size = 1.0 / dispersion
    return float(betainc(count, size, mean / (size + mean)))


def seen_sources(series: Series, start: int, stop: int) -> Bools:
    """Which sources could be seen through the whole of [start, stop) and most of the week before it."""
    now = series.total("down", start, stop) == 0
    before = series.total("down", start - WEEK_SLOTS, start) * 2 < WEEK_SLOTS
    return np.asarray(now & before)


def window(series: Series, *, stop: int, length: int, weeks: int, at_least: int) -> Window | None:
    """The window of `length` slots that ends at `stop`; None if it is small, normal or without a past."""
    start = stop - length
    seen = seen_sources(series, start, stop)
    count = int(series.total("counts", start, stop)[seen].sum())
    if count < at_least:
        return None
    before, weights = _past_windows(length, weeks)
    starts = start - before
    usable, coverage = _coverage(series, seen, starts, length, start)
    if int(usable.sum()) < MIN_SAMPLES:
        return None
    starts, weights, coverage = starts[usable], weights[usable], coverage[usable]
    samples = series.total("counts", starts, starts + length)[seen].sum(axis=0) / coverage
    levels = _level(series, seen, np.append(starts, start))
    samples = samples * np.clip(levels[-1] / levels[:-1], *LEVEL_RANGE)
    samples = samples * _weekday_ratio(series, seen, start, start - starts, weeks)
    usual, weight = _trimmed_mean(samples, weights)
    overall = float(levels[-1]) * length / WEEK_SLOTS
    mean = (weight * usual + MEAN_PRIOR * overall) / (weight + MEAN_PRIOR)
    if count <= 1.5 * mean:
        return None
    own = _dispersion(series, seen, start, length, weeks)
    doubt = (1 / mean + own) / _worth(weights, length)
    dispersion = own + doubt
    recent = _recent_mean(series, seen, start, weeks, mean, length)
    return Window(
        count=count,
        severe=int(series.total("severe", start, stop)[seen].sum()),
        words=int(series.total("words", start, stop)[seen].sum()),
        expected=mean,
        spread=float(np.sqrt(mean + own * mean**2)),
        probability=tail(count, mean, dispersion),
        recent_probability=tail(count, recent, dispersion),
    )


def _worth(weights: Floats, length: int) -> float:
    """How many independent samples the weighted ones are worth; long windows overlap, trimming costs a little."""
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return max(1.0, 0.5 * effective * min(1.0, 2 * HOUR_SLOTS / length))


def _trimmed_mean(samples: Floats, weights: Floats) -> tuple[float, float]:
    """Mean without the outer fifths, so that a past crisis at the same hour does not become the normal.

    Trimmed as square roots, in which counts are symmetric (Anscombe): else the mean of few would come out low.
    """
    order = np.argsort(samples)
    samples, weights = np.sqrt(samples[order] + 3 / 8), weights[order]
    ends = np.cumsum(weights)
    total = float(ends[-1])
    low, high = TRIM * total, (1 - TRIM) * total
    kept = np.clip(np.minimum(ends, high) - np.maximum(ends - weights, low), 0, None)
    return max(0.0, float(kept @ samples / kept.sum()) ** 2 - 1 / 8), total


@lru_cache(maxsize=64)
def _past_windows(length: int, weeks: int) -> tuple[Ints, Floats]:
    """Of the windows that say what is normal: how far before the window's start each begins, and its weight."""
    near = min(max(length, HOUR_SLOTS), 2 * HOUR_SLOTS)
    chosen: dict[int, float] = {}
    for week in range(1, weeks + 1):
        for shift, weight in ((-near, NEIGHBOUR_WEIGHT), (0, 1.0), (near, NEIGHBOUR_WEIGHT)):
            chosen[week * WEEK_SLOTS - shift] = weight
    for day in range(1, 7):
        chosen.setdefault(day * DAY_SLOTS, DAY_WEIGHT)
    past = {before: weight for before, weight in chosen.items() if before >= length}
    return np.array(list(past), dtype=np.int64), np.array(list(past.values()))


def _coverage(series: Series, seen: Bools, starts: Ints, length: int, start: int) -> tuple[Bools, Floats]:
    """Which past windows can be used, and the share of the usual mentions that could be seen in each."""
    shares = (series.total("counts", int(starts.min()), start) + 1) * seen
    shares = shares / max(1, shares.sum())
    up = series.total("down", starts, starts + length) == 0
    coverage = shares @ up
    usable = (coverage >= MIN_COVERAGE) & (starts >= series.first)
    return usable, np.maximum(coverage, MIN_COVERAGE)


def _level(series: Series, seen: Bools, starts: Ints) -> Floats:
    """Mentions in the seven days before each start, scaled up for what could not be seen."""
    counts = series.total("counts", starts - WEEK_SLOTS, starts)[seen].sum(axis=0)
    lost = series.total("down", starts - WEEK_SLOTS, starts)[seen]
    shares = series.total("counts", int(starts.min()) - WEEK_SLOTS, int(starts.max()))[seen] + 1.0
    before = np.clip(series.first - (starts - WEEK_SLOTS), 0, WEEK_SLOTS)
    lost_share = (shares @ (lost + before)) / (shares.sum() * WEEK_SLOTS) if len(shares) else np.zeros(len(starts))
    return np.asarray((counts + LEVEL_PRIOR) / np.clip(1 - lost_share, 0.1, 1))


def _weekday_ratio(series: Series, seen: Bools, start: int, before: Ints, weeks: int) -> Floats:
    """What makes a sample of another weekday one of today's: the ratio of both weekdays' totals over the weeks."""
    ratio = np.ones(len(before))
    other_day = (before < WEEK_SLOTS) & (before % DAY_SLOTS == 0)
    if not other_day.any():
        return ratio
    back = np.arange(weeks) * WEEK_SLOTS
    today = _day_rate(series, seen, start - WEEK_SLOTS - back[None, :])
    others = _day_rate(series, seen, start - before[other_day][:, None] - back[None, :])
    ratio[other_day] = np.clip(today / others, *LEVEL_RANGE)
    return ratio


def _day_rate(series: Series, seen: Bools, middles: Ints) -> Floats:
    """Mentions a slot over the days around these slots, a row of them at a time, of what could be seen."""
    begin, end = middles - DAY_SLOTS // 2, middles + DAY_SLOTS // 2
    counts = series.total("counts", begin, end)[seen].sum(axis=(0, 2))
    down = series.total("down", begin, end)[seen].sum(axis=(0, 2))
    inside = np.clip(end - series.first, 0, DAY_SLOTS).sum(axis=1) * int(seen.sum())
    return np.asarray((counts + LEVEL_PRIOR) / np.maximum(inside - down, 1) + 1e-12)


def _dispersion(series: Series, seen: Bools, start: int, length: int, weeks: int) -> float:
    """Pooled over pairs (a, b) of windows a week apart: E[(a-b)^2 - a - b] = 2 k m^2 and E[ab] = m^2."""
    per_week = max(1, WEEK_SLOTS // length)
    offsets = np.arange(1, weeks * per_week + 1) * length
    later = start - offsets
    earlier = later - WEEK_SLOTS
    known = earlier >= series.first
    later, earlier = later[known], earlier[known]
    if len(later) < MIN_SAMPLES:
        return 0.2
    both_up = (series.total("down", later, later + length)[seen].sum(axis=0) == 0) & (
        series.total("down", earlier, earlier + length)[seen].sum(axis=0) == 0
    )
    a = series.total("counts", later, later + length)[seen].sum(axis=0)[both_up].astype(float)
    b = series.total("counts", earlier, earlier + length)[seen].sum(axis=0)[both_up].astype(float)
    if len(a) < MIN_SAMPLES:
        return 0.2
    # Past crises are no noise: the wildest pairs are left out, and what is left is scaled for it.
    wildness = (a - b) ** 2 / np.maximum(a + b, 1)
    calm = wildness <= np.quantile(wildness, PAIRS_KEPT)
    a, b = a[calm], b[calm]
    squares = float((a * b).sum())
    if squares <= 0:
        return 0.2
    found = float(((a - b) ** 2 / CALM_SHARE - a - b).sum()) / (2 * squares)
    return min(max(found, MIN_DISPERSION), MAX_DISPERSION)


def _recent_mean(series: Series, seen: Bools, start: int, weeks: int, mean: float, length: int) -> float:
    """What the window would hold if it ran as far above its mean as the 12 h before it ran above those of past weeks.

    Above by a factor or by so many mentions, whichever is less: the factor of a burst that began at night, when
    nearly nothing is usual, would explain any count of the morning.
    """
    now = float(series.total("counts", start - RECENT_SLOTS, start)[seen].sum())
    ends = start - np.arange(1, weeks + 1) * WEEK_SLOTS
    known = (ends - RECENT_SLOTS >= series.first) & (
        series.total("down", ends - RECENT_SLOTS, ends)[seen].sum(axis=0) == 0
    )
    if not known.any():
        return mean
    ends = ends[known]
    usual = float(series.total("counts", ends - RECENT_SLOTS, ends)[seen].sum(axis=0).mean())
    more = max(0.0, now - usual)
    return min(mean * (1 + more / (usual + 3)), mean + more * length / RECENT_SLOTS)
