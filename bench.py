"""The figures of `make bench`: stores, ingest, reading and the spike rule, on this machine."""

from __future__ import annotations

import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jobs
from alerts import bench as alerts_bench
from index import bench as index_bench
from index.bench_data import END
from index.embedded import EmbeddedStore
from index.models import Mention, Persona, Topic
from nlp import bench as nlp_bench
from nlp.clean import clean
from nlp.copies import story_keys
from nlp.load import load_classifier
from nlp.match import TopicMatcher
from nlp.pii import mask
from settings import Settings, StoreSettings, TopicSettings

N_INGEST = 20_000
SEED = 20261126
TEST_SERVER = "WENSHENG_TEST_ELASTICSEARCH_URL"


def run(settings: Settings, *, n_mentions: int, months: int = 3) -> dict[str, Any]:
    """Everything; the big stores are built once, the embedded one under data_dir/bench. Rates are per second."""
    folder = settings.data_dir / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    store = index_bench.run(n_mentions, folder)
    return {
        "machine": _machine(),
        "store": store,
        "elasticsearch": _elasticsearch(settings, folder, n_mentions, months),
        "ingest": {
            "into_an_empty_store": _ingest(settings, folder, None),
            f"into_{n_mentions}_mentions": _ingest(settings, folder, folder / f"bench-{n_mentions}.db"),
        },
        "models": nlp_bench.run(),
        "reading": _reading(settings),
        "spike_rule": alerts_bench.run(),
    }


def run_elasticsearch(settings: Settings, *, n_mentions: int, months: int = 3) -> dict[str, Any]:
    """The part on Elasticsearch alone."""
    folder = settings.data_dir / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return {"machine": _machine(), "elasticsearch": _elasticsearch(settings, folder, n_mentions, months)}


def _machine() -> dict[str, Any]:
    return {"n_cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}


def _elasticsearch(settings: Settings, folder: Path, n_mentions: int, months: int) -> dict[str, Any]:
    """On the server of [store], or one that only tests and measurements use."""
    url = os.environ.get(TEST_SERVER)
    if settings.store.backend == "elasticsearch":
        there = settings.store
    elif url:
        there = StoreSettings(backend="elasticsearch", hosts=(url,))
    else:
        why = f'没有 Elasticsearch: [store] backend 不是 "elasticsearch", 环境变量 {TEST_SERVER} 也没有值'
        sys.stderr.write(f"略过 Elasticsearch 的测量 ({why})\n")
        return {"left_out": why}
    from index import bench_elastic

    return bench_elastic.run(there, n_mentions, folder, months=months)


def _texts(n: int) -> list[str]:
    chance = random.Random(SEED)
    now = datetime(2026, 11, 26, tzinfo=UTC)
    return [index_bench.synthetic(str(number), now, chance, []).text for number in range(n)]


def _ingest(settings: Settings, folder: Path, filled: Path | None) -> dict[str, Any]:
    """The whole of jobs.ingest with the model that would read: clean, mask, match, fold, read, link, store, tasks.

    It goes into a copy of the filled store, or into an empty one.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "ingest.db"
        if filled is not None:
            shutil.copyfile(filled, path)
        store = EmbeddedStore(path)
        now = END
        service = jobs.Service(settings=settings, store=store, clock=_standing(now))
        store.put(Topic(id="bench", name="基准", kind="brand", query="咖啡 OR 快递 OR 客服"))
        raw = _raw_mentions(now)
        service.classifier  # noqa: B018 - loading is not ingest
        started = time.perf_counter()
        done = sum((part for part in jobs.import_mentions(service, raw)), jobs.Ingested())
        took_s = time.perf_counter() - started
        store.close()
    return {"n": done.n_new, "mentions_per_s": round(done.n_new / took_s), "model": service.classifier.version}


def _raw_mentions(now: datetime) -> list[Mention]:
    """As crawlers bring them: unread, unmatched, of the last week, by 5,000 personas."""
    chance = random.Random(SEED)
    return [
        index_bench.synthetic(f"raw-{number}", now - timedelta(seconds=30 * number), chance, []).model_copy(
            update={
                "labels": None,
                "story_id": None,
                "is_copy": False,
                "topics": ("bench",),
                "story_keys": (),
                "persona": Persona(id=f"bench:{number % 5000}", name=f"用户{number % 5000}"),
            }
        )
        for number in range(N_INGEST)
    ]


def _standing(now: datetime) -> Callable[[], datetime]:
    def clock() -> datetime:
        return now

    return clock


def _reading(settings: Settings) -> dict[str, Any]:
    """Texts per second of each step of reading, one process."""
    texts = _texts(4000)
    classifier = load_classifier(settings).classifier
    words = [f"品牌{number}" for number in range(10_000)]
    topics = [TopicSettings(id=f"t{n}", name="x", kind="brand", query=" OR ".join(words[n::100])) for n in range(100)]
    matcher = TopicMatcher(topics)
    steps: dict[str, Callable[[], object]] = {
        "clean": lambda: [clean(text) for text in texts],
        "mask": lambda: [mask(text) for text in texts],
        "match_10000_words": lambda: [matcher.match(text) for text in texts],
        "story_keys": lambda: [story_keys(text) for text in texts],
        "classify": lambda: [classifier.read(texts[start : start + 500]) for start in range(0, len(texts), 500)],
    }
    return {name: round(len(texts) / _seconds(step)) for name, step in steps.items()}


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
