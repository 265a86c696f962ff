"""The one place where rules meet the store: gathers what evaluate looks at, and nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from alerts.rules import CRISIS_WORDS, MATCH_MAX_AGE, QUIET_DAYS, SUCCESSES, Facts, SourceFacts
from alerts.series import DAY_SLOTS, SLOT_S, WEEK_SLOTS, Series, end_slot, slot_of, slot_of_key, slot_start
from index.models import Breach, Mention, Outcome, Rule, Run, Sentiment, Source, Topic
from index.store import Between, Dimension, MentionQuery, Store
from settings import OWN_KINDS

FRESH = timedelta(hours=24)
"""The last day is counted anew each time; what is older is kept for an hour, as late mentions are rare there."""
OVERLAP = timedelta(minutes=10)
"""Match rules look this far back behind seen_until, because a batch is stamped before it is committed."""
LOOK_BACK = timedelta(weeks=14)
"""Longer than any rule needs (12 baseline weeks and one more)."""
MAX_RECENT = 2000
N_EVIDENCE = 10
SETTLE = timedelta(minutes=15)
"""After a gap a source is left out this much longer: the backlog arrives with the first run."""

Groups = dict[tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class _Kept:
    """Groups up to `cut` as they were at a moment."""

    cut: datetime
    at: datetime
    groups: Groups


class FactsCache:
    """What a worker remembers between evaluations: old counts for an hour, runs for good."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, tuple[Dimension, ...]], _Kept] = {}
        self._runs: dict[str, tuple[datetime, list[Run]]] = {}

    def group(self, store: Store, query: MentionQuery, by: tuple[Dimension, ...], until: datetime) -> Groups:
        """Like Store.group up to `until`; what lies before the last day is counted anew each hour, or once
        much of it was indexed since (the first crawl of a source brings its past)."""
        if query.since is None or until - query.since <= FRESH * 2:
            return store.group(query.model_copy(update={"until": until}), by)
        hour = until.replace(minute=0, second=0, microsecond=0)
        cut = hour - FRESH
        key = (query.model_copy(update={"since": None}).model_dump_json(), by)
        old = query.model_copy(update={"until": cut})
        kept = self._groups.get(key)
        if kept is None or kept.cut != cut or self._has_late(store, old, kept):
            kept = _Kept(cut=cut, at=until, groups=store.group(old, by))
            self._groups[key] = kept
        fresh = store.group(query.model_copy(update={"since": cut, "until": until}), by)
        total = dict(kept.groups)
        for group, n in fresh.items():
            total[group] = total.get(group, 0) + n
        return total

    def _has_late(self, store: Store, old: MentionQuery, kept: _Kept) -> bool:
        """Whether more than a hundredth of it was indexed since; a few old posts a minute are usual."""
        late = MentionQuery(topics=old.topics, until=kept.cut, indexed_since=kept.at - OVERLAP)
        return store.count(late) * 100 > sum(kept.groups.values())

    def runs(self, store: Store, source: str, since: datetime) -> list[Run]:
        """Runs of a source since then, by their end; only those that are new since the last call are read."""
        asked, known = self._runs.get(source, (since, []))
        if since < asked:
            asked, known = since, []
        after = known[-1].started_at if known else asked
        found = store.find(Run, {"source": source, "started_at": Between(ge=after)}, order_by="started_at")
        ids = {run.id for run in found}
        runs = sorted([*(run for run in known if run.id not in ids), *found], key=_finished)
        oldest = runs[-1].finished_at - LOOK_BACK if runs else asked
        self._runs[source] = (asked, [run for run in runs if run.finished_at >= oldest])
        return [run for run in runs if run.started_at >= since]


def _finished(run: Run) -> datetime:
    return run.finished_at


def topics_of(store: Store, rule: Rule) -> list[Topic | None]:
    """What the rule is evaluated for, one by one; None stands for the sources of a quiet rule."""
    if rule.kind == "quiet" and not rule.topics:
        return [None]
    topics = store.find(Topic, {"enabled": True})
    if rule.topics:
        return [topic for topic in topics if topic.id in rule.topics]
    return [topic for topic in topics if topic.kind in OWN_KINDS]


def gather(
    store: Store,
    rule: Rule,
    topic: Topic | None,
    *,
    until: datetime,
    since: datetime | None = None,
    cache: FactsCache | None = None,
) -> Facts:
    """Facts for an evaluation at `until`, or, with since, for any moment between the two."""
    since = since or until
    cache = cache or FactsCache()
    if rule.kind == "quiet":
        return _quiet_facts(store, topic, since, until, cache)
    assert topic is not None
    if rule.kind == "match":
        recent = _recent(store, rule, topic, since, until)
        day = matching(rule, topic.id).model_copy(
            update={"since": until - MATCH_MAX_AGE, "until": until, "copies": "fold"}
        )
        return Facts(topic=topic.id, topic_name=topic.name, recent=recent, n_day=store.count(day) if recent else 0)
    weeks = rule.baseline_weeks + 1 if rule.kind == "spike" else 0
    first = slot_of(since) - weeks * WEEK_SLOTS - rule.window_m * 60 // SLOT_S - DAY_SLOTS
    query = matching(rule, topic.id).model_copy(update={"since": slot_start(first)})
    base = query.model_copy(update={"text": "", "sentiments": ()})
    # Days are of Beijing time, so the running day's beginning may lie before the first slot.
    days = cache.group(store, base, ("day", "source"), until) if rule.kind == "spike" else {}
    series = _series(store, rule, query, days, first, since, until, cache)
    active = tuple(slot_start(slot) for slot in sorted({slot_of_key(day) for day, _ in days}))
    return Facts(topic=topic.id, topic_name=topic.name, series=series, active_days=active)


def matching(rule: Rule, topic: str) -> MentionQuery:
    """The mentions a rule counts: copies folded, its sentiment, its query and its words."""
    sentiments = () if rule.sentiment == "any" else (Sentiment(rule.sentiment),)
    return MentionQuery(text=_text(rule), topics=(topic,), sentiments=sentiments, copies="fold")


def _text(rule: Rule) -> str:
    parts = [f"({rule.query})"] if rule.query else []
    if rule.words:
        parts.append(any_of(rule.words))
    return " AND ".join(parts)


def any_of(words: Iterable[str]) -> str:
    quoted = [f'"{word}"' for word in (raw.replace('"', " ").replace("\\", " ").strip() for raw in words) if word]
    return "(" + " OR ".join(quoted) + ")"


def with_evidence(store: Store, rule: Rule, breach: Breach) -> Breach:
    """The breach with the window's most telling mentions: grave ones, then those that moved most people."""
    if breach.evidence or rule.kind == "quiet":
        return breach
    since = slot_start(end_slot(breach.at) - rule.window_m * 60 // SLOT_S)
    query = matching(rule, breach.topic).model_copy(update={"since": since, "until": breach.at})
    mentions = sorted(store.search(query, limit=200).mentions, key=impact, reverse=True)
    return breach.model_copy(update={"evidence": tuple(mention.id for mention in mentions[:N_EVIDENCE])})


def impact(mention: Mention) -> tuple[int, int, int, str]:
    """Sort key, larger is more telling."""
    acts = mention.engagement
    moved = sum(n or 0 for n in (acts.likes, acts.comments, acts.reposts))
    followers = (mention.persona.followers if mention.persona else None) or 0
    return mention.severity or 0, moved, followers, mention.id


def _recent(store: Store, rule: Rule, topic: Topic, since: datetime, until: datetime) -> tuple[Mention, ...]:
    """Mentions a match rule has not looked at: newly indexed ones, or for a trial all that were published."""
    query = matching(rule, topic.id)
    if since == until:
        seen = rule.seen_until - OVERLAP if rule.seen_until else None
        query = query.model_copy(update={"indexed_since": seen, "since": until - MATCH_MAX_AGE, "until": until})
    else:
        query = query.model_copy(update={"since": since, "until": until})
    found: list[Mention] = []
    after: str | None = None
    while len(found) < MAX_RECENT or since != until:
        page = store.search(query, limit=500, after=after)
        found.extend(page.mentions)
        after = page.after
        if after is None:
            break
    return tuple(found)


def _series(
    store: Store,
    rule: Rule,
    query: MentionQuery,
    days: Mapping[tuple[str, ...], int],
    first: int,
    since: datetime,
    until: datetime,
    cache: FactsCache,
) -> Series:
    by: tuple[Dimension, ...] = ("five_minutes", "source", "severity")
    counts = cache.group(store, query, by, until)
    crisis = any_of(CRISIS_WORDS)
    with_words = query.model_copy(
        update={
            "text": f"{query.text} AND {crisis}" if query.text else crisis,
            # Crisis words only lift the level, so they are not needed for the past.
            "since": slot_start(end_slot(since) - rule.window_m * 60 // SLOT_S),
            "until": until,
        }
    )
    words = store.group(with_words, ("five_minutes", "source"))
    sources = sorted({key[1] for key in counts} | {key[1] for key in days})
    down = {}
    if rule.kind == "spike":
        started = _first_days(days)
        began = min(started.values(), default=first)
        for source in sources:
            down[source] = _down(store, source, (started.get(source), began), rule, first, until, cache)
    return build_series(first, until, sources, counts, words, down)


def build_series(
    first: int,
    until: datetime,
    sources: list[str],
    counts: Mapping[tuple[str, ...], int],
    words: Mapping[tuple[str, ...], int],
    down: Mapping[str, list[tuple[int, int]]],
) -> Series:
    """Arrays from the groups of a store; down gives half-open ranges of slots for each source."""
    n_slots = end_slot(until) - first
    rows = {source: row for row, source in enumerate(sources)}
    shape = (len(sources), n_slots)
    all_, severe, worded = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    slots: dict[str, int] = {}
    for (key, source, severity), n in counts.items():
        column = slots.setdefault(key, slot_of_key(key)) - first
        if 0 <= column < n_slots:
            all_[rows[source], column] += n
            if severity == "2":
                severe[rows[source], column] += n
    for (key, source), n in words.items():
        column = slots.setdefault(key, slot_of_key(key)) - first
        if 0 <= column < n_slots and source in rows:
            worded[rows[source], column] += n
    hidden = np.zeros(shape, dtype=np.bool_)
    for source, ranges in down.items():
        for start, stop in ranges:
            hidden[rows[source], max(0, start - first) : max(0, stop - first)] = True
    return Series(first=first, sources=tuple(sources), counts=all_, severe=severe, words=worded, down=hidden)


def _first_days(days: Mapping[tuple[str, ...], int]) -> dict[str, int]:
    started: dict[str, int] = {}
    for day, source in days:
        slot = slot_of_key(day)
        started[source] = min(slot, started.get(source, slot))
    return started


def _down(
    store: Store,
    source: str,
    began: tuple[int | None, int],
    rule: Rule,
    first: int,
    until: datetime,
    cache: FactsCache,
) -> list[tuple[int, int]]:
    """Ranges of slots in which nothing can be said of a source: before its first day, and in its gaps.

    began holds the first days of the source and of the topic.
    """
    runs = cache.runs(store, source, slot_start(first))
    if not runs:
        # Imported, not crawled: it was there as long as the topic was.
        return [(first, began[1])]
    record = store.get(Source, source)
    every = timedelta(seconds=record.every_s if record else 900)
    tolerance = max(3 * every, timedelta(minutes=30), min(timedelta(minutes=rule.window_m / 2), timedelta(hours=6)))
    return down_ranges([(run.finished_at, run.outcome) for run in runs], tolerance, began[0], first, until)


def down_ranges(
    runs: list[tuple[datetime, Outcome]],
    tolerance: timedelta,
    first_day: int | None,
    first: int,
    until: datetime,
) -> list[tuple[int, int]]:
    """From when the last success is older than the tolerance until the next one has settled.

    Only what was known at a slot decides about it, so a trial sees the gaps that the live rule saw.
    Before the first run of a source that was set up later, its own first mention says where its past begins.
    """
    successes = [at for at, outcome in runs if outcome in SUCCESSES and at <= until]
    ranges: list[tuple[int, int]] = []
    # Runs from the very beginning of the span mean that the source was watched all along.
    watched = slot_of(runs[0][0]) if runs else None
    began = [slot for slot in (watched, first_day) if slot is not None]
    if began and not (watched is not None and watched <= first + DAY_SLOTS):
        ranges.append((first, min(began)))
    for last, following in pairwise([*successes, until + timedelta(days=1)]):
        if following - last > tolerance and last + tolerance < until:
            ranges.append((end_slot(last + tolerance), end_slot(following + SETTLE)))
    return ranges


def _quiet_facts(store: Store, topic: Topic | None, since: datetime, until: datetime, cache: FactsCache) -> Facts:
    first = slot_of(since) - (QUIET_DAYS + 2) * DAY_SLOTS
    query = MentionQuery(topics=(topic.id,) if topic else (), since=slot_start(first))
    groups = cache.group(store, query, ("five_minutes", "source"), until)
    if topic:
        counts: Groups = {(key, "", ""): 0 for key, _ in groups}
        for (key, _), n in groups.items():
            counts[(key, "", "")] += n
        return Facts(topic=topic.id, topic_name=topic.name, series=build_series(first, until, [""], counts, {}, {}))
    sources = [
        _source_facts(store, source, groups, first, until, cache) for source in store.find(Source, {"enabled": True})
    ]
    return Facts(topic="", topic_name="", sources=tuple(sources))


def _source_facts(
    store: Store, source: Source, groups: Groups, first: int, until: datetime, cache: FactsCache
) -> SourceFacts:
    runs = [(run.finished_at, run.outcome) for run in cache.runs(store, source.id, slot_start(first))]
    counts: Groups = {(key, source.id, ""): n for (key, name), n in groups.items() if name == source.id}
    tolerance = max(timedelta(seconds=3 * source.every_s), timedelta(minutes=30))
    down = {source.id: down_ranges(runs, tolerance, None, first, until)}
    return SourceFacts(
        id=source.id,
        name=source.name,
        every_s=source.every_s,
        runs=tuple(runs),
        series=build_series(first, until, [source.id], counts, {}, down),
    )
