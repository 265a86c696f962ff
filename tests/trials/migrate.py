"""A large store on a real Elasticsearch moves to the next version of its indices under steady writes, killed twice.

    python -m tests.trials.migrate --mentions 1000000 --records 100000

The real `manage.py store migrate` does the work. Writers of the old version go on all the while and start anew, as
workers do, when the store says that they are too old. Apart from the command the trial itself then compares: of the
writers all that was confirmed to them, of the rest every mention whole and every record with the old indices.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from index.bench_data import batches
from index.copy import ALL, COPIED_RECORDS, mention_pages, record_pages
from index.elastic import ElasticStore
from index.elastic_migrate import n_documents
from index.elastic_schema import VERSION, Names
from index.models import Record
from index.store import Store
from settings import ROOT, StoreSettings
from tests.index.steady import SteadyWriter
from tests.servers.elastic import Server
from tests.trials.progress import TrialError, tell
from tests.trials.records import records

OLD = VERSION - 1
SEED = 20_261_127
POLL_S = 0.5
KILLED_BETWEEN = ((0.2, 0.4), (0.6, 0.9))
"""Shares of the whole that are carried when the command is killed."""
MOST_SHOWN = 20


def load(store: Store, n_mentions: int, n_records: int) -> None:
    n = 0
    for number, batch in enumerate(batches(n_mentions, random.Random(SEED))):
        store.restore_mentions(batch)
        n += len(batch)
        if number % 25 == 0:
            tell(f"load: {n:,} of {n_mentions:,} mentions")
    remaining = iter(records(n_records, SEED))
    while some := list(islice(remaining, 1_000)):
        store.restore_records(some)


def go(settings: StoreSettings, chance: random.Random, n_all: int) -> dict[str, Any]:
    """Run the command, killed in between, to its end; what it said and how long it took."""
    shares, started = [], time.monotonic()
    for low, high in KILLED_BETWEEN:
        shares.append(round(_kill_at(settings, int(chance.uniform(low, high) * n_all)) / n_all, 3))
        tell(f"killed at {shares[-1]:.0%}")
    said = subprocess.run(_command("--json"), check=False, cwd=ROOT, env=_environ(settings), capture_output=True)
    if said.returncode or not said.stdout:
        raise TrialError(f"store migrate: {said.returncode} {(said.stderr or said.stdout).decode()[-2000:]}")
    done: dict[str, Any] = json.loads(said.stdout)
    return {"killed_at_share": shares, "seconds": round(time.monotonic() - started, 1), **done}


def _kill_at(settings: StoreSettings, n_wanted: int) -> int:
    names = Names(settings.prefix, VERSION, staged=True)
    new = ElasticStore(settings, names=names, as_it_is=True)
    client = new._session.client
    running = subprocess.Popen(_command(), cwd=ROOT, env=_environ(settings), stdout=subprocess.DEVNULL)
    n_there = 0
    try:
        while n_there < n_wanted:
            if running.poll() is not None:
                raise TrialError(f"store migrate ended by itself ({running.returncode}) before its kill")
            time.sleep(POLL_S)
            client.indices.refresh(index=names.patterns, ignore_unavailable=True)
            n_there = client.count(index=names.patterns, ignore_unavailable=True)["count"]
    finally:
        running.kill()
        running.wait()
        new.close()
    return n_there


def _command(*options: str) -> list[str]:
    return [sys.executable, "manage.py", "store", "migrate", *options]


def _environ(settings: StoreSettings) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("WENSHENG_")}
    return usual | {
        "WENSHENG_STORE__BACKEND": "elasticsearch",
        "WENSHENG_STORE__HOSTS": json.dumps(settings.hosts),
        "WENSHENG_STORE__PREFIX": settings.prefix,
        "WENSHENG_STORE__REPLICAS": str(settings.replicas),
        "WENSHENG_STORE__TIMEOUT_S": str(settings.timeout_s),
    }


def differences(old: Store, new: Store, writers: Sequence[str]) -> tuple[int, list[str]]:
    """How many mentions and records that are no writer's were compared, and which are not the same."""
    n, wrong = 0, []
    for page in mention_pages(old, ALL):
        ours = {mention.id: mention for mention in page if mention.source not in writers}
        wrong += _unlike(ours, new.mentions(list(ours), whole=True))
        n += len(ours)
        if n % 50_000 < len(page):
            tell(f"compare: {n:,} mentions")
    for kind in COPIED_RECORDS:
        for some in record_pages(old, kind):
            mine: dict[str, Record] = {each.id: each for each in some if each.id.rpartition("-")[0] not in writers}
            wrong += _unlike(mine, {each.id: each for each in new.find(kind, {"id": list(mine)})})
            n += len(mine)
    return n, wrong


def _unlike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    return [name for name, each in ours.items() if theirs.get(name) != each]


def trial(url: str, *, n_mentions: int, n_records: int, n_writers: int, seed: int) -> dict[str, Any]:
    settings = StoreSettings(
        backend="elasticsearch", hosts=(url,), prefix=f"trial-{time.time_ns()}", replicas=0, timeout_s=120, retries=2
    )
    old = ElasticStore(settings, names=Names(settings.prefix, OLD))
    load(old, n_mentions, n_records)
    names = [f"writer{number}" for number in range(n_writers)]
    writers = [SteadyWriter(name, old, lambda: ElasticStore(settings), seed=seed) for name in names]
    for writer in writers:
        writer.start()
    done = go(settings, random.Random(seed), n_documents(settings))
    tell(f"moved; writers waited {done['held_s']:.1f} s")
    n_at_flip = sum(writer.n_written for writer in writers)
    while not all(writer.n_upgrades for writer in writers) or sum(w.n_written for w in writers) < n_at_flip + 100:
        time.sleep(POLL_S)
    for writer in writers:
        writer.stop()
    frozen = ElasticStore(settings, names=Names(settings.prefix, OLD, staged=True), as_it_is=True)
    new = ElasticStore(settings)
    new.check()
    lost = [problem for writer in writers for problem in writer.problems(new)]
    n_compared, wrong = differences(frozen, new, names)
    report = {
        "n_mentions": n_mentions,
        "n_records": n_records,
        "n_cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "migrate": done,
        "n_writes": sum(writer.n_written for writer in writers),
        "n_refusals": sum(len(writer.refusals) for writer in writers),
        "longest_write_s": round(max((writer.longest_s for writer in writers), default=0.0), 2),
        "n_compared_whole": n_compared,
        "n_different": len(wrong),
        "differences": wrong[:MOST_SHOWN],
        "writers": lost[:MOST_SHOWN],
        "equal": done["equal"] and not wrong and not lost and n_compared >= n_mentions,
    }
    for store in (old, frozen, new):
        store.close()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mentions", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--heap", default="1g", help="of the server")
    parser.add_argument("--seed", type=int, default=1, help="chooses where the command is killed and what is written")
    wanted = parser.parse_args()
    server = Server(heap=wanted.heap)
    try:
        server.start()
        report = trial(
            server.url,
            n_mentions=wanted.mentions,
            n_records=wanted.records,
            n_writers=wanted.writers,
            seed=wanted.seed,
        )
    finally:
        server.stop()
    sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    sys.exit(0 if report["equal"] else 1)


if __name__ == "__main__":
    main()
