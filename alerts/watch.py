"""One evaluation of one rule: facts -> breaches -> alerts -> outbox. A kill anywhere repairs itself next time.

1. Facts are gathered and evaluated (alerts/facts.py, alerts/rules.py).
2. The alert of each breach is written by compare-and-set under an id built from its cause.
3. Messages are derived from the timelines of living and lately resolved alerts and put if absent, so a kill
   after step 2 only delays them until the next evaluation.
4. seen_until of a match rule moves last, so mentions are looked at again rather than not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from alerts import crisis, facts
from alerts.facts import FactsCache
from alerts.outbox import MAX_AGE, OWED, alert_notification_ids, alert_notifications, overdue_notifications
from alerts.rules import can_see, evaluate
from index.models import Alert, AlertState, Breach, Notification, Rule, Source, Task, Topic
from index.store import Between, Store, VersionConflict
from settings import Settings

ALIVE = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
MAX_TRIES = 5


def watch(
    store: Store, rule: Rule, *, settings: Settings, now: datetime, cache: FactsCache | None = None
) -> list[Alert]:
    """Evaluate a claimed rule once; returns the alerts that were opened, raised or resolved.

    The caller claims the rule (moves next_at) before, and keeps one cache for the life of the process.
    """
    cache = cache or FactsCache()
    told: list[Alert] = []
    for topic in facts.topics_of(store, rule):
        told += _watch_topic(store, rule, topic, now, cache)
    tell(store, rule, settings=settings, now=now)
    if rule.kind == "match":
        _move_seen_until(store, rule, now)
    return told


def _watch_topic(store: Store, rule: Rule, topic: Topic | None, now: datetime, cache: FactsCache) -> list[Alert]:
    topic_id = topic.id if topic else ""
    alive = store.find(Alert, {"rule": rule.id, "topic": topic_id, "state": list(ALIVE)})
    known = facts.gather(store, rule, topic, until=now, cache=cache)
    known = replace(known, ongoing=any(alert.story_id is None for alert in alive))
    breaches = evaluate(rule, known, now)
    told = []
    for breach in breaches:
        told += _write(store, crisis.key_of(breach), _applied(facts.with_evidence(store, rule, breach), now, rule))
    if can_see(rule, known, now):
        breached = {crisis.key_of(breach) for breach in breaches}
        for alert in alive:
            if alert.key not in breached:
                told += _write(store, alert.key, _expired(now, rule))
    return told


Change = Callable[[Alert | None], tuple[Alert | None, tuple[str, ...]]]


def _applied(breach: Breach, now: datetime, rule: Rule) -> Change:
    def change(alert: Alert | None) -> tuple[Alert | None, tuple[str, ...]]:
        return crisis.apply(breach, alert, now, rule)

    return change


def _expired(now: datetime, rule: Rule) -> Change:
    def change(alert: Alert | None) -> tuple[Alert | None, tuple[str, ...]]:
        return crisis.expire(alert, now, rule) if alert else (None, ())

    return change


def _write(store: Store, key: str, change: Change) -> list[Alert]:
    """Apply a change to the newest alert of a key; start again if a person or another worker was faster."""
    for _ in range(MAX_TRIES):
        newest = store.find(Alert, {"key": key}, order_by="opened_at", descending=True, limit=1)
        before = newest[0] if newest else None
        after, events = change(before)
        if after is None or after == before:
            return []
        try:
            after = store.put(after)
        except VersionConflict:
            continue
        return [after] if events else []
    # Somebody else keeps writing it; the next evaluation comes in a minute and finds the same facts.
    return []


def tell(store: Store, rule: Rule, *, settings: Settings, now: datetime) -> list[Notification]:
    """Put the messages that the rule's timelines call for and that are not there yet."""
    lately = store.find(
        Alert, {"rule": rule.id, "state": AlertState.RESOLVED}, order_by="opened_at", descending=True, limit=50
    )
    recent = [alert for alert in lately if alert.resolved_at and now - alert.resolved_at < MAX_AGE]
    put: list[Notification] = []
    for alert in (*store.find(Alert, {"rule": rule.id, "state": list(ALIVE)}), *recent):
        ids = alert_notification_ids(alert, rule, settings.channels, now)
        if all(store.get(Notification, notification_id) for notification_id in ids):
            continue
        put += _put_absent(store, alert, rule, settings, now)
    return put


def _put_absent(store: Store, alert: Alert, rule: Rule, settings: Settings, now: datetime) -> list[Notification]:
    mentions = store.mentions(alert.evidence)
    evidence = [mentions[mention_id] for mention_id in alert.evidence if mention_id in mentions]
    wanted = alert_notifications(
        alert,
        rule=rule,
        subject=_subject(store, alert),
        channels=settings.channels,
        mentions=[mention for mention in evidence if mention.hidden is None],
        base_url=settings.base_url,
        now=now,
    )
    return [put for each in wanted if (put := _put_once(store, each)) is not None]


def tell_overdue(store: Store, *, settings: Settings, now: datetime) -> list[Notification]:
    """Put the message of every task whose first reply is overdue, unless it was put before."""
    overdue = store.find(Task, {"state": list(OWED), "due_at": Between(lt=now)})
    wanted = overdue_notifications(overdue, channels=settings.channels, base_url=settings.base_url, now=now)
    return [put for each in wanted if (put := _put_once(store, each)) is not None]


def _put_once(store: Store, notification: Notification) -> Notification | None:
    if store.get(Notification, notification.id) is not None:
        return None
    try:
        return store.put(notification)
    except VersionConflict:
        return None


def _subject(store: Store, alert: Alert) -> str:
    if alert.topic:
        topic = store.get(Topic, alert.topic)
        return topic.name if topic else alert.topic
    source = store.get(Source, (alert.story_id or "").removeprefix("source:"))
    return source.name if source else "来源"


def _move_seen_until(store: Store, rule: Rule, now: datetime) -> None:
    for _ in range(MAX_TRIES):
        current = store.get(Rule, rule.id)
        if current is None or (current.seen_until and current.seen_until >= now):
            return
        try:
            store.put(current.but(seen_until=now))
        except VersionConflict:
            continue
        return
