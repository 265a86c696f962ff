"""Speed of the embedded store on synthetic mentions: builds it once, then measures what the screens ask."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from index.bench_data import END, N_KEYS, a_text, batches, synthetic, topics
from index.embedded import EmbeddedStore
from index.models import Intent
from index.store import Dimension, MentionQuery, StoreError

__all__ = ["build", "run", "synthetic"]

SEED = 20_261_126


def run(n_mentions: int = 1_000_000, folder: Path = Path("bench-data"), *, together_s: float = 20) -> dict[str, Any]:
    """Builds the store in the folder unless it is there already, and measures it. All times are milliseconds."""
    path = folder / f"bench-{n_mentions}.db"
    load = build(path, n_mentions)
    store = EmbeddedStore(path)
    try:
        figures = {
            "n_mentions": n_mentions,
            "n_cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "mb": round(store.check()["n_bytes"] / 1e6, 1),
            "load": load,
            "two_characters_newest_20_and_count": _search_times(store, 2),
            "four_characters_newest_20_and_count": _search_times(store, 4),
            "topic_trend_hour_sentiment_30_d": _spread([_timed(_trend(store, topic)) for topic in topics() * 3]),
            "find_originals_of_500": _spread([_timed(_originals(store, number)) for number in range(20)]),
            "overview_24_h": _overview(store, timedelta(hours=24)),
            "overview_30_d": _overview(store, timedelta(days=30)),
        }
    finally:
        store.close()
    return figures | {"two_writers_two_readers": _together(path, folder, seconds=together_s)}


# ----------------------------------------------------------------------------------------------- writing


def build(path: Path, n_mentions: int) -> dict[str, Any]:
    """Returns how fast it went, from a note beside the file where that was built earlier."""
    note = path.with_suffix(".json")
    if note.exists() and path.exists():
        known: dict[str, Any] = json.loads(note.read_text())
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    store = EmbeddedStore(path)
    spent_s, cpu_s, done = 0.0, 0.0, 0
    for batch in batches(n_mentions, random.Random(SEED)):
        started, cpu_started = time.perf_counter(), time.process_time()
        store.add_mentions(batch, now=END)
        spent_s += time.perf_counter() - started
        cpu_s += time.process_time() - cpu_started
        done += len(batch)
        if sys.stderr.isatty():
            print(f"\r{done:,}/{n_mentions:,}", end="", file=sys.stderr)
    store.close()
    figures = {
        "docs_per_s": round(n_mentions / spent_s),
        "docs_per_cpu_s": round(n_mentions / cpu_s),
        "seconds": round(spent_s, 1),
    }
    note.write_text(json.dumps(figures))
    return figures


# ----------------------------------------------------------------------------------------------- reading


def _search_times(store: EmbeddedStore, n_characters: int) -> dict[str, Any]:
    """50 phrases from very frequent to rare, each newest-20 + count, after one round to warm the cache."""
    phrases = _phrases(n_characters)
    for phrase in phrases:
        _search(store, phrase)()
    times = [_timed(_search(store, phrase)) for phrase in phrases]
    return _spread(times) | {
        "n_hits_median": statistics.median(store.count(MentionQuery(text=each)) for each in phrases)
    }


def _phrases(n_characters: int) -> list[str]:
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


def _search(store: EmbeddedStore, phrase: str) -> Callable[[], object]:
    query = MentionQuery(text=phrase)

    def ask() -> object:
        return store.search(query, limit=20), store.count(query)

    return ask


def _trend(store: EmbeddedStore, topic: str) -> Callable[[], object]:
    query = MentionQuery(topics=(topic,), since=END - timedelta(days=30), until=END, copies="fold")

    def ask() -> object:
        return store.group(query, ("hour", "sentiment"))

    return ask


def _originals(store: EmbeddedStore, number: int) -> Callable[[], object]:
    chance = random.Random(number)
    keys = [chance.getrandbits(63) for _ in range(500 * N_KEYS)]

    def ask() -> object:
        return store.find_originals(keys, since=END - timedelta(days=30))

    return ask


def _overview(store: EmbeddedStore, period: timedelta) -> dict[str, Any]:
    """All that 总览 asks for the largest topic; the middle of five rounds."""
    topic = topics()[0]
    now = MentionQuery(topics=(topic,), since=END - period, until=END, copies="fold")
    before = now.model_copy(update={"since": END - 2 * period, "until": END - period})
    with_copies = now.model_copy(update={"copies": "all"})
    everything = now.model_copy(update={"topics": ()})

    def group(query: MentionQuery, *by: Dimension) -> Callable[[], object]:
        def ask() -> object:
            return store.group(query, by)

        return ask

    def count(query: MentionQuery) -> Callable[[], object]:
        def ask() -> object:
            return store.count(query)

        return ask

    asked = {
        "volume": count(now),
        "volume_before": count(before),
        "sentiments": group(now, "sentiment"),
        "sentiments_before": group(before, "sentiment"),
        "complaints": count(now.model_copy(update={"intents": (Intent.COMPLAINT,)})),
        "trend": group(now, "hour", "sentiment"),
        "stories": group(with_copies, "story"),
        "aspects": group(now, "aspect_polarity"),
        "platforms": group(now, "platform"),
        "share_of_voice": group(everything, "topic", "sentiment"),
    }
    rounds = [{name: _timed(ask) for name, ask in asked.items()} for _ in range(5)]
    each = {name: round(statistics.median(found[name] for found in rounds), 1) for name in asked}
    return {"together": round(statistics.median(sum(found.values()) for found in rounds), 1), "each": each}


def _timed(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1000


def _spread(times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 2),
        "max": round(ordered[-1], 2),
    }


# -------------------------------------------------------------------------------------------- side by side


def _together(path: Path, folder: Path, *, seconds: float) -> dict[str, Any]:
    """Two processes write, two read, all at once, on a copy."""
    copy = folder / "bench-together.db"
    for part in (copy, copy.with_name(copy.name + "-wal"), copy.with_name(copy.name + "-shm")):
        part.unlink(missing_ok=True)
    shutil.copyfile(path, copy)
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        writers = [pool.apply_async(_write_for, (copy, seconds, number)) for number in range(2)]
        readers = [pool.apply_async(_read_for, (copy, seconds, number)) for number in range(2)]
        wrote, read = [each.get() for each in writers], [each.get() for each in readers]
    copy.unlink()
    return {
        "writers_docs_per_s": [round(n / seconds) for n, _, _ in wrote],
        "write_500": _spread([each for _, times, _ in wrote for each in times]),
        "read": _spread([each for _, times, _ in read for each in times]),
        "errors": [error for _, _, errors in (*wrote, *read) for error in errors],
    }


def _write_for(path: Path, seconds: float, number: int) -> tuple[int, list[float], list[str]]:
    store, chance = EmbeddedStore(path), random.Random(number)
    until = time.monotonic() + seconds
    n, times, errors = 0, [], []
    while time.monotonic() < until:
        batch = [synthetic(f"w{number}-{n + each}", _lately(chance), chance, []) for each in range(500)]
        started = time.perf_counter()
        try:
            store.add_mentions(batch, now=END)
        except StoreError as e:
            errors.append(str(e))
        times.append((time.perf_counter() - started) * 1000)
        n += len(batch)
    store.close()
    return n, times, errors


def _lately(chance: random.Random) -> datetime:
    return END - timedelta(seconds=chance.randrange(86_400))


def _read_for(path: Path, seconds: float, number: int) -> tuple[int, list[float], list[str]]:
    store, chance = EmbeddedStore(path), random.Random(number)
    asked = [_search(store, phrase) for phrase in _phrases(2)] + [_trend(store, topic) for topic in topics()]
    until = time.monotonic() + seconds
    times, errors = [], []
    while time.monotonic() < until:
        try:
            times.append(_timed(chance.choice(asked)))
        except StoreError as e:
            errors.append(str(e))
    store.close()
    return len(times), times, errors


def main() -> None:
    n_mentions = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("bench-data")
    print(json.dumps(run(n_mentions, folder), ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
