"""Speed of the embedded store on synthetic mentions: builds it once, then measures what the screens ask."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from index import bench_queries
from index.bench_data import END, batches, synthetic, topics
from index.bench_queries import SEED, phrases, search, spread, timed, trend
from index.embedded import EmbeddedStore
from index.store import StoreError

__all__ = ["build", "run", "synthetic"]


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
            **bench_queries.figures(store),
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
        "write_500": spread([each for _, times, _ in wrote for each in times]),
        "read": spread([each for _, times, _ in read for each in times]),
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
    asked = [search(store, phrase) for phrase in phrases(2)] + [trend(store, topic) for topic in topics()]
    until = time.monotonic() + seconds
    times, errors = [], []
    while time.monotonic() < until:
        try:
            times.append(timed(chance.choice(asked)))
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
