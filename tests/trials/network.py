"""Three machines work on one Elasticsearch while workers are killed (-9) and lines are cut; then it must all be right.

    python -m tests.trials.network --minutes 8

Each machine is a network namespace with a host name, a data folder and a real `manage.py work`; the server has a
namespace, too. A site here offers a growing number of mentions as JSON APIs, each due every minute, and takes the
webhook's messages. Needs root and iproute2.

At the end: no source crawled twice within its interval, every mention stored once, every alert told once. What a kill
or a cut line made happen again (tests/trials/verdicts.py says when that counts) is counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from index.models import Alert, Notification, Run, Source
from index.open import open_store
from index.store import MentionQuery, Store
from settings import load
from tests.servers import elastic
from tests.servers.machines import NoMachinesError, a_network
from tests.trials import kill
from tests.trials.fleet import Deed, Fleet, Wanted, deeds
from tests.trials.progress import TrialError, end_in_good_order, say_and_end, tell
from tests.trials.serving import Message, serve
from tests.trials.verdicts import UNEXPLAINED, Asked, Crawl, History, Recorded, crawls, repeats, too_soon

N_WORKERS = 3
EVERY_S = 60
MENTION_EVERY_S = 10
"""So often a source has something new."""
TOPICS = tuple(f"{first}{second}" for first in kill.TOPICS[:8] for second in kill.TOPICS[8:13])
"""One mention of each holds the risk word: an alert, a message."""
RUN_TIMEOUT_S = 120
"""A crawl's lease ends a minute later: longer than any line is cut."""
SETTLE_S = 420.0
"""Longer than a lease, in which all that was cut off must have been caught up with."""
MOST_SHOWN = 20


# ---------------------------------------------------------------------------------------------------- the site


@dataclass(frozen=True)
class Item:
    """at: the moment from which the site shows it."""

    id: str
    text: str
    at: float

    def shown(self) -> dict[str, str]:
        return {"id": self.id, "text": self.text, "at": datetime.fromtimestamp(self.at, UTC).isoformat()}


@dataclass
class Site:
    items: Sequence[Sequence[Item]]
    """Of each source."""
    machines: Mapping[str, str]
    """address -> name"""
    asked: list[Asked] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        return {f"trial{number}:{item.id}" for number, items in enumerate(self.items) for item in items}

    def answer(self, path: str, who: str) -> dict[str, Any]:
        parts, now = urlsplit(path), time.time()
        source, page = parts.path.strip("/"), int(parse_qs(parts.query).get("page", ["1"])[0])
        if page == 1:
            self.asked.append(Asked(source, self.machines.get(who, who), now))
        shown = [item.shown() for item in self.items[int(source.removeprefix("api"))] if item.at <= now]
        return {"items": shown[(page - 1) * kill.PAGE : page * kill.PAGE]}


def a_site(wanted: Wanted, machines: Mapping[str, str], start: float) -> Site:
    chance = random.Random(wanted.seed)
    n_each = max(1, round(wanted.seconds / MENTION_EVERY_S))
    n = n_each * wanted.n_sources
    if n < len(TOPICS):
        raise TrialError(f"{n} mentions cannot raise {len(TOPICS)} alerts: more --minutes or --sources")
    risky = dict(zip(chance.sample(range(n), len(TOPICS)), TOPICS, strict=True))
    items = []
    for source in range(wanted.n_sources):
        own = []
        for number in range(source * n_each, (source + 1) * n_each):
            words = "".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(25))
            topic = risky.get(number) or chance.choice(TOPICS)
            text = f"山岚{topic}店{'有异物' if number in risky else '很好喝'}{words}"
            own.append(Item(f"m{number}", text, start + chance.uniform(0, wanted.seconds)))
        items.append(sorted(own, key=_moment))
    return Site(items, machines)


def _moment(item: Item) -> float:
    return item.at


# ------------------------------------------------------------------------------------------------------ the trial


def trial(folder: Path, wanted: Wanted, *, heap: str) -> dict[str, Any]:
    """What was found; problems() says what is wrong with it."""
    with ExitStack() as closing:
        network = closing.enter_context(a_network())
        home = network.add("es")
        machines = {f"m{number}": network.add(f"m{number}") for number in range(1, N_WORKERS + 1)}
        planned = deeds(wanted, list(machines), home.name)
        server = elastic.Server(("--host", home.address), heap=heap, within=home.within)
        closing.callback(server.stop)
        server.start()
        start = time.time()
        site = a_site(wanted, {machine.address: name for name, machine in machines.items()}, start)
        port = closing.enter_context(serve(site.answer, site.messages.append, host=network.address))
        for name in machines:
            shutil.rmtree(folder / name, ignore_errors=True)  # of an earlier trial
        settings = folder / "settings.toml"
        text = kill.settings_text(
            port,
            host=network.address,
            n_sources=wanted.n_sources,
            topics=TOPICS,
            crawl_every_s=EVERY_S,
            watch_every_s=15,
            tick_s=1,
        )
        settings.write_text(text, encoding="utf-8")
        environ = _environ(settings, server.url)
        fleet = Fleet(
            machines | {home.name: home},
            {name: environ | {"WENSHENG_DATA_DIR": str(folder / name)} for name in machines},
            {name: closing.enter_context((folder / f"{name}.log").open("wb")) for name in machines},
            random.Random(wanted.seed),
        )
        closing.callback(fleet.end)
        tell(f"{len(site.ids):,} mentions, {len(planned)} deeds; logs in {folder}")
        _run(fleet, planned, site, start, wanted.seconds)
        store = open_store(load(settings, environ))
        closing.callback(store.close)
        settled, took_s = _settle(store, fleet, site)
        fleet.stop()
        report = report_of(store, site, History(fleet.kills, fleet.cuts, home.name))
        shape = {"n_sources": wanted.n_sources, "minutes": round(wanted.seconds / 60, 1), "cut_s": wanted.cut_s}
        done = {"settled": settled, "settled_after_s": round(took_s), "n_ended_by_themselves": fleet.n_ended}
        report = {**shape, **done, **report}
    return report | {"problems": problems(report)}


def _environ(settings: Path, url: str) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("WENSHENG_")}
    return usual | {
        "WENSHENG_SETTINGS": str(settings),
        "WENSHENG_STORE__BACKEND": "elasticsearch",
        "WENSHENG_STORE__HOSTS": json.dumps([url]),
        "WENSHENG_STORE__REPLICAS": "0",
        "WENSHENG_CRAWL__TIMEOUT_S": "15",
        "WENSHENG_CRAWL__RUN_TIMEOUT_S": str(RUN_TIMEOUT_S),
        "WENSHENG_SAMPLE__ENABLED": "false",
    }


def _run(fleet: Fleet, planned: Sequence[Deed], site: Site, start: float, seconds: float) -> None:
    todo, told_at = list(planned), start
    while (now := time.time()) < start + seconds or todo:
        fleet.keep()
        while todo and todo[0].after_s <= now - start:
            fleet.do(todo.pop(0))
        if now - told_at >= 60:
            told_at = now
            tell(f"{now - start:.0f} s: {len(site.asked):,} crawls asked, {len(site.messages)} messages")
        time.sleep(0.2)


def _settle(store: Store, fleet: Fleet, site: Site) -> tuple[bool, float]:
    """Whether all was stored and told in time, and how long that took after the last deed."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < SETTLE_S:
        fleet.keep()
        told = {message.body["subject"]["id"] for message in alerts_in(site.messages)}
        all_told = len(told) >= len(TOPICS) and store.tally(Notification, {"state": "pending"}) == 0
        if all_told and store.count(MentionQuery()) == len(site.ids):
            return True, took
        time.sleep(1)
    return False, took


def alerts_in(messages: Sequence[Message]) -> list[Message]:
    """Those about alerts: a reply task that is overdue is told, too."""
    return [message for message in messages if message.body["subject"]["kind"] == "alert"]


def report_of(store: Store, site: Site, history: History) -> dict[str, Any]:
    ids, wanted = kill.stored_ids(store), site.ids
    runs = store.find(Run)
    done = crawls(
        site.asked, [Recorded(run.source, run.started_at.timestamp(), run.finished_at.timestamp()) for run in runs]
    )
    again = too_soon(done, history, every_s=EVERY_S)
    of_alerts = {message.id: message for message in alerts_in(site.messages)}
    told = Counter(message.body["subject"]["id"] for message in of_alerts.values())
    repeated = repeats(site.messages, history, site.machines)
    sent = {message.id for message in site.messages}
    alerts, notifications = store.find(Alert), store.find(Notification)
    per_source = Counter(crawl.source for crawl in done)
    return {
        "n_mentions": len(wanted),
        "n_missing": len(wanted - set(ids)),
        "n_strange": len(set(ids) - wanted),
        "n_doubled": len(ids) - len(set(ids)),
        "n_kills": len(history.kills),
        "n_cuts": dict(Counter(span.machine for span in history.cuts)),
        "n_crawls": len(done),
        "n_crawls_by_machine": dict(Counter(crawl.machine or "site not reached" for crawl in done)),
        "n_crawls_cut_off": sum(crawl.finished_at is None for crawl in done),
        "crawls_of_a_source": [
            min(per_source.values(), default=0),
            statistics.median(per_source.values()) if per_source else 0,
            max(per_source.values(), default=0),
        ],
        "longest_pause_of_a_source_s": round(longest_pause_s(done), 1),
        "outcomes": dict(Counter(run.outcome.value for run in runs)),
        "n_too_soon": dict(Counter(cause for cause, _, _ in again)),
        "too_soon": [
            f"{cause}: {earlier.source} {earlier.machine} -> {later.machine} "
            f"after {later.started_at - earlier.started_at:.1f} s"
            for cause, earlier, later in again
        ][:MOST_SHOWN],
        "n_alerts_wanted": len(TOPICS),
        "n_alerts": len(alerts),
        "n_alert_keys": len({alert.key for alert in alerts}),
        "n_alerts_told": len(told),
        "n_alerts_told_by_several_messages": sum(n > 1 for n in told.values()),
        "n_messages": len(site.messages),
        "n_repeats": dict(Counter(cause for cause, _ in repeated)),
        "repeats": [f"{cause}: {name}" for cause, name in repeated][:MOST_SHOWN],
        "n_sent_but_not_received": sum(n.state == "sent" and n.id not in sent for n in notifications),
        "states": dict(Counter(f"{n.state.value}:{n.reason}" for n in notifications)),
        "n_claimed_at_the_end": sum(source.claimed_by is not None for source in store.find(Source)),
    }


def longest_pause_s(done: Sequence[Crawl]) -> float:
    """Between the starts of two crawls of one source; a claim that nobody works on any more holds it up for a lease."""
    starts: dict[str, list[float]] = {}
    for crawl in done:
        starts.setdefault(crawl.source, []).append(crawl.started_at)
    return max((later - earlier for own in starts.values() for earlier, later in pairwise(own)), default=0.0)


def problems(report: Mapping[str, Any]) -> list[str]:
    """What a report says is wrong; empty if the promise holds."""
    zero = (
        "n_missing",
        "n_strange",
        "n_doubled",
        "n_sent_but_not_received",
        "n_alerts_told_by_several_messages",
    )
    wrong = [name for name in zero if report[name]]
    wrong += [name for name in ("n_too_soon", "n_repeats") if report[name].get(UNEXPLAINED)]
    wrong += [n for n in ("n_alerts", "n_alert_keys", "n_alerts_told") if report[n] != report["n_alerts_wanted"]]
    return wrong if report["settled"] else [*wrong, "settled"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--sources", type=int, default=50, help="each due every minute")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--cuts", type=int, default=8, help="shared among the workers' lines and the server's")
    parser.add_argument("--cut-s", type=float, default=60, help="how long a line stays cut")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--heap", default=elastic.HEAP, help="of the server")
    parser.add_argument("--folder", type=Path, help="where settings, data and logs are kept; else they go")
    asked = parser.parse_args()
    wanted = Wanted(asked.minutes * 60, asked.sources, asked.kills, asked.cuts, asked.cut_s, asked.seed)
    end_in_good_order()
    if why := elastic.missing():
        sys.exit(f"this trial cannot run here: {why}")
    with tempfile.TemporaryDirectory(prefix="wensheng-network-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            report = trial(folder, wanted, heap=asked.heap)
        except (NoMachinesError, TrialError) as error:
            sys.exit(f"this trial cannot run: {error}")
    say_and_end(report)


if __name__ == "__main__":
    main()
