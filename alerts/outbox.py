"""Which messages an alert or a task gives rise to. Ids are built from the cause, so each is made once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from alerts.crisis import RESOLVED, TOLD
from alerts.messages import texts
from alerts.messages.markup import link
from index.models import Alert, Level, Mention, Notification, Priority, Reason, Rule, Task, TaskState
from settings import ChannelSettings

GROUP_WAIT = timedelta(seconds=30)
"""A message waits so long for others about the same topic, to go out as one."""
MAX_AGE = timedelta(days=2)
"""Older lines of a timeline make no message any more: their records may be gone by retention."""
OWED = (TaskState.OPEN, TaskState.CLAIMED)
"""States in which a task waits for its first reply."""
TASK_LEVELS = {
    Priority.URGENT: Level.RED,
    Priority.HIGH: Level.ORANGE,
    Priority.NORMAL: Level.YELLOW,
    Priority.LOW: Level.BLUE,
}


def told_events(alert: Alert, now: datetime) -> list[tuple[int, str]]:
    """(place in the timeline, action) of every line that people are told of and that is not old."""
    return [
        (place, event.action)
        for place, event in enumerate(alert.timeline)
        if event.action in TOLD
        and now - event.at < MAX_AGE
        and not (event.action == RESOLVED and alert.reason == Reason.RISK_WORD)
    ]


def channels_of(rule: Rule, channels: Iterable[ChannelSettings]) -> list[ChannelSettings]:
    """Those the rule names; all if it says nothing, none if its list is empty."""
    return [channel for channel in channels if rule.channels is None or channel.id in rule.channels]


def alert_notification_ids(alert: Alert, rule: Rule, channels: Iterable[ChannelSettings], now: datetime) -> list[str]:
    return [
        f"{alert.id}:{place}-{action}:{channel.id}"
        for place, action in told_events(alert, now)
        for channel in channels_of(rule, channels)
    ]


def alert_notifications(
    alert: Alert,
    *,
    rule: Rule,
    subject: str,
    channels: Iterable[ChannelSettings],
    mentions: Sequence[Mention],
    base_url: str,
    now: datetime,
) -> list[Notification]:
    """Every message that the alert's timeline calls for; subject is the topic's or the source's name."""
    return [
        Notification(
            id=f"{alert.id}:{place}-{action}:{channel.id}",
            channel=channel.id,
            subject_kind="alert",
            subject_id=alert.id,
            event=action,
            level=alert.level,
            title=texts.alert_title(alert, action, subject),
            body=texts.alert_body(alert, action, rule.name, mentions, base_url),
            created_at=now,
            next_at=now + GROUP_WAIT,
        )
        for place, action in told_events(alert, now)
        for channel in channels_of(rule, channels)
    ]


def overdue_notifications(
    tasks: Iterable[Task], *, channels: Sequence[ChannelSettings], base_url: str, now: datetime
) -> list[Notification]:
    """One message a channel for every task whose first reply is overdue; the same ids every time."""
    return [
        Notification(
            id=f"{task.id}:overdue:{task.due_at:%Y%m%dT%H%M}:{channel.id}",
            channel=channel.id,
            subject_kind="task",
            subject_id=task.id,
            event="overdue",
            level=TASK_LEVELS[task.priority],
            title=texts.task_title(task, "overdue"),
            body=texts.task_body(task, base_url),
            created_at=now,
            next_at=now,
        )
        for task in tasks
        if task.state in OWED and task.replied_at is None and task.due_at <= now
        for channel in channels
    ]


def trial_notification(channel: ChannelSettings, *, base_url: str, now: datetime) -> Notification:
    """For `channels test`: what arrives if all is well."""
    return Notification(
        id=f"test:{channel.id}:{now:%Y%m%dT%H%M%S}",
        channel=channel.id,
        subject_kind="test",
        subject_id=channel.id,
        event="test",
        level=Level.BLUE,
        title="🔔 闻声 · 渠道测试",
        body=f"收到这条消息, 说明渠道「{channel.id}」可以使用。\n{link('打开闻声', base_url)}",
        created_at=now,
        next_at=now,
    )
