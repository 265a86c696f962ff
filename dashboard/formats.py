"""Times, numbers and changes as people in Beijing read them."""

from __future__ import annotations

from datetime import datetime, timedelta

from index.models import BEIJING_OFFSET

DASH = "–"
SMALL_SAMPLE = 30


def beijing(at: datetime) -> datetime:
    """The wall clock in Beijing, without a zone: only to read fields from or to show."""
    return at.replace(tzinfo=None) - (at.utcoffset() or timedelta(0)) + BEIJING_OFFSET


def when(at: datetime | None, now: datetime) -> str:
    if at is None:
        return DASH
    local, today = beijing(at), beijing(now)
    if local.date() == today.date():
        return f"今天 {local:%H:%M}"
    if local.date() == today.date() - timedelta(days=1):
        return f"昨天 {local:%H:%M}"
    if local.year == today.year:
        return f"{local:%m-%d %H:%M}"
    return f"{local:%Y-%m-%d %H:%M}"


def full(at: datetime | None) -> str:
    return DASH if at is None else f"{beijing(at):%Y-%m-%d %H:%M:%S} 北京时间"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    total = int(abs(seconds))
    if total < 60:
        return f"{total} 秒"
    minutes = total // 60
    if minutes < 60:
        return f"{minutes} 分钟"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} 小时 {minutes} 分" if minutes else f"{hours} 小时"
    days, hours = divmod(hours, 24)
    return f"{days} 天 {hours} 小时" if hours else f"{days} 天"


def ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "从未"
    seconds = (now - at).total_seconds()
    return "刚刚" if seconds < 1 else f"{span(seconds)}前"


def left(due: datetime, now: datetime) -> str:
    seconds = (due - now).total_seconds()
    return f"剩 {span(seconds)}" if seconds >= 0 else f"超时 {span(seconds)}"


def every(seconds: int) -> str:
    return f"每 {span(seconds)}"


def number(value: float | None) -> str:
    if value is None:
        return DASH
    if abs(value) >= 100_000:
        return f"{value / 10_000:,.1f}万"
    return f"{value:,.0f}"


def usual(value: float) -> str:
    """An expected count: below ten the part after the point matters."""
    return f"{value:.1f}".removesuffix(".0") if value < 10 else number(value)


def percent(share: float | None) -> str:
    return DASH if share is None else f"{share * 100:.1f}%"


def signed(value: float | None) -> str:
    return DASH if value is None else f"{value:+.0f}"


def money(yuan: float) -> str:
    return f"¥{yuan / 10_000:,.1f}万" if yuan >= 100_000 else f"¥{yuan:,.0f}"
