"""Pure builders of ECharts options and of the sentence that says the same to those who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard import labels
from dashboard.formats import beijing, percent
from dashboard.normal import Band, band
from index.models import BEIJING_OFFSET, Alert, Sentiment

ORDER = (Sentiment.NEGATIVE, Sentiment.NEUTRAL, Sentiment.POSITIVE)
HISTORY = timedelta(days=14)
Counts = Mapping[tuple[str, ...], int]


@dataclass(frozen=True)
class Buckets:
    """The hours or days of a period, oldest first, with the keys that Store.group gives them."""

    unit: str
    starts: tuple[datetime, ...]

    @property
    def length(self) -> timedelta:
        return timedelta(hours=1) if self.unit == "hour" else timedelta(days=1)

    def key(self, start: datetime) -> str:
        return f"{beijing(start):%Y-%m-%dT%H}" if self.unit == "hour" else f"{beijing(start):%Y-%m-%d}"

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.key(start) for start in self.starts)

    @property
    def names(self) -> tuple[str, ...]:
        """As the axis shows them."""
        pattern = "%m-%d %H:00" if self.unit == "hour" else "%m-%d"
        return tuple(beijing(start).strftime(pattern) for start in self.starts)

    def index_of(self, at: datetime) -> int | None:
        key = self.key(at)
        return self.keys.index(key) if key in self.keys else None


def buckets(since: datetime, until: datetime) -> Buckets:
    """Hours for up to three days, else days; both begin on the full hour or day of Beijing."""
    unit = "hour" if until - since <= timedelta(days=3) else "day"
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
    local = since + BEIJING_OFFSET
    local = local.replace(minute=0, second=0, microsecond=0)
    if unit == "day":
        local = local.replace(hour=0)
    starts = []
    start = local - BEIJING_OFFSET
    while start < until:
        starts.append(start)
        start += step
    return Buckets(unit, tuple(starts))


def series(axis: Buckets, counts: Counts, sentiment: Sentiment | None = None) -> list[int]:
    """Counts along the axis from a group by (hour or day, sentiment): of one sentiment, or of all."""
    totals = dict.fromkeys(axis.keys, 0)
    for (key, name), n in counts.items():
        if key in totals and (sentiment is None or name == sentiment):
            totals[key] += n
    return list(totals.values())


def net_series(axis: Buckets, counts: Counts) -> list[float]:
    """Net sentiment along the axis from the first part that was read; where nothing was read it stays where it was."""
    net: list[float] = []
    each = zip(*(series(axis, counts, sentiment) for sentiment in ORDER), strict=True)
    for negative, neutral, positive in each:
        n_read = negative + neutral + positive
        if n_read:
            net.append(round((positive - negative) / n_read * 100, 1))
        elif net:
            net.append(net[-1])
    return net


def bands(axis: Buckets, history: Counts) -> list[Band | None]:
    """Per bucket the usual range of a count: the same hour (or any day) of the 14 days before it.

    history is a group by the axis' unit alone. Days before the first one with any mention do not count:
    nothing was listened to then.
    """
    known = {key[0]: n for key, n in history.items()}
    if not known:
        return [None] * len(axis.starts)
    first = min(known)
    found = []
    for start in axis.starts:
        earlier = (start - timedelta(days=day) for day in range(1, HISTORY.days + 1))
        keys = [axis.key(at) for at in earlier]
        found.append(band([known.get(key, 0) for key in keys if key >= first]))
    return found


def trend(
    axis: Buckets, counts: Counts, normal: Sequence[Band | None] = (), alerts: Sequence[Alert] = ()
) -> dict[str, Any]:
    """Stacked bars by sentiment, the usual top of negatives as an area, alerts as pins."""
    bars: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": labels.SENTIMENT[sentiment],
            "stack": "all",
            "data": series(axis, counts, sentiment),
            "itemStyle": {"color": labels.SENTIMENT_HEX[sentiment]},
            "selectedMode": "single",
            "barMaxWidth": 28,
        }
        for sentiment in ORDER
    ]
    unread = [
        total - read
        for total, read in zip(
            series(axis, counts), map(sum, zip(*(bar["data"] for bar in bars), strict=True)), strict=True
        )
    ]
    if any(unread):
        bars.append(
            {
                "type": "bar",
                "name": "未标注",
                "stack": "all",
                "data": unread,
                "itemStyle": {"color": "transparent", "borderColor": "#9aa7ae", "borderType": "dashed"},
                "barMaxWidth": 28,
            }
        )
    worst = {axis.index_of(alert.opened_at): alert.level for alert in sorted(alerts, key=_rank)}
    pins = [
        {
            "coord": [index, bars[0]["data"][index]],
            "value": labels.LEVEL[level][0],
            "itemStyle": {"color": labels.LEVEL_HEX[level]},
        }
        for index, level in worst.items()
        if index is not None
    ]
    if pins:
        bars[0]["markPoint"] = {
            "symbol": "pin",
            "symbolSize": 34,
            "label": {"fontSize": 11, "color": "#fff"},
            "data": pins,
        }
    lines: list[dict[str, Any]] = []
    if any(normal):
        lines.append(
            {
                "type": "line",
                "name": "负面平时上限",
                "data": [round(each.high, 1) if each else None for each in normal],
                "symbol": "none",
                "step": "middle",
                "lineStyle": {"type": "dashed", "width": 1.5, "color": "#b0606a"},
                "itemStyle": {"color": "#b0606a"},
                "areaStyle": {"color": "#b0606a", "opacity": 0.12},
                "z": 5,
            }
        )
    return {
        "grid": {"left": 8, "right": 32, "top": 62 if pins else 40, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "left": 0, "itemWidth": 14, "itemHeight": 10},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "xAxis": {"type": "category", "data": list(axis.names), "axisTick": {"show": False}},
        "yAxis": {"type": "value", "minInterval": 1},
        "series": [*bars, *lines],
    }


def _rank(alert: Alert) -> int:
    return alert.level.rank


def trend_alt(axis: Buckets, counts: Counts) -> str:
    negative, total = series(axis, counts, Sentiment.NEGATIVE), series(axis, counts)
    if not sum(total):
        return "这段时间没有提及。"
    peak = max(range(len(negative)), key=negative.__getitem__)
    most = f", 负面最多在 {axis.names[peak]}, {negative[peak]} 条" if negative[peak] else ""
    return f"声量与情感趋势: 共 {sum(total)} 条提及, 负面 {sum(negative)} 条{most}。"


def aspect_rows(counts: Counts, *, limit: int = 8) -> list[tuple[str, dict[Sentiment, int]]]:
    """Aspects by count from a group by aspect_polarity, most spoken of first."""
    found: dict[str, dict[Sentiment, int]] = {}
    for (key,), n in counts.items():
        name, _, polarity = key.partition(":")
        if name and polarity:
            found.setdefault(name, dict.fromkeys(ORDER, 0))[Sentiment(polarity)] += n
    return sorted(found.items(), key=lambda item: -sum(item[1].values()))[:limit]


def aspects(rows: Sequence[tuple[str, Mapping[Sentiment, int]]]) -> dict[str, Any]:
    """Horizontal stacked bars: what is spoken of, and how; data indices follow `rows` reversed."""
    upward = list(reversed(rows))
    return {
        "grid": {"left": 4, "right": 16, "top": 34, "bottom": 4, "containLabel": True},
        "legend": {"top": 0, "left": 0, "itemWidth": 14, "itemHeight": 10},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "xAxis": {"type": "value", "minInterval": 1},
        "yAxis": {"type": "category", "data": [labels.aspect(name) for name, _ in upward], "axisTick": {"show": False}},
        "series": [
            {
                "type": "bar",
                "name": labels.SENTIMENT[sentiment],
                "stack": "all",
                "data": [counts[sentiment] for _, counts in upward],
                "itemStyle": {"color": labels.SENTIMENT_HEX[sentiment]},
                "selectedMode": "single",
                "barMaxWidth": 18,
            }
            for sentiment in ORDER
        ],
    }


def aspects_alt(rows: Sequence[tuple[str, Mapping[Sentiment, int]]]) -> str:
    said = [
        f"{labels.aspect(name)} {sum(counts.values())} 条, 负面 {counts[Sentiment.NEGATIVE]} 条"
        for name, counts in rows
    ]
    return "各方面的提及: " + "; ".join(said) + "。" if said else "没有提到具体方面。"


def share_alt(rows: Sequence[tuple[str, float, int]]) -> str:
    return "声量占比: " + "; ".join(f"{name} {percent(share)}, {n} 条" for name, share, n in rows) + "。"
