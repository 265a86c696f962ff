"""Why a message is not sent, or not now: silences, quiet hours, inhibition; one interface, one closed list."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from index.models import BEIJING_OFFSET, Alert, AlertState, Level, Mute


class Silence(StrEnum):
    """Every reason for which a message is dropped or put off; kept in Notification.reason."""

    MUTED = "muted"
    QUIET_HOURS = "quiet_hours"
    INHIBITED = "inhibited"
    BELOW_LEVEL = "below_level"
    GROUPED = "grouped"
    ALREADY_TOLD = "already_told"
    NOT_TOLD = "not_told"
    HANDLED = "handled"
    THROTTLED = "throttled"
    GONE = "gone"


SILENCE_WORDS = {
    Silence.MUTED: "已静音",
    Silence.QUIET_HOURS: "免打扰时段",
    Silence.INHIBITED: "同主题已有更大的预警",
    Silence.BELOW_LEVEL: "低于该渠道的最低级别",
    Silence.GROUPED: "并入同一条消息",
    Silence.ALREADY_TOLD: "同一事件已通知过",
    Silence.NOT_TOLD: "开始时没有通知过, 结束也不通知",
    Silence.HANDLED: "发送前已有人处理",
    Silence.THROTTLED: "超过每小时条数, 合并推迟",
    Silence.GONE: "预警或任务已不存在",
}


def mutes(alert: Alert, silences: Iterable[Mute], now: datetime) -> Silence | None:
    """MUTED if the alert itself or a silence that matches it says so at this moment."""
    if alert.muted_until is not None and now < alert.muted_until:
        return Silence.MUTED
    for silence in silences:
        if now < silence.until and _matches(silence, alert):
            return Silence.MUTED
    return None


def _matches(silence: Mute, alert: Alert) -> bool:
    wanted = ((silence.rule, alert.rule), (silence.topic, alert.topic), (silence.story_id, alert.story_id))
    return all(want == have for want, have in wanted if want is not None)


def inhibits(alert: Alert, others: Iterable[Alert]) -> Silence | None:
    """INHIBITED if a live alert on the whole topic, at least as high, covers this alert on one story."""
    if alert.story_id is None or not alert.topic:
        return None
    for other in others:
        alive = other.state != AlertState.RESOLVED
        if alive and other.topic == alert.topic and other.story_id is None and other.level.rank >= alert.level.rank:
            return Silence.INHIBITED
    return None


def quiet_until(quiet: tuple[time, time] | None, level: Level, now: datetime) -> datetime | None:
    """End of the quiet hours (Beijing time, may pass midnight) that `now` lies in; red never waits."""
    if quiet is None or level == Level.RED:
        return None
    begins, ends = quiet
    local = now.astimezone(UTC) + BEIJING_OFFSET
    clock = local.time().replace(tzinfo=None)
    inside = begins <= clock < ends if begins <= ends else clock >= begins or clock < ends
    if not inside:
        return None
    end = local.replace(hour=ends.hour, minute=ends.minute, second=ends.second, microsecond=0)
    if end <= local:
        end += timedelta(days=1)
    return end - BEIJING_OFFSET
