"""A worker is killed (-9) again and again while it crawls, ingests, watches and delivers; then it must all be there.

    python -m tests.trials.kill --mentions 20000 --kills 200

A loopback site serves the mentions as JSON APIs and collects the webhook's messages; the worker is the real
`manage.py work`. Half of the kills take the crawl processes along, half leave them orphaned.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from index.models import Alert, Notification, Source
from index.open import open_store
from index.store import MentionQuery
from settings import ROOT, load
from tests.trials.progress import say_and_end
from tests.trials.serving import Message, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from index.store import Store

N_SOURCES = 4
PAGE = 500
TOPICS = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉"
N_RISKY = 2 * len(TOPICS)
"""Two mentions of each topic hold the risk word: each is a story and an alert of its own, told in one message."""


@dataclass
class Site:
    """What the loopback site serves, and what it was sent."""

    items: list[list[dict[str, Any]]]
    messages: list[str] = field(default_factory=list)

    def answer(self, path: str) -> dict[str, Any]:
        parts = urlsplit(path)
        number, page = int(parts.path.strip("/").removeprefix("api")), int(parse_qs(parts.query).get("page", ["1"])[0])
        return {"items": self.items[number][(page - 1) * PAGE : page * PAGE]}


def a_site(n_mentions: int, now: datetime, seed: int) -> Site:
    chance = random.Random(seed)
    items: list[list[dict[str, Any]]] = [[] for _ in range(N_SOURCES)]
    rounds = range(n_mentions // len(TOPICS))
    risky = {place + len(TOPICS) * turn for place in range(len(TOPICS)) for turn in chance.sample(rounds, 2)}
    for number in range(n_mentions):
        words = "".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(25))
        topic = TOPICS[number % len(TOPICS)]
        text = f"山岚{topic}店{'有异物' if number in risky else '很好喝'}{words}"
        at = now - timedelta(seconds=chance.randrange(60, 20 * 3600))
        items[number % N_SOURCES].append({"id": f"m{number}", "text": text, "at": at.isoformat()})
    return Site(items)


@contextmanager
def serving(site: Site) -> Iterator[int]:
    def answer(path: str, _: str) -> object:
        return site.answer(path)

    def told(message: Message) -> None:
        site.messages.append(message.id)

    with serve(answer, told) as port:
        yield port


def settings_text(
    port: int,
    *,
    host: str = "127.0.0.1",
    n_sources: int = N_SOURCES,
    topics: Sequence[str] = TOPICS,
    crawl_every_s: int = 5,
    watch_every_s: int = 5,
    tick_s: float = 0.2,
) -> str:
    sources = "".join(
        f"""
[[sources]]
id = "api{number}"
name = "接口 {number}"
kind = "json"
platform = "trial{number}"
url = "http://{host}:{port}/api{number}"
every_s = {crawl_every_s}
basis = "试验"
reviewed = 2026-11-01
allow_private = true
[sources.options]
items = "items"
page_param = "page"
delay_s = 0
[sources.options.fields]
id = "id"
text = "text"
published_at = "at"
"""
        for number in range(n_sources)
    )
    listened = "".join(
        f"""
[[topics]]
id = "t{number}"
name = "山岚{topic}店"
kind = "brand"
query = "山岚{topic}店"
"""
        for number, topic in enumerate(topics)
    )
    return f"""
[worker]
tick_s = {tick_s}
port = 0
[crawl]
delay_s = 0
max_pages = 1000
[tasks]
intents = ["complaint"]
[[channels]]
id = "hook"
kind = "webhook"
url = "http://{host}:{port}/hook"
per_hour = 100000
{listened}
[[rules]]
id = "risk"
name = "风险词"
kind = "match"
words = ["有异物"]
sentiment = "any"
every_s = {watch_every_s}
{sources}
"""


def start_worker(
    environ: Mapping[str, str], *, within: Sequence[str] = (), log: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """within: a command that runs it elsewhere, e.g. in a network of its own."""
    return subprocess.Popen(
        [*within, sys.executable, "manage.py", "work"],
        cwd=ROOT,
        env=environ,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def kill(worker: subprocess.Popen[bytes], *, with_children: bool) -> None:
    children = _children(worker.pid) if with_children else []
    for pid in (worker.pid, *children):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    worker.wait()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def trial(folder: Path, *, n_mentions: int, n_kills: int, seed: int, longest_s: float = 4.0) -> dict[str, Any]:
    """Returns what was found afterwards; see problems()."""
    chance = random.Random(seed)
    site = a_site(n_mentions, datetime.now(UTC), seed)
    with serving(site) as port:
        path = folder / "settings.toml"
        path.write_text(settings_text(port), encoding="utf-8")
        environ = {**os.environ, "WENSHENG_SETTINGS": str(path), "WENSHENG_DATA_DIR": str(folder / "data")}
        for _ in range(n_kills):
            worker = start_worker(environ)
            time.sleep(chance.uniform(0.3, longest_s))
            kill(worker, with_children=chance.random() < 0.5)
        store = open_store(load(path, environ))
        worker = start_worker(environ)
        done = settled(store, n_mentions, time.monotonic() + 600)
        worker.terminate()
        worker.wait(60)
        report = report_of(store, site, n_mentions)
        store.close()
        return report | {"settled": done, "n_kills": n_kills}


def settled(store: Store, n_mentions: int, deadline: float) -> bool:
    """Wait until every mention is stored, every topic has its message and each is sent or dropped; False if that
    takes too long."""
    while time.monotonic() < deadline:
        notifications = store.find(Notification)
        told = {_topic(each) for each in notifications}
        is_stored = store.count(MentionQuery()) == n_mentions and store.tally(Alert) >= N_RISKY
        # A message is made some time after its alert.
        if is_stored and len(told) == len(TOPICS) and all(each.state != "pending" for each in notifications):
            return True
        time.sleep(1)
    return False


def _topic(notification: Notification) -> str:
    return notification.subject_id.split("|")[1]


def stored_ids(store: Store) -> list[str]:
    """Of all mentions, each as often as it is there."""
    ids: list[str] = []
    after = None
    while True:
        page = store.search(MentionQuery(hidden="with"), limit=1000, after=after)
        ids += [mention.id for mention in page.mentions]
        if page.after is None:
            return ids
        after = page.after


def report_of(store: Store, site: Site, n_mentions: int) -> dict[str, Any]:
    ids = stored_ids(store)
    wanted = {f"trial{number}:{item['id']}" for number, items in enumerate(site.items) for item in items}
    sent = Counter(site.messages)
    notifications = store.find(Notification)
    return {
        "n_mentions": n_mentions,
        "n_missing": len(wanted - set(ids)),
        "n_strange": len(set(ids) - wanted),
        "n_doubled": len(ids) - len(set(ids)),
        "n_alerts": store.tally(Alert),
        "n_alert_keys": len({alert.key for alert in store.find(Alert)}),
        "n_topics_told": len({_topic(n) for n in notifications if n.id in sent}),
        "n_messages": len(site.messages),
        "n_repeats": sum(n - 1 for n in sent.values()),
        "n_sent_in_store": sum(n.state == "sent" for n in notifications),
        "n_sent_but_not_received": sum(n.state == "sent" and n.id not in sent for n in notifications),
        "sources": {
            source.id: f"{source.last_outcome} n_failures={source.n_failures} claimed_by={source.claimed_by}"
            for source in store.find(Source)
        },
        "states": dict(Counter(f"{n.state}:{n.reason}" for n in notifications)),
    }


def problems(report: dict[str, Any]) -> list[str]:
    """What a report says is wrong; empty if the promise holds."""
    wrong = [name for name in ("n_missing", "n_strange", "n_doubled", "n_sent_but_not_received") if report[name] != 0]
    if not report["settled"]:
        wrong.append("settled")
    if report["n_alerts"] != N_RISKY or report["n_alert_keys"] != N_RISKY:
        wrong.append("n_alerts")
    if report["n_topics_told"] != len(TOPICS):
        wrong.append("n_topics_told")
    if report["n_repeats"] > report["n_kills"]:
        wrong.append("n_repeats")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mentions", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = trial(Path(folder), n_mentions=wanted.mentions, n_kills=wanted.kills, seed=wanted.seed)
    say_and_end(report | {"problems": problems(report)})


if __name__ == "__main__":
    main()
