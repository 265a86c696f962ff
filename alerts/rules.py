"""What a rule says of the facts: evaluate(rule, facts, now) -> breaches, pure, one function a kind.

match      a newly indexed mention holds a risk word: one breach a story
threshold  so many matching mentions (copies folded) in a window
spike      more than the own past makes likely (alerts/spike.py), and more than the last 12 h explain
quiet      a source that keeps failing, or a source or topic that brings nothing where it always does
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from alerts import spike
from alerts.series import DAY_SLOTS, SLOT_S, Series, end_slot, slot_of
from index.models import Breach, Level, Mention, Outcome, Reason, Rule
from index.text import fold

CRISIS_WORDS = (
    "食物中毒", "中毒", "拉肚子", "腹泻", "呕吐", "住院", "急诊", "过敏", "变质", "发霉", "异物", "虫子", "蟑螂",
    "头发丝", "玻璃渣", "过期", "烫伤", "受伤", "起火", "爆炸", "漏电", "死亡", "儿童", "孕妇", "未成年", "隐私泄露",
    "信息泄露", "数据泄露", "监管", "市场监管局", "立案", "处罚", "召回", "曝光", "315", "12315",
)  # fmt: skip
"""Safety, supervision, minors, data leaks: enough of these in a window lift the level by one."""

COLD_START = timedelta(days=7)
MIN_ACTIVE_DAYS = 5
MATCH_MAX_AGE = timedelta(hours=24)
CROWD = 3
"""So many stories of a topic are told one by one; more within a day are one incident."""
LOUD_FOLLOWERS = 100_000
QUIET_EXPECTED = 7.0
"""Silence is told only where at least this many were to be expected: exp(-7) is one in a thousand."""
QUIET_DAYS = 14
SUCCESSES = (Outcome.OK, Outcome.EMPTY, Outcome.PARTIAL)
OUTCOME_WORDS = {
    Outcome.BLOCKED: "被拦截",
    Outcome.LOGIN_EXPIRED: "登录失效",
    Outcome.CHANGED: "页面已改版",
    Outcome.FAILED: "采集失败",
    Outcome.TIMEOUT: "超时",
}


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Runs of one source in time order as (finished_at, outcome), and what it brought."""

    id: str
    name: str
    every_s: int
    runs: tuple[tuple[datetime, Outcome], ...]
    series: Series | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that evaluate looks at for one topic (topic "" for rules on sources).

    The series may reach past the `now` of an evaluation; nothing after it is read. ongoing says that the
    rule's alert on this topic is not over: then the second check, which is for new bursts, is left out.
    """

    topic: str
    topic_name: str
    series: Series | None = None
    active_days: tuple[datetime, ...] = ()
    """Beginnings of the days on which the topic had any mention, in order."""
    recent: tuple[Mention, ...] = ()
    """What a match rule has not looked at yet."""
    n_day: int = 0
    """Stories that a match rule hit within MATCH_MAX_AGE, the recent ones included."""
    sources: tuple[SourceFacts, ...] = ()
    ongoing: bool = False


def evaluate(rule: Rule, facts: Facts, now: datetime) -> list[Breach]:
    """Every crossing of the rule at `now`; the same facts and now give the same breaches."""
    if rule.kind == "match":
        return _match(rule, facts, now)
    if rule.kind == "threshold":
        return _threshold(rule, facts, now)
    if rule.kind == "spike":
        return _spike(rule, facts, now)
    return _quiet(rule, facts, now)


def can_see(rule: Rule, facts: Facts, now: datetime) -> bool:
    """False while most of what the rule watches is down, so that silence does not mean that it is over."""
    if facts.series is None or rule.kind not in ("threshold", "spike"):
        return True
    stop = end_slot(now)
    start = stop - _slots(rule.window_m)
    weights = facts.series.total("counts", facts.series.first, stop) + 1
    seen = spike.seen_sources(facts.series, start, stop)
    return bool((weights * seen).sum() * 2 >= weights.sum())


def _slots(minutes: int) -> int:
    return max(1, minutes * 60 // SLOT_S)


def _lift(level: str, steps: int) -> Level:
    return list(Level)[min(Level(level).rank + steps, Level.RED.rank)]


def _grave(rule: Rule, severe: int, words: int) -> bool:
    """Enough severe or crisis-word mentions to lift the level; counts, not shares, so more never means less."""
    enough = max(3, round(0.3 * rule.at_least))
    return severe >= enough or words >= enough


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def span_words(minutes: float) -> str:
    """A duration for people: 近 60 分钟 -> 1 小时."""
    if minutes < 60:
        return f"{minutes:.0f} 分钟"
    if minutes < 48 * 60:
        return f"{_number(minutes / 60)} 小时"
    return f"{_number(minutes / 1440)} 天"


def _kind_words(rule: Rule) -> str:
    return {"negative": "负面", "neutral": "中性", "positive": "正面", "any": "提及"}[rule.sentiment]


def _chance(probability: float) -> str:
    if probability < 1e-6:
        return "< 百万分之一"
    if probability < 1e-4:
        return "< 万分之一"
    return f"{probability:.2%}"


def _history_is_short(facts: Facts, now: datetime) -> bool:
    n_days = bisect_right(facts.active_days, now)
    # The first mention may have come at the end of its day.
    return n_days < MIN_ACTIVE_DAYS or now - facts.active_days[0] < COLD_START + timedelta(days=1)


def _spike(rule: Rule, facts: Facts, now: datetime) -> list[Breach]:
    if facts.series is None or _history_is_short(facts, now):
        return []
    found = spike.window(
        facts.series,
        stop=end_slot(now),
        length=_slots(rule.window_m),
        weeks=rule.baseline_weeks,
        at_least=rule.at_least,
    )
    if found is None or found.probability > rule.probability:
        return []
    # The second check may be milder: it asks only whether the last 12 h already explain the count.
    if not facts.ongoing and found.recent_probability > rule.probability**0.5:
        return []
    ratio = found.count / max(found.expected, 1.0)
    steps = int(ratio >= 5 and found.probability <= rule.probability**2)
    steps += int(ratio >= 10 and found.count >= 5 * rule.at_least)
    grave = _grave(rule, found.severe, found.words)
    sentence = (
        f"近 {span_words(rule.window_m)}{_kind_words(rule)} {found.count} 条, "
        f"同时段通常 {_number(found.expected)}±{_number(found.spread)}, 概率 {_chance(found.probability)}"
    )
    return [
        Breach(
            rule=rule.id,
            topic=facts.topic,
            at=now,
            level=_lift(rule.level, steps + grave),
            reason=Reason.SPIKE,
            value=found.count,
            expected=round(found.expected, 2),
            probability=found.probability,
            sentence=sentence + _grave_words(grave, found.severe, found.words),
        )
    ]


def _grave_words(grave: bool, severe: int, words: int) -> str:
    if not grave:
        return ""
    parts = [f"严重 {severe} 条"] if severe else []
    if words:
        parts.append(f"含安全类词 {words} 条")
    return f"; 其中{', '.join(parts)}, 级别上调一级"


def _threshold(rule: Rule, facts: Facts, now: datetime) -> list[Breach]:
    if facts.series is None:
        return []
    stop = end_slot(now)
    start = stop - _slots(rule.window_m)
    count, severe, words = (int(facts.series.total(what, start, stop).sum()) for what in ("counts", "severe", "words"))
    if count < rule.at_least:
        return []
    grave = _grave(rule, severe, words)
    steps = int(count >= 3 * rule.at_least) + grave
    sentence = f"近 {span_words(rule.window_m)}{_kind_words(rule)} {count} 条, 达到设定的 {rule.at_least} 条"
    return [
        Breach(
            rule=rule.id,
            topic=facts.topic,
            at=now,
            level=_lift(rule.level, steps),
            reason=Reason.THRESHOLD,
            value=count,
            sentence=sentence + _grave_words(grave, severe, words),
        )
    ]


def _match(rule: Rule, facts: Facts, now: datetime) -> list[Breach]:
    stories: dict[str, list[Mention]] = {}
    for mention in facts.recent:
        if now - MATCH_MAX_AGE <= mention.published_at <= now:
            stories.setdefault(mention.story_id or mention.id, []).append(mention)
    if not stories:
        return []
    if facts.n_day > CROWD:
        everything = [mention for mentions in stories.values() for mention in mentions]
        return [_match_breach(rule, facts, None, everything, now)]
    return [_match_breach(rule, facts, story, mentions, now) for story, mentions in stories.items()]


def _match_breach(rule: Rule, facts: Facts, story: str | None, mentions: Sequence[Mention], now: datetime) -> Breach:
    """One story that was hit, or (story None) all of the last day as one incident."""
    mentions = sorted(mentions, key=_weight, reverse=True)
    severe = any(mention.severity == 2 for mention in mentions)
    loud = any(_is_loud(mention) for mention in mentions)
    hits = [word for word in rule.words if any(_holds(mention, word) for mention in mentions)]
    what = f"命中风险词「{'、'.join(hits[:3])}」" if hits else "命中监测条件"
    who = f"{_kind_words(rule)}提及".replace("提及提及", "提及")
    if story is None:
        who = f"近 24 小时 {facts.n_day} 个事件的{who}"
    notes = ["严重程度 2"] * severe + ["认证或大号发布"] * loud
    return Breach(
        rule=rule.id,
        topic=facts.topic,
        story_id=story,
        at=now,
        level=_lift(rule.level, severe + loud),
        reason=Reason.RISK_WORD,
        value=len(mentions) if story else facts.n_day,
        sentence=who + what + "".join(f", {note}" for note in notes),
        evidence=tuple(mention.id for mention in mentions[:10]),
    )


def _holds(mention: Mention, word: str) -> bool:
    return fold(word) in fold(f"{mention.title} {mention.text}")


def _is_loud(mention: Mention) -> bool:
    persona = mention.persona
    return persona is not None and (persona.verified is True or (persona.followers or 0) >= LOUD_FOLLOWERS)


def _weight(mention: Mention) -> tuple[int, int, str]:
    followers = (mention.persona.followers if mention.persona else None) or 0
    return mention.severity or 0, followers, mention.id


def _quiet(rule: Rule, facts: Facts, now: datetime) -> list[Breach]:
    breaches = []
    for source in facts.sources:
        failing = _failing(rule, source, now)
        breach = failing or _silent(rule, f"来源「{source.name}」", source.series, now)
        if breach is not None:
            breaches.append(breach.model_copy(update={"story_id": f"source:{source.id}"}))
    if facts.topic:
        breach = _silent(rule, f"「{facts.topic_name}」", facts.series, now)
        if breach is not None:
            breaches.append(breach.model_copy(update={"topic": facts.topic}))
    return breaches


def _silent(rule: Rule, who: str, series: Series | None, now: datetime) -> Breach | None:
    expected = None if series is None else _missed(rule, series, now)
    if expected is None:
        return None
    sentence = f"{who}已 {span_words(rule.quiet_m)}没有新提及, 往常同时段约 {_number(expected)} 条"
    return _quiet_breach(rule, now, sentence, expected)


def _quiet_breach(rule: Rule, now: datetime, sentence: str, expected: float | None) -> Breach:
    return Breach(
        rule=rule.id,
        topic="",
        at=now,
        level=Level(rule.level),
        reason=Reason.SOURCE_QUIET,
        value=0.0,
        expected=expected,
        sentence=sentence,
    )


def _failing(rule: Rule, source: SourceFacts, now: datetime) -> Breach | None:
    """Tried and failed for too long. A source that was not tried at all (the service was off) is not told."""
    runs = [run for run in source.runs if run[0] <= now]
    failures: list[tuple[datetime, Outcome]] = []
    for run in reversed(runs):
        if run[1] in SUCCESSES:
            break
        failures.append(run)
    if len(failures) < 2:
        return None
    patience = timedelta(minutes=rule.quiet_m)
    # Counted from the first failure: the last success may lie before a time when the service was off.
    if now - failures[-1][0] < patience or now - failures[0][0] >= max(patience, timedelta(seconds=3 * source.every_s)):
        return None
    minutes = (now - failures[-1][0]).total_seconds() / 60
    sentence = (
        f"来源「{source.name}」已 {span_words(minutes)}采集不到 "
        f"({OUTCOME_WORDS[failures[0][1]]}, 连续 {len(failures)} 次); 这段时间没有提及不等于没有舆情"
    )
    return _quiet_breach(rule, now, sentence, None)


def _missed(rule: Rule, series: Series, now: datetime) -> float | None:
    """How many mentions were to be expected in the silence; None if there was one, or it is usual."""
    stop = slot_of(now)
    length = _slots(rule.quiet_m)
    start = stop - length
    if series.total("down", start, stop).all() or series.total("counts", start, stop).sum() > 0:
        return None
    starts = start - np.arange(1, QUIET_DAYS + 1) * DAY_SLOTS
    known = (starts >= series.first) & (series.total("down", starts, starts + length).sum(axis=0) == 0)
    past = series.total("counts", starts, starts + length).sum(axis=0)[known]
    if len(past) < COLD_START.days:
        return None
    # A quarter of the days were below this: one loud day must not make silence look strange.
    usual = float(np.quantile(past, 0.25))
    return usual if usual >= QUIET_EXPECTED else None
