"""What the screens ask of a store, timed: one set of questions for every backend. All times are milliseconds."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from index.bench_data import END, N_KEYS, a_text, topics
from index.models import Intent
from index.store import Dimension, MentionQuery, Store

SEED = 20_261_126
_ROUNDS = 40


def figures(store: Store) -> dict[str, Any]:
    """Each question is asked first without being timed: a service is not measured by its first minute."""
    trends = [trend(store, topic) for topic in topics()]
    others = [_originals(store, 100 + number) for number in range(5)]
    for ask in (*trends, *others):
        ask()
    return {
        "two_characters_newest_20_and_count": _search_times(store, 2),
        "four_characters_newest_20_and_count": _search_times(store, 4),
        "topic_trend_hour_sentiment_30_d": spread([timed(ask) for ask in trends * 3]),
        "find_originals_of_500": spread([timed(_originals(store, number)) for number in range(20)]),
        "overview_24_h": _overview(store, timedelta(hours=24)),
        "overview_30_d": _overview(store, timedelta(days=30)),
    }


def _search_times(store: Store, n_characters: int) -> dict[str, Any]:
    """50 phrases from very frequent to rare, each newest-20 + count, after one round to warm the cache."""
    wanted = phrases(n_characters)
    for phrase in wanted:
        search(store, phrase)()
    times = [timed(search(store, phrase)) for phrase in wanted]
    return spread(times) | {
        "n_hits_median": statistics.median(store.count(MentionQuery(text=phrase)) for phrase in wanted)
    }


def phrases(n_characters: int) -> list[str]:
    """Cut from texts of the same grammar, so frequent ones come often."""
    chance = random.Random(SEED + n_characters)
    found: dict[str, None] = {}
    while len(found) < 50:
        text = a_text(chance)
        at = chance.randrange(len(text))
        phrase = text[at : at + n_characters]
        if len(phrase) == n_characters and all("\u4e00" <= character <= "\u9fff" for character in phrase):
            found[phrase] = None
    return list(found)


def search(store: Store, phrase: str) -> Callable[[], object]:
    query = MentionQuery(text=phrase)

    def ask() -> object:
        return store.search(query, limit=20), store.count(query)

    return ask


def trend(store: Store, topic: str) -> Callable[[], object]:
    query = MentionQuery(topics=(topic,), since=END - timedelta(days=30), until=END, copies="fold")

    def ask() -> object:
        return store.group(query, ("hour", "sentiment"))

    return ask


def _originals(store: Store, number: int) -> Callable[[], object]:
    chance = random.Random(number)
    keys = [chance.getrandbits(63) for _ in range(500 * N_KEYS)]

    def ask() -> object:
        return store.find_originals(keys, since=END - timedelta(days=30))

    return ask


def _overview(store: Store, period: timedelta) -> dict[str, Any]:
    """All that 总览 asks for the largest topic, again and again."""
    topic = topics()[0]
    now = MentionQuery(topics=(topic,), since=END - period, until=END, copies="fold")
    before = now.model_copy(update={"since": END - 2 * period, "until": END - period})
    copies = now.model_copy(update={"copies": "only"})
    everything = now.model_copy(update={"topics": ()})

    def group(query: MentionQuery, *by: Dimension) -> Callable[[], object]:
        def ask() -> object:
            return store.group(query, by)

        return ask

    def count(query: MentionQuery) -> Callable[[], object]:
        def ask() -> object:
            return store.count(query)

        return ask

    def most_copied() -> object:
        return store.group(copies, ("story",), top=5)

    asked = {
        "volume": count(now),
        "volume_before": count(before),
        "sentiments": group(now, "sentiment"),
        "sentiments_before": group(before, "sentiment"),
        "complaints": count(now.model_copy(update={"intents": (Intent.COMPLAINT,)})),
        "trend": group(now, "hour", "sentiment"),
        "stories": most_copied,
        "aspects": group(now, "aspect_polarity"),
        "platforms": group(now, "platform"),
        "share_of_voice": group(everything, "topic", "sentiment"),
    }
    for ask in asked.values():
        ask()
    rounds = [{name: timed(ask) for name, ask in asked.items()} for _ in range(_ROUNDS)]
    each = {name: spread([found[name] for found in rounds]) for name in asked}
    return {
        "together": round(statistics.median(sum(found.values()) for found in rounds), 1),
        "each": {name: round(found["p50"], 1) for name, found in each.items()},
        "each_p95": {name: round(found["p95"], 1) for name, found in each.items()},
    }


def timed(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1000


def spread(times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 2),
        "max": round(ordered[-1], 2),
    }
