"""Speed of the Elasticsearch store on synthetic mentions: loads them once, a part of them beside a bare bulk load of
the same documents, then asks what the screens ask.

All of it can be cut off at any time and goes on where it was: a slice of mentions that is there is not loaded again.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from elasticsearch import helpers

from index import bench_queries
from index.bench_data import BATCH, END, batches
from index.bench_queries import SEED
from index.elastic import ElasticStore
from index.elastic_connection import connect
from index.elastic_fence import drop_indices, drop_template
from index.elastic_rows import document_of
from index.elastic_schema import Names
from index.models import Mention
from index.store import MentionQuery, StoreError
from settings import StoreSettings

SLICE = 24 * BATCH
"""Mentions that are made, and then loaded, at a time."""
MOST_BESIDE = 1_000_000
"""With more mentions than this only loading is wanted, not a comparison."""
_THREADS = 4
"""Of both loads; it is what helpers.parallel_bulk has by itself."""
_PROCESSES = 3
_DAYS_OF_MONTH = 365.25 / 12
_TIMEOUT_S = 300
_SETTLE_S = 1_800
_EVERYTHING = MentionQuery(hidden="with")


@dataclass(frozen=True)
class Slice:
    """A part of the mentions, made in the same way each time, and known by its time."""

    first: int
    """The number of its first mention."""
    n: int
    since: datetime
    until: datetime

    def batches(self) -> Iterator[list[Mention]]:
        chance = random.Random(f"{SEED} {self.first}")
        return batches(self.n, chance, since=self.since, until=self.until, first=self.first)

    def query(self) -> MentionQuery:
        return _EVERYTHING.model_copy(update={"since": self.since, "until": self.until})


def run(settings: StoreSettings, n_mentions: int, folder: Path, *, months: int = 3) -> dict[str, Any]:
    """settings name the server; the mentions lie in indices of their own there, beside those of a service.

    The figures of the load are kept in the folder. All times are milliseconds. Raises StoreError.
    """
    prefix = f"{settings.prefix}-bench-{n_mentions}-{months}"
    settings = settings.model_copy(update={"prefix": prefix, "replicas": 0, "timeout_s": _TIMEOUT_S})
    slices = _slices(n_mentions, months)
    note = folder / f"elasticsearch-{n_mentions}-{months}.json"
    store = ElasticStore(settings)
    try:
        server = store.check()["server"]  # everything written before is seen from here on
        load = (_load_beside if n_mentions <= MOST_BESIDE else _load)(settings, store, slices, note)
        n_bytes = _settled(settings, store)
        with _without_request_cache(settings):
            figures = bench_queries.figures(store)
    finally:
        store.close()
    return {
        "server": server,
        "n_mentions": n_mentions,
        "n_months": months,
        "n_cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "gb_per_million": round(n_bytes / n_mentions / 1000, 3),
        "load": load,
        **figures,
    }


def _slices(n_mentions: int, months: int) -> list[Slice]:
    """Each of whole seconds, as the instants of the mentions are."""
    until = END.replace(microsecond=0)
    since = until - timedelta(days=round(months * _DAYS_OF_MONTH))
    seconds = int((until - since).total_seconds())
    firsts = range(0, n_mentions, SLICE)
    starts = [since + timedelta(seconds=seconds * first // n_mentions) for first in firsts]
    return [
        Slice(first, min(SLICE, n_mentions - first), start, end)
        for first, start, end in zip(firsts, starts, [*starts[1:], until], strict=True)
    ]


# ---------------------------------------------------------------------------------------------- loading


def _load_beside(settings: StoreSettings, store: ElasticStore, slices: list[Slice], note: Path) -> dict[str, Any]:
    """Slice by slice through the store and, twice, through helpers.parallel_bulk: with documents that are made of the
    mentions on the way, as the store must, and with documents that were made before.

    All write into indices of the same kind, each first in its turn, and what is measured is the time from the first
    mention of a slice to its last answer. Making the mentions is left out.
    """
    bare, prepared = (
        settings.model_copy(update={"prefix": f"{settings.prefix}-{how}"}) for how in ("bare", "prepared")
    )
    there, n_there = _read(note), store.count(_EVERYTHING)
    if n_there < sum(each.n for each in slices[: there["n_slices"]]):
        there = dict.fromkeys(there, 0)  # the indices were deleted
    wanted = slices[there["n_slices"] :]
    if wanted:
        for of_load in (bare, prepared):
            ElasticStore(of_load).close()  # makes the template
    # The slice that was cut off is there in part already, which takes another time.
    is_timed = not n_there
    for each in wanted:
        made = list(each.batches())
        loads: list[tuple[str, Callable[[], None]]] = [
            ("ours_s", _ours(store, made)),
            ("bare_s", _parallel_bulk(bare, _documents(bare, made))),
            ("prepared_s", _parallel_bulk(prepared, list(_documents(prepared, made)))),
        ]
        first = there["n_slices"] % len(loads)
        # Python's garbage collector is not to go through what is prepared here again and again.
        gc.freeze()
        for name, load in loads[first:] + loads[:first]:
            took_s = bench_queries.timed(load) / 1000
            there[name] += took_s if is_timed else 0
        gc.unfreeze()
        there["n_timed"] += each.n if is_timed else 0
        there["n_slices"] += 1
        is_timed = True
        note.write_text(json.dumps(there))
        _tell(f"{each.first + each.n:,} 条: {_rates(there)}")
    _drop(bare)
    _drop(prepared)
    return _rates(there)


def _read(note: Path) -> dict[str, Any]:
    nothing: dict[str, Any] = {"n_slices": 0, "n_timed": 0, "ours_s": 0.0, "bare_s": 0.0, "prepared_s": 0.0}
    said: dict[str, Any] = json.loads(note.read_text()) if note.exists() else nothing
    return said if said.keys() == nothing.keys() else nothing


def _rates(there: dict[str, Any]) -> dict[str, Any]:
    if not there["n_timed"]:
        return {}
    return {
        "docs_per_s": round(there["n_timed"] / there["ours_s"]),
        "bare_parallel_bulk_docs_per_s": round(there["n_timed"] / there["bare_s"]),
        "prepared_parallel_bulk_docs_per_s": round(there["n_timed"] / there["prepared_s"]),
        "of_bare": round(there["bare_s"] / there["ours_s"], 3),
        "of_prepared": round(there["prepared_s"] / there["ours_s"], 3),
        "n_timed": there["n_timed"],
    }


def _ours(store: ElasticStore, made: Sequence[list[Mention]]) -> Callable[[], None]:
    def load() -> None:
        with ThreadPoolExecutor(_THREADS) as threads:
            for added in threads.map(lambda batch: store.add_mentions(batch, now=END), made):
                if added.refused:
                    raise StoreError(f"服务器不收: {added.refused}")

    return load


def _documents(settings: StoreSettings, made: Sequence[list[Mention]]) -> Iterator[dict[str, Any]]:
    names = Names(settings.prefix)
    for batch in made:
        for mention in batch:
            document = document_of(mention.model_copy(update={"indexed_at": END}))
            yield {"_index": names.month(mention.published_at), "_id": mention.id, "_source": document}


def _parallel_bulk(settings: StoreSettings, documents: Iterable[dict[str, Any]]) -> Callable[[], None]:
    client = connect(settings)

    def load() -> None:
        for _ in helpers.parallel_bulk(client, documents, thread_count=_THREADS):
            pass
        client.close()

    return load


def _load(settings: StoreSettings, store: ElasticStore, slices: list[Slice], note: Path) -> dict[str, Any]:
    """By several processes, which also make the mentions; all the slices that are not there."""
    wanted = [each for each in slices if store.count(each.query()) != each.n]
    n_wanted, n_done, started = sum(each.n for each in wanted), 0, time.monotonic()
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        for n in pool.imap_unordered(_load_slice, [(settings, each) for each in wanted]):
            n_done += n
            rate = n_done / (time.monotonic() - started)
            _tell(f"{n_done:,}/{n_wanted:,} 条, 每秒 {rate:,.0f}, 还需 {(n_wanted - n_done) / rate / 60:.0f} 分钟")
    store.check()
    n_there, n_all = store.count(_EVERYTHING), sum(each.n for each in slices)
    if n_there != n_all:
        raise StoreError(f"应有 {n_all:,} 条提及, 却有 {n_there:,}: 请删除索引 {settings.prefix}-* 后再运行一次")
    if wanted:
        took = {"n": n_wanted, "docs_made_and_loaded_per_s": round(n_wanted / (time.monotonic() - started))}
        note.write_text(json.dumps(took))
    loaded: dict[str, Any] = json.loads(note.read_text()) if note.exists() else {}
    return loaded


def _load_slice(job: tuple[StoreSettings, Slice]) -> int:
    settings, wanted = job
    store = ElasticStore(settings)
    try:
        for batch in wanted.batches():
            store.add_mentions(batch, now=END)
    finally:
        store.close()
    return wanted.n


# ------------------------------------------------------------------------------------------- the server


def _settled(settings: StoreSettings, store: ElasticStore) -> int:
    """The bytes on the disk once all is written there and no merge is under way, so that the figures are those of a
    server which is not busy with the load."""
    client, names = connect(settings), Names(settings.prefix)
    until = time.monotonic() + _SETTLE_S
    client.indices.flush(index=names.mentions)
    while time.monotonic() < until:
        stats = client.indices.stats(index=names.mentions, metric="merge", filter_path="_all.total.merges")
        merging = stats["_all"]["total"]["merges"]
        if not merging["current"]:
            break
        _tell(f"还有 {merging['current']} 处合并 ({merging['current_docs']:,} 条) 在进行")
        time.sleep(5)
    client.close()
    n_bytes: int = store.check()["n_bytes"]
    return n_bytes


@contextmanager
def _without_request_cache(settings: StoreSettings) -> Iterator[None]:
    """The server remembers answers, and what an earlier run asked for; the figures are to be those of finding it."""
    client, names = connect(settings), Names(settings.prefix)
    client.indices.clear_cache(index=names.mentions)
    client.indices.put_settings(index=names.mentions, settings={"index.requests.cache.enable": False})
    try:
        yield
    finally:
        client.indices.put_settings(index=names.mentions, settings={"index.requests.cache.enable": None})
        client.close()


def _drop(settings: StoreSettings) -> None:
    client, names = connect(settings), Names(settings.prefix)
    drop_indices(client, client.indices.get_alias(index=names.patterns, ignore_unavailable=True))
    drop_template(client, names.mentions_template)
    client.close()


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} Elasticsearch: {text}\n")
    sys.stderr.flush()
