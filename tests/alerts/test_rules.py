from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from alerts import bench, spike
from alerts.facts import down_ranges
from alerts.rules import CROWD, Facts, evaluate
from alerts.series import DAY_SLOTS, WEEK_SLOTS, Series, end_slot, slot_of, slot_of_key, slot_start
from alerts.trial import try_facts
from index.models import Breach, Level, Outcome, Rule
from tests.builders import NOW, a_mention, a_persona, a_record, some_labels

STOP = slot_of(NOW)
WEEKS = 6
N_SLOTS = WEEKS * WEEK_SLOTS


def a_rule(kind: str = "spike", **changes: object) -> Rule:
    rule: Rule = a_record(Rule, id="r").but(kind=kind, **changes)
    return rule


def some_facts(counts: np.ndarray, *, severe: np.ndarray | None = None, days: int = 42) -> Facts:
    """One source, the slots up to NOW."""
    nothing = np.zeros_like(counts)
    series = Series(
        first=STOP - counts.shape[1],
        sources=("feed",),
        counts=counts,
        severe=nothing if severe is None else severe,
        words=nothing,
        down=np.zeros(counts.shape, dtype=np.bool_),
    )
    active = tuple(slot_start(STOP - day * DAY_SLOTS) for day in range(days, -1, -1))
    return Facts(topic="t", topic_name="山岚咖啡", series=series, active_days=active)


def steady(per_slot: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(per_slot, (1, N_SLOTS)).astype(np.int64)


def with_window(counts: np.ndarray, n: int) -> np.ndarray:
    changed = counts.copy()
    changed[:, -12:] = 0
    changed[:, -6] = n
    return changed


def alarm(counts: np.ndarray, rule: Rule | None = None, **more: object) -> Breach | None:
    found = evaluate(rule or a_rule(), some_facts(counts, **more), NOW)
    return found[0] if found else None


class TestSpike:
    @given(st.floats(0, 4), st.integers(0, 400), st.integers(1, 200), st.integers(0, 50))
    @hypothesis_settings(max_examples=60, deadline=None)
    def test_more_mentions_never_mean_less_alarm(self, per_slot: float, n: int, more: int, seed: int) -> None:
        base = steady(per_slot, seed)
        less, greater = alarm(with_window(base, n)), alarm(with_window(base, n + more))
        if less is not None:
            assert greater is not None
            assert greater.level.rank >= less.level.rank
            assert (greater.probability or 0) <= (less.probability or 0)

    @given(st.integers(0, 9), st.integers(0, 50))
    @hypothesis_settings(max_examples=30, deadline=None)
    def test_it_is_silent_under_its_minimum(self, n: int, seed: int) -> None:
        assert alarm(with_window(steady(0, seed), n)) is None

    def test_a_steady_week_is_silent(self) -> None:
        assert alarm(steady(1.0)) is None

    def test_ten_out_of_nothing_is_an_alarm(self) -> None:
        breach = alarm(with_window(steady(0.02), 12))
        assert breach is not None
        assert breach.value == 12

    def test_the_first_week_is_silent(self) -> None:
        assert alarm(with_window(steady(0.5), 200), days=7) is None

    def test_grave_mentions_lift_the_level_by_one(self) -> None:
        counts = with_window(steady(0.5), 25)
        severe = np.zeros_like(counts)
        plain = alarm(counts)
        severe[:, -6] = 10
        grave = alarm(counts, severe=severe)
        assert plain is not None
        assert grave is not None
        assert grave.level.rank == plain.level.rank + 1
        assert "级别上调一级" in grave.sentence

    def test_a_rise_that_the_last_half_day_explains_is_no_new_burst(self) -> None:
        """A sales day: everything three times as high since the morning."""
        counts = steady(3.0)
        counts[:, -144 - 12 :] *= 3
        assert alarm(counts) is None
        assert evaluate(a_rule(), Facts(**{**_fields(some_facts(counts)), "ongoing": True}), NOW)

    def test_a_crisis_of_last_week_does_not_hide_this_one(self) -> None:
        counts = steady(0.5)
        counts[:, -WEEK_SLOTS - 24 : -WEEK_SLOTS + 12] *= 20
        assert alarm(with_window(counts, 60)) is not None

    @pytest.mark.parametrize(("count", "mean", "k"), [(10, 4.0, 0.1), (3, 0.5, 1.0), (60, 20.0, 0.05)])
    def test_the_tail_is_that_of_the_negative_binomial(self, count: int, mean: float, k: float) -> None:
        from scipy.stats import nbinom

        size = 1 / k
        assert spike.tail(count, mean, k) == pytest.approx(nbinom.sf(count - 1, size, size / (size + mean)), rel=1e-9)


def _fields(facts: Facts) -> dict[str, object]:
    return {name: getattr(facts, name) for name in ("topic", "topic_name", "series", "active_days")}


class TestMatch:
    def test_it_tells_one_breach_a_story(self) -> None:
        recent = tuple(a_mention("拉肚子", story_id=story) for story in ("s1", "s1", "s2"))
        breaches = evaluate(a_rule("match", words=("拉肚子",)), Facts(topic="t", topic_name="t", recent=recent), NOW)
        assert [(breach.story_id, breach.value) for breach in breaches] == [("s1", 2), ("s2", 1)]

    @pytest.mark.parametrize(
        ("severity", "followers", "verified", "level"),
        [
            (0, 10, False, Level.YELLOW),
            (2, 10, False, Level.ORANGE),
            (0, 200_000, None, Level.ORANGE),
            (0, None, True, Level.ORANGE),
            (2, 10, True, Level.RED),
        ],
    )
    def test_gravity_and_reach_lift_the_level(
        self, severity: int, followers: int | None, verified: bool | None, level: Level
    ) -> None:
        mention = a_mention(
            "拉肚子", labels=some_labels(severity=severity), persona=a_persona(followers=followers, verified=verified)
        )
        facts = Facts(topic="t", topic_name="t", recent=(mention,))
        assert evaluate(a_rule("match", words=("拉肚子",)), facts, NOW)[0].level == level


class TestGaps:
    def test_a_source_is_down_from_when_its_last_success_is_too_old(self) -> None:
        hour = timedelta(hours=1)
        runs = [(NOW - 5 * hour, Outcome.OK), (NOW - 4 * hour, Outcome.BLOCKED), (NOW - hour / 2, Outcome.EMPTY)]
        first = STOP - 3 * DAY_SLOTS
        (before, gap) = down_ranges(runs, timedelta(minutes=45), None, first, NOW)
        assert before == (first, slot_of(NOW - 5 * hour))
        assert gap == (
            end_slot(NOW - 5 * hour + timedelta(minutes=45)),
            end_slot(NOW - hour / 2 + timedelta(minutes=15)),
        )

    def test_a_source_that_is_still_down_has_an_open_gap(self) -> None:
        runs = [(NOW - timedelta(weeks=1) + k * timedelta(minutes=15), Outcome.OK) for k in range(600)]
        runs += [(NOW - timedelta(minutes=k), Outcome.TIMEOUT) for k in range(60, 0, -15)]
        *_, gap = down_ranges(runs, timedelta(minutes=45), None, STOP - WEEK_SLOTS - DAY_SLOTS, NOW)
        assert gap[1] > STOP


class TestBench:
    def test_a_planted_burst_is_found_and_the_weeks_without_one_are_silent(self) -> None:
        made = bench.make(per_hour=20, factor=5, dispersion=0, seed=1)
        since = slot_start(made.bursts[0] - DAY_SLOTS)
        breaches = try_facts(bench.spike_rule(), made.facts, since, slot_start(made.bursts[0] + 36))
        assert [slot_of(breach.at) > made.bursts[0] for breach in breaches[:1]] == [True]

    def test_the_table_has_a_line_a_row(self) -> None:
        row = {"counts": "poisson", "per_hour": 5, "factor": 3, "recall": 1, "delay_m": 9, "false_per_week": 0}
        assert bench.table({"rows": [row]}).count("\n") == 2


def test_slots_are_of_beijing_time() -> None:
    assert slot_start(slot_of_key("2026-11-26T10:30")) == NOW
    assert slot_start(slot_of_key("2026-11-26")) == NOW - timedelta(hours=10, minutes=30)


def test_a_few_stories_are_told_one_by_one_and_a_crowd_as_one_incident() -> None:
    rule = a_rule("match", words=("拉肚子",))
    hit = [a_mention("拉肚子", id=f"w:{n}", story_id=f"w:{n}", published_at=NOW) for n in range(5)]
    few = Facts(topic="t", topic_name="t", recent=tuple(hit[:CROWD]), n_day=CROWD)
    crowd = Facts(topic="t", topic_name="t", recent=tuple(hit), n_day=40)
    assert [breach.story_id for breach in evaluate(rule, few, NOW)] == ["w:0", "w:1", "w:2"]
    (incident,) = evaluate(rule, crowd, NOW)
    assert (incident.story_id, incident.value) == (None, 40)
    assert "40 个事件" in incident.sentence
