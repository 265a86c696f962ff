"""The figures of 总览: the state in one sentence, the key figures against the period before, voices, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dashboard import charts, formats, labels, normal, queries
from dashboard.charts import Buckets, Counts
from dashboard.filters import CUSTOM, LENGTHS, WINDOWS, Filters
from index.models import Alert, AlertState, Intent, Mention, Sentiment, TaskState
from index.store import Between

Scope = tuple[str, ...]
Colour = Literal["normal", "inverse", "off"]
NEGATIVE = (Sentiment.NEGATIVE,)
STORIES_SPAN = timedelta(days=7)


@dataclass(frozen=True)
class State:
    """The worst alert that is not over, or a sentence that all is well."""

    sentence: str
    worst: Alert | None = None
    clock: str = ""
    n_open: int = 0


@dataclass(frozen=True)
class Figure:
    """One key figure; target is what it counts (None: not mentions)."""

    key: str
    name: str
    value: str
    change: str | None
    against: str | None
    colour: Colour
    formula: str
    spark: Sequence[float]
    link: str
    target: Filters | None


@dataclass(frozen=True)
class Voice:
    """One brand's part of what is said of all brands."""

    topic: str
    name: str
    own: bool
    n: int
    share: float
    net: float | None
    n_read: int


def state(scope: Scope, chosen: Filters, now: datetime) -> State:
    alive = [alert for alert in queries.alerts(scope) if chosen.topic in (None, alert.topic)]
    if alive:
        worst = max(alive, key=_gravity)
        waited = formats.span((now - worst.opened_at).total_seconds())
        clock = f"未确认 {waited}" if worst.state == AlertState.OPEN else f"{worst.owner or '有人'} 处理中, 已 {waited}"
        return State(worst.sentence, worst, clock, len(alive))
    n, n_negative = total(scope, chosen, now), total(scope, chosen.but(sentiments=NEGATIVE), now)
    usual = usual_negatives(scope, chosen, now)
    beside = f" (平时 {formats.usual(usual)})" if usual is not None else ""
    when = "所选时间内" if chosen.window == CUSTOM else WINDOWS[chosen.window]
    return State(f"{when}没有未解除的预警: 新增 {n:,} 条提及, 负面 {n_negative:,} 条{beside}")


def _gravity(alert: Alert) -> tuple[int, bool]:
    return alert.level.rank, alert.state == AlertState.OPEN


def figures(scope: Scope, chosen: Filters, now: datetime) -> list[Figure]:
    axis = charts.buckets(*chosen.period(now))
    along = by_time(scope, chosen, axis, now)
    by_sentiment = queries.group(scope, chosen.query(now), ("sentiment",))
    by_sentiment_before = queries.group(scope, chosen.query(now, period=chosen.before(now)), ("sentiment",))
    n, n_before = sum(by_sentiment.values()), sum(by_sentiment_before.values())
    negative = chosen.but(sentiments=NEGATIVE)
    n_negative = by_sentiment.get(("negative",), 0)
    complaints = chosen.but(intents=(Intent.COMPLAINT,))
    n_complaints = total(scope, complaints, now)
    n_complaints_before = queries.count(scope, complaints.query(now, period=chosen.before(now)))
    usual = usual_negatives(scope, chosen, now)
    net, n_read = net_sentiment(by_sentiment)
    net_before, n_read_before = net_sentiment(by_sentiment_before)
    copies = "含转载" if chosen.all_copies else "去重后, 相同内容只算一次"
    against = f"较前{_length(chosen)}"
    shares = " − ".join(
        f"{labels.SENTIMENT[each]} {by_sentiment.get((each.value,), 0):,}"
        for each in (Sentiment.POSITIVE, Sentiment.NEGATIVE)
    )
    few = n_read < formats.SMALL_SAMPLE
    can_compare = net is not None and net_before is not None and min(n_read, n_read_before) >= formats.SMALL_SAMPLE
    return [
        Figure(
            "mentions",
            "提及",
            formats.number(n),
            _relative(n, n_before),
            against,
            "off",
            f"命中监测主题的公开内容, {copies}。前一时段 {n_before:,} 条。",
            charts.series(axis, along),
            f"{formats.number(n)} 条提及",
            chosen,
        ),
        Figure(
            "net",
            "净情感 · 样本少" if few else "净情感",
            f":gray[{formats.signed(net)}]" if few else formats.signed(net),
            f"{net - net_before:+.0f}" if can_compare and net is not None and net_before is not None else None,
            against,
            "normal",
            f"净情感 = (正面 − 负面) ÷ 已标注 × 100 = ({shares}) ÷ {n_read:,} × 100。"
            f"n = {n_read:,}; 少于 30 条时显示为灰色。",
            charts.net_series(axis, along) if n_read else [],
            f"{formats.number(by_sentiment.get(('positive',), 0))} 条正面",
            chosen.but(sentiments=(Sentiment.POSITIVE,)),
        ),
        Figure(
            "negative",
            "负面",
            formats.number(n_negative),
            _relative(n_negative, by_sentiment_before.get(("negative",), 0)),
            against,
            "inverse",
            "情感为负面的提及, 以人工更正为准。平时 = 此前 14 天里同样长、同一时刻的时段的中位数。",
            charts.series(axis, along, Sentiment.NEGATIVE),
            f"{formats.number(n_negative)} 条负面" + ("" if usual is None else f", 平时 {formats.usual(usual)}"),
            negative,
        ),
        Figure(
            "complaints",
            "投诉",
            formats.number(n_complaints),
            _relative(n_complaints, n_complaints_before),
            against,
            "inverse",
            "意图为投诉的提及, 以人工更正为准。",
            _one_series(scope, complaints, axis, now),
            f"{formats.number(n_complaints)} 条投诉",
            complaints,
        ),
        _task_figure(scope, now),
    ]


def _task_figure(scope: Scope, now: datetime) -> Figure:
    n_open = queries.n_tasks(scope, {"state": (TaskState.OPEN, TaskState.CLAIMED)})
    n_late = queries.n_overdue(scope, now)
    recent = queries.tasks(scope, {"created_at": Between(ge=now - timedelta(days=1))}, newest_first=True, limit=1000)
    hours = [0] * 24
    for task in recent:
        age_h = int((now - task.created_at).total_seconds() // 3600)
        hours[23 - max(0, min(23, age_h))] += 1  # one made since this view was asked for is of this hour
    return Figure(
        "tasks",
        "待处理任务",
        formats.number(n_open),
        f"超时 {n_late}" if n_late else "没有超时",
        None,
        "inverse" if n_late else "off",
        "待认领和处理中的回复任务; 超时 = 过了首次回复时限还没有回复。不随上面的筛选变化。小图: 近 24 小时每小时新增。",
        hours if any(hours) else [],
        "打开任务",
        None,
    )


def total(scope: Scope, chosen: Filters, now: datetime) -> int:
    return queries.count(scope, chosen.query(now))


def n_since(scope: Scope, chosen: Filters, loaded_at: datetime, now: datetime) -> int:
    """Mentions of this view that arrived after the page was loaded."""
    query = chosen.query(now)
    return queries.count(scope, query.model_copy(update={"indexed_since": loaded_at}))


def by_time(scope: Scope, chosen: Filters, axis: Buckets, now: datetime) -> Counts:
    unit: Literal["hour", "day"] = "hour" if axis.unit == "hour" else "day"
    return queries.group(scope, chosen.query(now), (unit, "sentiment"))


def _one_series(scope: Scope, chosen: Filters, axis: Buckets, now: datetime) -> list[int]:
    return charts.series(axis, by_time(scope, chosen, axis, now))


def history(scope: Scope, chosen: Filters, axis: Buckets, *, negative: bool = True) -> Counts:
    """Counts per hour or day of the 14 days before the axis and along it, to say what is normal."""
    first, last = axis.starts[0], axis.starts[-1] + axis.length
    narrowed = chosen.but(sentiments=NEGATIVE) if negative else chosen
    query = narrowed.query(last, period=(first - charts.HISTORY, last))
    return queries.group(scope, query, ("hour" if axis.unit == "hour" else "day",))


def bands(scope: Scope, chosen: Filters, axis: Buckets) -> list[normal.Band | None]:
    """The normal range of negatives along the axis."""
    if not axis.starts:
        return []
    return charts.bands(axis, history(scope, chosen, axis))


def usual_negatives(scope: Scope, chosen: Filters, now: datetime) -> float | None:
    """Median of the negatives in up to 14 earlier periods of the same length (at most a day) and time of day."""
    since, until = chosen.period(now)
    if until - since > timedelta(days=1):
        return None
    axis = charts.buckets(since, until)
    known = {key[0]: n for key, n in history(scope, chosen, axis).items()}
    if not known:
        return None
    first = min(known)
    samples = []
    for days in range(1, charts.HISTORY.days + 1):
        keys = [axis.key(start - timedelta(days=days)) for start in axis.starts]
        if keys[0] >= first:
            samples.append(sum(known.get(key, 0) for key in keys))
    return normal.expected(samples)


def net_sentiment(by_sentiment: Mapping[tuple[str, ...], int]) -> tuple[float | None, int]:
    """(positive - negative) / read x 100, and how many were read."""
    n_read = sum(n for (name,), n in by_sentiment.items() if name)
    if not n_read:
        return None, 0
    return (by_sentiment.get(("positive",), 0) - by_sentiment.get(("negative",), 0)) / n_read * 100, n_read


def voices(scope: Scope, chosen: Filters, now: datetime) -> list[Voice]:
    """Share of voice among own brands and competitors: mentions of each / mentions of all of them."""
    known = {key: topic for key, topic in queries.topics(scope).items() if topic.is_of_a_brand}
    if not known:
        return []
    query = chosen.but(topic=None).query(now).model_copy(update={"topics": tuple(known)})
    counts = queries.group(scope, query, ("topic", "sentiment"))
    sizes = normal.sums(counts, 0)
    everything = sum(sizes[key] for key in known)
    found = []
    for key, topic in known.items():
        net, n_read = net_sentiment({(name,): n for (owner, name), n in counts.items() if owner == key})
        share = sizes[key] / everything if everything else 0.0
        found.append(Voice(key, topic.name, topic.kind == "brand", sizes[key], share, net, n_read))
    return sorted(found, key=lambda voice: -voice.n)


def rising(scope: Scope, chosen: Filters, now: datetime) -> list[normal.RisingWord]:
    """Words that rose against the period before, without the names of the topics themselves."""
    names = frozenset(topic.name for topic in queries.topics(scope).values())
    return queries.rising(scope, chosen.query(now), chosen.query(now, period=chosen.before(now)), names)


def stories(scope: Scope, chosen: Filters, now: datetime) -> list[tuple[Mention, int, tuple[str, ...]]]:
    """The most copied stories of the period, at most of its last seven days: an event is recent."""
    since, until = chosen.period(now)
    return queries.stories(scope, chosen.query(now, period=(max(since, until - STORIES_SPAN), until)))


def _relative(value: int, before: int) -> str | None:
    """For st.metric: signed, so that the arrow fits."""
    if not before:
        return None
    return f"{(value - before) / before * 100:+.1f}%"


def _length(chosen: Filters) -> str:
    names = {key: WINDOWS[key].removeprefix("近") for key in LENGTHS}
    return names.get(chosen.window, "一时段")
