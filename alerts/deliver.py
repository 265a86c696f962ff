"""Sends what is due: group -> mute -> dedup -> throttle -> send -> log.

The queue is the store's pending notifications. A message is claimed by a conditional write with a lease and
marked as sent after the send, so a kill in between leads to one repeat at most and never to a loss. A store that
cannot be reached in between is asked again for as long as the lease lasts (insist).
Every stage is a pure function (message, box, now) -> Verdict or None; the first verdict counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from alerts.channels.base import Channel, ChannelBusy, ChannelRefused
from alerts.crisis import RESOLVED, resolved_by_person
from alerts.messages.texts import folded_line, over_line
from alerts.mute import Silence, inhibits, mutes, quiet_until
from alerts.outbox import GROUP_WAIT, OWED
from index.models import Alert, AlertState, Level, Mute, Notification, NotificationState, Task
from index.store import Between, Store, VersionConflict
from settings import ChannelSettings

REPEAT = timedelta(minutes=60)
"""Inside it nothing at the same or a lower level is told again about one topic in one channel."""
TASK_REPEAT = timedelta(minutes=15)
"""Overdue tasks of so long travel in one message: a flood of them is one piece of news."""
MOST_FOLDED = 10
HOUR = timedelta(hours=1)
Insist = Callable[[Callable[[], object]], None]
"""Does a write, again and again while the store is unavailable; gives up in the end by raising StoreUnavailable."""
LEASE = timedelta(minutes=3)
"""Longer than any channel may take for one message."""
MAX_ATTEMPTS = 8
FIRST_RETRY_S, LAST_RETRY_S = 30.0, 3600.0
NO_CHANNEL_WAIT = timedelta(minutes=10)
MAX_WAIT = timedelta(hours=24)
"""For a channel that is not set up; after that the message has failed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stage says of a message: drop it, or put it off until then."""

    reason: Silence
    until: datetime | None = None


@dataclass
class Box:
    """What the stages look at for one channel; sent and pending follow the pass."""

    channel: ChannelSettings
    pending: dict[str, Notification]
    sent: list[Notification]
    """Sent in the last hour."""
    alerts: Mapping[str, Alert]
    """By id: the subjects of pending and sent messages, and all that are not resolved."""
    silences: Sequence[Mute]
    told: set[str] = field(default_factory=set)
    """Alerts of which this channel was ever told."""
    owed: set[str] = field(default_factory=set)
    """Tasks that still wait for their first reply."""

    def alert(self, message: Notification) -> Alert | None:
        return self.alerts.get(message.subject_id) if message.subject_kind == "alert" else None


def once(write: Callable[[], object]) -> None:
    write()


def deliver_due(
    store: Store,
    channels: Mapping[str, Channel],
    settings: Sequence[ChannelSettings],
    *,
    now: datetime,
    clock: Callable[[], datetime],
    insist: Insist = once,
    hurry: bool = False,
) -> Counter[str]:
    """One pass over what is due; returns how many were sent, retried, failed, put off, and dropped by reason.

    channels holds the senders that could be built; a message for another one waits. hurry takes messages
    that only wait for others about the same topic (for `work --until-idle`).
    """
    horizon = now + GROUP_WAIT if hurry else now
    done: Counter[str] = Counter()
    done.update(_fail_strangers(store, settings, horizon))
    for setting in settings:
        pending = _pending(store, setting.id)
        due = sorted((message for message in pending if message.next_at <= horizon), key=_urgency)
        if not due:
            continue
        box = _box(store, setting, pending, now)
        for message in due:
            if message.id in box.pending:
                done[_handle(store, channels.get(setting.id), box, message, now, clock, insist)] += 1
    return done


def verdict(message: Notification, box: Box, now: datetime) -> Verdict | None:
    """None means: send it."""
    for stage in (group, mute, dedup, throttle):
        found = stage(message, box, now)
        if found is not None:
            return found
    return None


# ------------------------------------------------------------------------------------------------- stages


def group(message: Notification, box: Box, now: datetime) -> Verdict | None:
    """Of several messages about one topic the highest goes, the others travel in it."""
    leader = min([message, *_group(message, box, now)], key=_urgency)
    if leader.id == message.id:
        return None
    return Verdict(Silence.GROUPED, until=max(leader.next_at, now) + timedelta(seconds=1))


def mute(message: Notification, box: Box, now: datetime) -> Verdict | None:
    """Silences, inhibition, the channel's lowest level and quiet hours."""
    if message.subject_kind == "task" and message.subject_id not in box.owed:
        return Verdict(Silence.HANDLED)
    if message.subject_kind == "alert":
        reason = _muted_alert(message, box, now)
        if reason is not None:
            return Verdict(reason)
    if message.subject_kind == "test":
        return None
    if message.level.rank < Level(box.channel.min_level).rank:
        return Verdict(Silence.BELOW_LEVEL)
    until = quiet_until(box.channel.quiet, message.level, now)
    return Verdict(Silence.QUIET_HOURS, until=until) if until else None


def _muted_alert(message: Notification, box: Box, now: datetime) -> Silence | None:
    alert = box.alert(message)
    if alert is None:
        return Silence.GONE
    silenced = mutes(alert, box.silences, now)
    if silenced is not None:
        return silenced
    if message.event == RESOLVED:
        return None if alert.id in box.told else Silence.NOT_TOLD
    if alert.state == AlertState.RESOLVED and resolved_by_person(alert):
        return Silence.HANDLED
    return inhibits(alert, box.alerts.values())


def dedup(message: Notification, box: Box, now: datetime) -> Verdict | None:
    """Nothing twice inside the repeat interval; another story of the topic waits for its end."""
    if message.subject_kind == "task":
        told = [earlier.sent_at for earlier in box.sent if earlier.subject_kind == "task" and earlier.sent_at]
        until = max(told, default=now - TASK_REPEAT) + TASK_REPEAT
        return Verdict(Silence.ALREADY_TOLD, until=until) if now < until else None
    alert = box.alert(message)
    if alert is None or message.event == RESOLVED:
        return None
    over: set[str] = set()
    for earlier in reversed(box.sent):
        other = box.alert(earlier)
        if other is None or other.topic != alert.topic:
            continue
        if earlier.event == RESOLVED:
            over.add(other.key)
            continue
        if other.key == alert.key and other.key in over:
            continue  # people last heard that it was over
        if earlier.sent_at is None or now - earlier.sent_at >= REPEAT or earlier.level.rank < message.level.rank:
            continue
        if other.id != alert.id and other.story_id and alert.story_id and other.story_id != alert.story_id:
            return Verdict(Silence.ALREADY_TOLD, until=earlier.sent_at + REPEAT)
        return Verdict(Silence.ALREADY_TOLD)
    return None


def throttle(message: Notification, box: Box, now: datetime) -> Verdict | None:
    """At most per_hour messages an hour; red and tests pass. The last one of an hour carries the rest (digest)."""
    if message.level == Level.RED or message.subject_kind == "test":
        return None
    in_the_hour = _sent_within_hour(box, now)
    if len(in_the_hour) < box.channel.per_hour:
        return None
    # Room comes when the per_hour-th newest leaves the hour.
    return Verdict(Silence.THROTTLED, until=in_the_hour[-box.channel.per_hour] + HOUR)


def _sent_within_hour(box: Box, now: datetime) -> list[datetime]:
    return sorted(message.sent_at for message in box.sent if message.sent_at and now - message.sent_at < HOUR)


def _group(message: Notification, box: Box, now: datetime) -> list[Notification]:
    """Other pending messages that would be told too: about the same topic, or, of a task, all about tasks."""
    if message.subject_kind == "task":
        return [
            other
            for other in box.pending.values()
            if other.id != message.id and other.subject_kind == "task" and mute(other, box, now) is None
        ]
    alert = box.alert(message)
    if alert is None or message.event == RESOLVED:
        return []
    found = []
    for other in box.pending.values():
        its = box.alert(other)
        if other.id == message.id or its is None or other.event == RESOLVED or its.topic != alert.topic:
            continue
        if _muted_alert(other, box, now) is None and other.level.rank >= Level(box.channel.min_level).rank:
            found.append(other)
    return found


def _digest(message: Notification, box: Box, now: datetime) -> list[Notification]:
    """The others that are due when the hour has room for one more message only."""
    if message.level == Level.RED or message.subject_kind == "test" or message.event == RESOLVED:
        return []
    if len(_sent_within_hour(box, now)) < box.channel.per_hour - 1:
        return []
    return [
        other
        for other in box.pending.values()
        if other.id != message.id
        and other.next_at <= now
        and other.level != Level.RED
        and other.subject_kind != "test"
        and mute(other, box, now) is None
        and dedup(other, box, now) is None
    ]


# -------------------------------------------------------------------------------------------- send and log


def _handle(
    store: Store,
    channel: Channel | None,
    box: Box,
    message: Notification,
    now: datetime,
    clock: Callable[[], datetime],
    insist: Insist,
) -> str:
    found = verdict(message, box, now)
    try:
        if found is not None and found.until is None:
            return _drop(store, box, message, found.reason)
        if found is not None:
            return _put_off(store, box, message, found)
        if channel is None:
            return _wait_for_channel(store, box, message, now)
        claimed = _claim(store, box, message, now)
    except VersionConflict:
        box.pending.pop(message.id, None)
        return "taken"
    outcome, result = _send(channel, box, claimed, clock)
    return _log(store, outcome, result, insist)


def _claim(store: Store, box: Box, message: Notification, now: datetime) -> Notification:
    """Take the message for the time of a lease, with the others that travel in it written into its body."""
    candidates = (*_group(message, box, now), *_digest(message, box, now))
    followers = {other.id: other for other in candidates if other.lease_until is None or other.lease_until <= now}
    lines = [folded_line(other) for other in followers.values()]
    alert = box.alert(message)
    if alert is not None and alert.resolved_at is not None and message.event != RESOLVED:
        lines.append(over_line(alert.resolved_at))
    fresh = [line for line in dict.fromkeys(lines) if line not in message.body]
    rest = [f"另有 {len(fresh) - MOST_FOLDED} 条, 详见看板"] if len(fresh) > MOST_FOLDED else []
    body = "\n".join([message.body, *fresh[:MOST_FOLDED], *rest])
    leased = now + LEASE
    claimed = store.put(message.but(body=body, attempts=message.attempts + 1, lease_until=leased, next_at=leased))
    for follower in followers.values():
        try:
            _drop(store, box, follower, Silence.GROUPED)
        except VersionConflict:
            box.pending.pop(follower.id, None)
    return claimed


def _send(channel: Channel, box: Box, claimed: Notification, clock: Callable[[], datetime]) -> tuple[Notification, str]:
    """The message as it is to be kept, and what became of it."""
    box.pending.pop(claimed.id, None)
    try:
        channel.send(claimed)
    except ChannelBusy as e:
        return _retry(claimed, e, clock())
    except ChannelRefused as e:
        changes = {"state": NotificationState.FAILED, "error": str(e), "reason": str(e.reason), "lease_until": None}
        return claimed.but(**changes), "failed"
    at = clock()
    sent = claimed.but(state=NotificationState.SENT, sent_at=at, lease_until=None, error="", reason="")
    box.sent.append(sent)
    box.told.add(claimed.subject_id)
    return sent, "sent"


def _retry(claimed: Notification, error: ChannelBusy, at: datetime) -> tuple[Notification, str]:
    changes = {"error": str(error), "reason": str(error.reason), "lease_until": None}
    if claimed.attempts >= MAX_ATTEMPTS:
        return claimed.but(state=NotificationState.FAILED, **changes), "failed"
    wait_s = retry_after_s(claimed.attempts, error.after_s)
    return claimed.but(next_at=at + timedelta(seconds=wait_s), **changes), "retry"


def retry_after_s(attempts: int, asked_s: float | None) -> float:
    """30 s doubled with each try, up to an hour; what the other side asked for, if that is longer."""
    doubled: float = FIRST_RETRY_S * 2.0 ** (attempts - 1)
    return min(LAST_RETRY_S, max(doubled, asked_s or 0.0))


def _log(store: Store, message: Notification, result: str, insist: Insist) -> str:
    """A conflict here means that the lease ran out during a very slow send and another worker sent it again."""
    try:
        insist(partial(store.put, message))
    except VersionConflict:
        return "repeated"
    return result


def _drop(store: Store, box: Box, message: Notification, reason: Silence) -> str:
    store.put(message.but(state=NotificationState.DROPPED, reason=str(reason), lease_until=None))
    box.pending.pop(message.id, None)
    return f"dropped_{reason}"


def _put_off(store: Store, box: Box, message: Notification, found: Verdict) -> str:
    later = store.put(message.but(next_at=found.until, reason=str(found.reason), lease_until=None))
    box.pending[message.id] = later
    return f"put_off_{found.reason}"


def _wait_for_channel(store: Store, box: Box, message: Notification, now: datetime) -> str:
    error = "渠道还不能使用, 请运行 python manage.py doctor 查看原因"
    changes: dict[str, object] = {"error": error, "reason": "config"}
    if now - message.created_at >= MAX_WAIT:
        changes["state"] = NotificationState.FAILED
    else:
        changes["next_at"] = now + NO_CHANNEL_WAIT
    store.put(message.but(**changes))
    box.pending.pop(message.id, None)
    return "failed" if "state" in changes else "put_off_no_channel"


def _fail_strangers(store: Store, settings: Sequence[ChannelSettings], horizon: datetime) -> Counter[str]:
    """Messages for channels that are no longer in the settings fail with that reason."""
    known = {setting.id for setting in settings}
    done: Counter[str] = Counter()
    due = store.find(
        Notification,
        {"state": NotificationState.PENDING, "next_at": Between(lt=horizon + timedelta(microseconds=1))},
    )
    for message in due:
        if message.channel in known:
            continue
        changes = {"state": NotificationState.FAILED, "error": "设置里已没有这个渠道", "reason": "config"}
        done[_log(store, message.but(**changes), "failed", once)] += 1
    return done


# --------------------------------------------------------------------------------------------------- fetch


def _pending(store: Store, channel: str) -> list[Notification]:
    return store.find(Notification, {"state": NotificationState.PENDING, "channel": channel})


def _box(store: Store, setting: ChannelSettings, pending: Sequence[Notification], now: datetime) -> Box:
    sent = store.find(
        Notification, {"channel": setting.id, "sent_at": Between(ge=now - max(HOUR, REPEAT))}, order_by="sent_at"
    )
    alive = store.find(Alert, {"state": [AlertState.OPEN, AlertState.ACKNOWLEDGED]})
    alerts = {alert.id: alert for alert in alive}
    told, owed = set(), set()
    for message in (*pending, *sent):
        if message.subject_kind == "alert" and message.subject_id not in alerts:
            alert = store.get(Alert, message.subject_id)
            if alert is not None:
                alerts[alert.id] = alert
    for message in pending:
        if message.subject_kind == "alert" and message.event == RESOLVED and _was_told(store, message):
            told.add(message.subject_id)
        if message.subject_kind == "task":
            task = store.get(Task, message.subject_id)
            if task is not None and task.state in OWED:
                owed.add(task.id)
    return Box(
        channel=setting,
        pending={message.id: message for message in pending},
        sent=sent,
        alerts=alerts,
        silences=store.find(Mute, {"until": Between(ge=now)}),
        told=told,
        owed=owed,
    )


def _was_told(store: Store, message: Notification) -> bool:
    """Whether the channel heard of it, in a message of its own or inside another's."""
    where = {"subject_id": message.subject_id, "channel": message.channel}
    return any(
        each.state == NotificationState.SENT
        or (each.state == NotificationState.DROPPED and each.reason == Silence.GROUPED)
        for each in store.find(Notification, where)
    )


def _urgency(message: Notification) -> tuple[int, datetime, str]:
    return -message.level.rank, message.created_at, message.id
