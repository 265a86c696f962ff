"""The spike rule on made series with planted bursts: recall, delay and false alarms a week.

    python -m alerts.bench

Two sources, day and week rhythm, a slow trend, two gaps in which one source was down and whose backlog
arrives at its end with wrong times; counts are Poisson or overdispersed (a gamma-drawn level an hour).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from alerts.facts import SETTLE
from alerts.rules import Facts
from alerts.series import DAY_SLOTS, SLOT, SLOT_S, WEEK_SLOTS, Floats, Ints, Series, slot_of, slot_start
from alerts.trial import try_facts
from index.models import Rule

HOUR_SLOTS = 3600 // SLOT_S
START = datetime(2026, 1, 4, 16, tzinfo=UTC)
"""A Monday, 00:00 in Beijing."""
WARM_WEEKS = 5
N_WEEKS = 13
BURST_HOURS = 3
DAY_RHYTHM = np.array(
    [5, 3, 2, 1, 1, 2, 4, 8, 11, 13, 14, 14, 15, 14, 13, 13, 13, 14, 15, 17, 19, 20, 16, 10], dtype=float
)
WEEK_RHYTHM = np.array([1.0, 1.0, 1.0, 1.0, 1.1, 0.8, 0.7])
SHARES = (0.65, 0.35)


@dataclass(frozen=True, slots=True)
class Made:
    """A series, what was planted in it (first slots), and how much an hour is usual at each."""

    facts: Facts
    bursts: tuple[int, ...]
    usual: tuple[float, ...]


def make(*, per_hour: float, factor: float, dispersion: float, seed: int, gaps: bool = True) -> Made:
    """N_WEEKS of counts; factor 1 plants nothing."""
    dice = np.random.default_rng(seed)
    first = slot_of(START)
    rate = _rate(per_hour)
    if dispersion > 0:
        hours = len(rate) // HOUR_SLOTS
        rate = rate * np.repeat(dice.gamma(1 / dispersion, dispersion, hours), HOUR_SLOTS)
    bursts = _plant(rate, per_hour, factor, dice)
    usual = tuple(float(_rate(per_hour)[at : at + BURST_HOURS * HOUR_SLOTS].sum() / BURST_HOURS) for at in bursts)
    lifted = rate.copy()
    for at in bursts:
        lifted[at : at + BURST_HOURS * HOUR_SLOTS] += (factor - 1) * _rate(per_hour)[at : at + BURST_HOURS * HOUR_SLOTS]
    counts = np.stack([dice.poisson(lifted * share) for share in SHARES]).astype(np.int64)
    down = np.zeros(counts.shape, dtype=np.bool_)
    if gaps:
        _cut_gaps(counts, down, bursts, dice)
    nothing = np.zeros_like(counts)
    series = Series(first=first, sources=("a", "b"), counts=counts, severe=nothing, words=nothing, down=down)
    days = tuple(slot_start(first + day * DAY_SLOTS) for day in range(N_WEEKS * 7))
    facts = Facts(topic="made", topic_name="made", series=series, active_days=days)
    return Made(facts=facts, bursts=tuple(first + at for at in bursts), usual=usual)


def _rate(per_hour: float) -> Floats:
    """Mentions a slot: day and week rhythm around the mean, growing by 3 % a week."""
    day = np.repeat(DAY_RHYTHM / DAY_RHYTHM.mean(), HOUR_SLOTS)
    week = np.concatenate([day * weight / WEEK_RHYTHM.mean() for weight in WEEK_RHYTHM])
    trend = 1.03 ** (np.arange(N_WEEKS * WEEK_SLOTS) / WEEK_SLOTS - WARM_WEEKS)
    return np.asarray(np.tile(week, N_WEEKS) * trend * per_hour / HOUR_SLOTS)


def _plant(rate: Floats, per_hour: float, factor: float, dice: np.random.Generator) -> list[int]:
    """One burst every second week after the warm-up, at an hour in which at least per_hour is usual."""
    if factor <= 1:
        return []
    usual = _rate(per_hour) * HOUR_SLOTS
    planted = []
    for week in range(WARM_WEEKS, N_WEEKS, 2):
        slots = np.arange(week * WEEK_SLOTS, (week + 1) * WEEK_SLOTS - DAY_SLOTS // 2)
        fitting = [
            slot
            for slot in slots[::HOUR_SLOTS]
            if usual[slot] >= per_hour and usual[min(slot + BURST_HOURS * HOUR_SLOTS, len(rate) - 1)] >= per_hour
        ]
        planted.append(int(dice.choice(fitting)))
    return planted


def _cut_gaps(counts: Ints, down: Any, bursts: list[int], dice: np.random.Generator) -> None:
    """A source is down for 6 to 30 hours; a third of what it missed comes at once with the time of its return."""
    settle = int(SETTLE / SLOT)
    for week in (WARM_WEEKS - 2, WARM_WEEKS + 1, WARM_WEEKS + 3, WARM_WEEKS + 6):
        length = int(dice.integers(6, 31)) * HOUR_SLOTS
        begin = week * WEEK_SLOTS + int(dice.integers(0, 5 * DAY_SLOTS))
        end = begin + length
        if any(begin - DAY_SLOTS <= at <= end + DAY_SLOTS for at in bursts):
            continue
        row = int(dice.integers(0, len(SHARES)))
        backlog = int(counts[row, begin:end].sum() // 3)
        counts[row, begin:end] = 0
        counts[row, end] += backlog
        down[row, begin + HOUR_SLOTS // 2 : end + settle] = True


def measure(rule: Rule, *, per_hour: float, factor: float, dispersion: float, n_series: int) -> dict[str, float]:
    """Bursts found while they lasted (or up to a window later), minutes until then, alarms elsewhere a week."""
    window = rule.window_m * 60 // SLOT_S
    found, delays, n_bursts, n_false = 0, [], 0, 0
    for seed in range(n_series):
        made = make(per_hour=per_hour, factor=factor, dispersion=dispersion, seed=seed)
        since = START + timedelta(weeks=WARM_WEEKS)
        until = START + timedelta(weeks=N_WEEKS)
        at = [slot_of(breach.at) for breach in try_facts(rule, made.facts, since, until)]
        n_bursts += len(made.bursts)
        explained: set[int] = set()
        for burst in made.bursts:
            hits = [slot for slot in at if burst < slot <= burst + BURST_HOURS * HOUR_SLOTS + window]
            explained.update(hits)
            if hits:
                found += 1
                delays.append((min(hits) - burst) * SLOT_S / 60)
        n_false += sum(slot not in explained for slot in at)
    weeks = n_series * (N_WEEKS - WARM_WEEKS)
    return {
        "recall": round(found / n_bursts, 3) if n_bursts else float("nan"),
        "delay_m": round(float(np.median(delays)), 1) if delays else float("nan"),
        "false_per_week": round(n_false / weeks, 3),
        "n_bursts": n_bursts,
        "weeks": weeks,
    }


def spike_rule() -> Rule:
    """The rule as it is by default."""
    return Rule(id="bench", name="bench", kind="spike")


def run(*, n_series: int = 3) -> dict[str, Any]:
    """Rows by mean mentions an hour, size of the burst and kind of counts; for `make bench` and the docs."""
    rows = []
    for dispersion, counts in ((0.0, "poisson"), (0.1, "overdispersed")):
        for per_hour in (5.0, 20.0, 80.0):
            for factor in (2.0, 3.0, 5.0):
                found = measure(
                    spike_rule(), per_hour=per_hour, factor=factor, dispersion=dispersion, n_series=n_series
                )
                rows.append({"counts": counts, "per_hour": per_hour, "factor": factor, **found})
    return {"rule": {"window_m": 60, "at_least": 10, "probability": 1e-4, "baseline_weeks": 4}, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """The rows as a Markdown table."""
    names = ("counts", "per_hour", "factor", "recall", "delay_m", "false_per_week")
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in result["rows"]]
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(run(), ensure_ascii=False, allow_nan=True))
