"""What a rule would have done on stored mentions, by the very functions of the live worker, without acting."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from alerts import crisis, facts
from alerts.rules import MATCH_MAX_AGE, Facts, can_see, evaluate
from alerts.series import SLOT, end_slot, slot_start
from alerts.watch import ALIVE
from index.models import Alert, Breach, Mention, Rule
from index.store import Store


def try_rule(store: Store, rule: Rule, since: datetime, until: datetime) -> list[Breach]:
    """What the rule would have told between the two, at the steps of the live worker, without acting.

    Same facts, same evaluate, same life cycle; only the newly indexed mentions of a match rule are taken
    by when they were published. At least every five minutes, at most an hour.
    """
    breaches: list[Breach] = []
    for topic in facts.topics_of(store, rule):
        known = facts.gather(store, rule, topic, since=since, until=until)
        breaches += try_facts(rule, known, since, until)
    breaches.sort(key=_moment)
    return [facts.with_evidence(store, rule, breach) for breach in breaches]


def try_facts(rule: Rule, known: Facts, since: datetime, until: datetime) -> list[Breach]:
    """The told breaches of one topic, without their evidence."""
    step = max(SLOT, min(timedelta(hours=1), timedelta(seconds=rule.every_s)))
    step = SLOT * -(-step // SLOT)
    alerts: dict[str, Alert] = {}
    told: list[Breach] = []
    recent = sorted(known.recent, key=_published)
    place = 0
    now = slot_start(end_slot(since))
    while now <= until:
        begun = place
        while place < len(recent) and recent[place].published_at <= now:
            place += 1
        ongoing = any(alert.story_id is None and alert.state in ALIVE for alert in alerts.values())
        n_day = len({m.story_id or m.id for m in recent[:place] if now - MATCH_MAX_AGE <= m.published_at})
        at_now = replace(known, recent=tuple(recent[begun:place]), n_day=n_day, ongoing=ongoing)
        told += _step(rule, at_now, now, alerts)
        now += step
    return told


def _step(rule: Rule, known: Facts, now: datetime, alerts: dict[str, Alert]) -> list[Breach]:
    told = []
    breaches = evaluate(rule, known, now)
    for breach in breaches:
        key = crisis.key_of(breach)
        alerts[key], events = crisis.apply(breach, alerts.get(key), now, rule)
        if events:
            told.append(breach)
    breached = {crisis.key_of(breach) for breach in breaches}
    over = [key for key, alert in alerts.items() if key not in breached and alert.state in ALIVE]
    if over and can_see(rule, known, now):
        alerts |= {key: crisis.expire(alerts[key], now, rule)[0] for key in over}
    return told


def _moment(breach: Breach) -> tuple[datetime, str, str]:
    return breach.at, breach.topic, breach.story_id or ""


def _published(mention: Mention) -> datetime:
    return mention.published_at
