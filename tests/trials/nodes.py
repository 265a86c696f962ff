"""Of three nodes one after another is killed (-9) and comes back, under steady ingest and open dashboards.

    python -m tests.trials.nodes --rounds 2

The ingest here goes the whole way of a mention and notes each one that the store has acknowledged. A real dashboard is
asked every second whether it is there, and all the while another process draws its pages anew, each read asked of the
cluster (tests/trials/visitor.py).

At the end: no acknowledged mention lost, none doubled, no page down for longer than the client's retries.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jobs
from index.elastic_bulk import _FIRST_WAIT_S, _LONGEST_WAIT_S
from index.models import Mention
from index.open import open_store
from index.store import StoreUnavailable
from settings import ROOT, Settings, load
from tests.servers import elastic
from tests.servers.elastic_cluster import Cluster, a_cluster
from tests.servers.ports import free_port
from tests.trials import kill
from tests.trials.progress import end_in_good_order, say_and_end, tell
from tests.trials.visitor import PAGES, View

BATCH = 25
PAUSE_S = 0.5
HEALTH = "the dashboard's health"
START_S = 120.0
MOST_SHOWN = 20


# -------------------------------------------------------------------------------------------------------- ingest


@dataclass
class Ingest:
    """One batch after another; what is refused for the moment is given again until it is acknowledged."""

    service: jobs.Service
    chance: random.Random
    given: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    n_refusals: int = 0
    longest_s: float = 0.0
    """From giving a batch to its acknowledgement."""
    failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            while not self._stop.wait(PAUSE_S):
                self.one_batch()
        except BaseException as error:
            self.failure = error
            raise

    def one_batch(self) -> None:
        batch = [self._mention(len(self.given) + number) for number in range(BATCH)]
        self.given += [mention.id for mention in batch]
        began = time.monotonic()
        while True:
            try:
                jobs.ingest(self.service, batch)
            except StoreUnavailable:
                self.n_refusals += 1
                time.sleep(0.2)
            else:
                break
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.acknowledged += [mention.id for mention in batch]

    def _mention(self, number: int) -> Mention:
        now = self.service.clock()
        words = "".join(chr(self.chance.randrange(0x4E00, 0x9000)) for _ in range(25))
        topic = self.chance.choice(kill.TOPICS)
        return Mention(
            id=f"trial:{number}",
            platform="trial",
            text=f"山岚{topic}店{self.chance.choice(('很好喝', '太难喝了要退款', '几点开门'))}{words}",
            published_at=now - timedelta(seconds=self.chance.uniform(0, 45 * 86_400)),
            collected_at=now,
            source="trial",
        )

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run, name="ingest", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(300)


def now() -> datetime:
    return datetime.now(UTC)


# ---------------------------------------------------------------------------------------------------- dashboards


@dataclass
class Watcher:
    """Asks a dashboard every second whether it is there."""

    url: str
    views: list[View] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(1):
            at = time.time()
            try:
                urlopen(self.url, timeout=10).close()
            except OSError as error:
                self.views.append(View(HEALTH, at, time.time() - at, ok=False, old=False, why=str(error)))
            else:
                self.views.append(View(HEALTH, at, time.time() - at, ok=True, old=False))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run, name="health", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(30)


@contextmanager
def running(*module: str, environ: Mapping[str, str], out: Path) -> Iterator[subprocess.Popen[bytes]]:
    with out.open("wb") as said, out.with_suffix(".err").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=ROOT, env=environ, stdout=said, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def views_in(file: Path) -> list[View]:
    """What a visitor said; the line in hand when it ended may be torn."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [View(**json.loads(line)) for line in lines if line.endswith("\n")]


def longest(views: Sequence[View], *, of: str) -> float:
    """Seconds of the longest time in which a page was not as wanted ("down", or drawn from "old" answers): from
    asking for the first such view until the next good one is there."""
    worst, since = 0.0, None
    for view in sorted(views, key=_at):
        bad = not view.ok if of == "down" else view.ok and view.old
        if bad and since is None:
            since = view.at
        if since is not None:
            worst = max(worst, view.at + view.seconds - since)
        if not bad:
            since = None
    return worst


def _at(view: View) -> float:
    return view.at


def budget(settings: Settings) -> dict[str, float]:
    """How long the store's client goes on by itself before it gives up, in seconds: the pauses between its tries when
    the server answers that it is busy, and the limit of one request that is not answered."""
    tries = range(1, settings.store.retries + 1)
    pauses = sum(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**attempt) for attempt in tries)
    return {"pauses_s": round(pauses, 1), "one_request_s": settings.store.timeout_s}


# ------------------------------------------------------------------------------------------------------ the trial


def trial(folder: Path, *, n_rounds: int, down_s: float, heap: str, seed: int) -> dict[str, Any]:
    """What was found; problems() says what is wrong with it."""
    with ExitStack() as closing:
        cluster = a_cluster(heap=heap)
        closing.callback(cluster.stop)
        cluster.start()
        tell("three nodes, green")
        port = free_port()
        path = folder / "settings.toml"
        path.write_text(kill.settings_text(9, n_sources=0), encoding="utf-8")
        environ = _environ(path, folder, cluster, port)
        settings = load(path, environ)
        store = open_store(settings)
        closing.callback(store.close)
        service = jobs.Service(settings=settings, store=store, clock=now)
        jobs.provision(service)
        ingest = Ingest(service, random.Random(seed))
        ingest.one_batch()  # the months, so that pages have something to show
        cluster.wait_until_green()
        visits = folder / "visitor.jsonl"
        with (
            running("dashboard.server", environ=environ, out=folder / "dashboard.out"),
            running("tests.trials.visitor", environ=environ, out=visits) as visitor,
        ):
            _wait_for_views(visits, visitor)
            watcher = Watcher(f"http://127.0.0.1:{port}/healthz")
            _wait_for(watcher.url)
            with ingest.going_on(), watcher.going_on():
                kills = [_kill(cluster, place, down_s) for _ in range(n_rounds) for place in range(len(cluster.nodes))]
                time.sleep(5)
        if ingest.failure:
            raise ingest.failure
        store.check()  # it refreshes
        copies = unequal_copies(cluster)
        views = [*views_in(visits), *watcher.views]
        report = report_of(kill.stored_ids(store), ingest, views, kills)
        report |= {"budget": budget(settings), "n_shards_with_unequal_copies": copies}
    return report | {"problems": problems(report)}


def _environ(path: Path, folder: Path, cluster: Cluster, port: int) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("WENSHENG_")}
    return usual | {
        "WENSHENG_SETTINGS": str(path),
        "WENSHENG_DATA_DIR": str(folder),
        "WENSHENG_SERVICE__PORT": str(port),
        "WENSHENG_STORE__BACKEND": "elasticsearch",
        "WENSHENG_STORE__HOSTS": json.dumps(cluster.urls),
        "WENSHENG_STORE__REPLICAS": "1",
        "WENSHENG_SAMPLE__ENABLED": "false",
    }


def _wait_for_views(file: Path, visitor: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while {view.page for view in views_in(file)} != set(PAGES):
        if visitor.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no pages: {file.with_suffix('.err').read_text(encoding='utf-8')[-3000:]}")
        time.sleep(0.5)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _kill(cluster: Cluster, place: int, down_s: float) -> dict[str, Any]:
    node = cluster.nodes[place]
    was_master = cluster.master is node
    node.kill()
    at = time.time()
    tell(f"killed node {place + 1}{' (the master)' if was_master else ''}")
    time.sleep(down_s)
    node.start()
    green_s = cluster.wait_until_green()
    tell(f"node {place + 1} is back, green {time.time() - at:.0f} s after the kill")
    return {
        "node": place + 1,
        "master": was_master,
        "at": at,
        "green_after_the_kill_s": round(time.time() - at, 1),
        "green_after_its_answer_s": round(green_s, 1),
    }


def unequal_copies(cluster: Cluster) -> int:
    """Shards whose copies do not hold equally many documents."""
    cluster.ask("/_all/_refresh")
    n_docs: dict[tuple[str, str], set[str]] = {}
    for shard in cluster.ask("/_cat/shards?format=json&h=index,shard,docs"):
        n_docs.setdefault((shard["index"], shard["shard"]), set()).add(shard["docs"])
    return sum(len(found) > 1 for found in n_docs.values())


def report_of(
    ids: Sequence[str], ingest: Ingest, views: Sequence[View], kills: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    pages = {name: [view for view in views if view.page == name] for name in (*PAGES, HEALTH)}
    return {
        "kills": list(kills),
        "n_acknowledged": len(ingest.acknowledged),
        "n_lost": len(set(ingest.acknowledged) - set(ids)),
        "n_doubled": len(ids) - len(set(ids)),
        "n_strange": len(set(ids) - set(ingest.given)),
        "n_batches_refused": ingest.n_refusals,
        "longest_ingest_s": round(ingest.longest_s, 1),
        "pages": {
            name: {
                "n_views": len(seen),
                "n_down": sum(not view.ok for view in seen),
                "longest_down_s": round(longest(seen, of="down"), 1),
                "n_old": sum(view.ok and view.old for view in seen),
                "longest_old_s": round(longest(seen, of="old"), 1),
                "slowest_s": round(max((view.seconds for view in seen), default=0.0), 1),
            }
            for name, seen in pages.items()
        },
        "why_down": dict(Counter(view.why[:200] for view in views if not view.ok).most_common(MOST_SHOWN)),
    }


def problems(report: Mapping[str, Any]) -> list[str]:
    """What a report says is wrong; empty if the promise holds."""
    wrong = [name for name in ("n_lost", "n_doubled", "n_strange", "n_shards_with_unequal_copies") if report[name]]
    limit = report["budget"]["pauses_s"]
    for name, seen in report["pages"].items():
        if not seen["n_views"]:
            wrong.append(f"{name}: not seen")
        if seen["longest_down_s"] > limit:
            wrong.append(f"{name}: down for {seen['longest_down_s']} s")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="how often each node is killed")
    parser.add_argument("--seconds", type=float, default=20, help="how long a node stays away")
    parser.add_argument("--heap", default=elastic.HEAP, help="of each node")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where settings and what was said are kept; else they go")
    asked = parser.parse_args()
    end_in_good_order()
    if why := elastic.missing():
        sys.exit(f"this trial cannot run here: {why}")
    with tempfile.TemporaryDirectory(prefix="wensheng-nodes-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = trial(folder, n_rounds=asked.rounds, down_s=asked.seconds, heap=asked.heap, seed=asked.seed)
    say_and_end(report)


if __name__ == "__main__":
    main()
