"""Everything of a large embedded store goes to a real Elasticsearch and back, killed (-9) twice each way; all is equal.

    python -m tests.trials.copy --mentions 1000000 --records 100000 --folder /var/lib/wensheng-trial

The real `manage.py store copy` and `store compare --every` do the work. Apart from them the trial itself reads all
three stores by the ids that it made: every mention whole with its story keys, every record, and none more. The source
is built once per size; the next run in the same folder takes it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from index.bench_data import END, batches
from index.copy import ALL, COPIED_RECORDS, CopyRefused, n_records_of, refuse_half_copied
from index.embedded import EmbeddedStore
from index.models import Mention, MentionEdit
from index.open import open_store
from index.store import Store
from settings import ROOT, load
from tests.builders import a_review
from tests.servers.elastic import Server
from tests.trials.progress import TrialError, say_and_end, tell
from tests.trials.records import records

SEED = 20_261_127
AT_ONCE = 1_000
POLL_S = 1.0
KILLED_BETWEEN = ((0.2, 0.4), (0.55, 0.85))
"""Shares of the whole that are in the target when the command is killed; at 1 M the mentions end at 0.91."""
MOST_SHOWN = 20


# ------------------------------------------------------------------------------------------------- the source


@dataclass(frozen=True)
class Made:
    """What was put into the source, by id, whatever the stores say."""

    file: Path
    mention_ids: tuple[str, ...]
    record_ids: Mapping[str, tuple[str, ...]]
    """By the name of the kind."""

    @property
    def n_all(self) -> int:
        return len(self.mention_ids) + sum(map(len, self.record_ids.values()))


def a_source(folder: Path, n_mentions: int, n_records: int) -> Made:
    """Builds it unless the folder has it."""
    file = folder / f"source-{n_mentions}-{n_records}.db"
    note = file.with_suffix(".json")  # written last
    if not note.exists():
        for part in folder.glob(f"{file.name}*"):
            part.unlink()
        note.write_text(json.dumps(_fill(file, n_mentions, n_records)), encoding="utf-8")
    known = json.loads(note.read_text(encoding="utf-8"))
    return Made(file, tuple(known["mentions"]), {name: tuple(ids) for name, ids in known["records"].items()})


def _fill(file: Path, n_mentions: int, n_records: int) -> dict[str, Any]:
    store, chance = EmbeddedStore(file), random.Random(SEED)
    mention_ids: list[str] = []
    record_ids: dict[str, list[str]] = {}
    for batch in batches(n_mentions, chance):
        store.add_mentions(batch, now=END)
        store.edit_mentions({mention.id: _edit(chance) for mention in batch if chance.random() < 0.02})
        mention_ids += [mention.id for mention in batch]
        if len(mention_ids) % 100_000 < len(batch):
            tell(f"source: {len(mention_ids):,} of {n_mentions:,} mentions")
    made = list(records(n_records, SEED))
    for start in range(0, len(made), AT_ONCE):
        store.restore_records(made[start : start + AT_ONCE])
    for record in made:
        record_ids.setdefault(record.kind_name, []).append(record.id)
    store.close()
    return {"mentions": mention_ids, "records": record_ids}


def _edit(chance: random.Random) -> MentionEdit:
    """What people do to a mention."""
    return chance.choice(
        (
            MentionEdit(review=a_review(at=END)),
            MentionEdit(customer_id=f"customer-{chance.randrange(100):07}"),
            MentionEdit(hidden="广告"),
            MentionEdit(labels=None),
        )
    )


# ---------------------------------------------------------------------------------------------------- one way


@dataclass(frozen=True)
class Way:
    """From the store that the environment names to the other backend."""

    to: str
    environ: Mapping[str, str]
    target: Store
    refresh_url: str
    """Asked before the target is counted, so that what another process wrote a moment ago is seen; "" for a file."""
    n_all: int

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", "store", *arguments, "--to", self.to, "--json"]

    def n_there(self) -> int:
        if self.refresh_url:
            with urlopen(Request(self.refresh_url, method="POST"), timeout=120):
                pass
        return self.target.count(ALL) + n_records_of(self.target)


def go(way: Way, chance: random.Random) -> dict[str, Any]:
    """Copy, killed twice, until it ends by itself; then compare everything with the product's own command."""
    times, shares = [], []
    for low, high in KILLED_BETWEEN:
        wanted = round(way.n_all * chance.uniform(low, high))
        started = time.monotonic()
        shares.append(round(_kill_at(way, wanted) / way.n_all, 3))
        times.append(time.monotonic() - started)
        tell(f"to {way.to}: killed at {shares[-1]:.1%} after {times[-1]:.1f} s")
    started = time.monotonic()
    copied = _asked(way, "copy")
    times.append(time.monotonic() - started)
    tell(f"to {way.to}: ended after {times[-1]:.1f} s")
    started = time.monotonic()
    compared = _asked(way, "compare", "--every")
    compared_s = time.monotonic() - started
    tell(f"to {way.to}: compared in {compared_s:.1f} s, {compared['n_different']:,} differences")
    return {
        "killed_at_share": shares,
        "runs_s": [round(each, 1) for each in times],
        "seconds": round(sum(times), 1),
        "docs_per_s": round(way.n_all / sum(times)),
        "copied": {name: n for name, n in copied.items() if name.startswith("n_") or name == "equal"},
        "compare_s": round(compared_s, 1),
        "n_compared_whole": compared["n_sampled"],
        "n_different": compared["n_different"],
        "differences": compared["differences"][:MOST_SHOWN],
    }


def _kill_at(way: Way, n_wanted: int) -> int:
    """Run the copy until the target has so many mentions and records, and kill it; how many it has then."""
    running = subprocess.Popen(way.command("copy"), cwd=ROOT, env=way.environ, stdout=subprocess.PIPE)
    try:
        while way.n_there() < n_wanted:
            if running.poll() is not None:
                raise TrialError(f"the copy to {way.to} ended by itself ({running.returncode}) before its kill")
            time.sleep(POLL_S)
    finally:
        running.kill()
        running.communicate()
    n_there = way.n_there()
    try:
        refuse_half_copied(way.target)
    except CopyRefused:
        return n_there
    raise TrialError(f"a target with {n_there:,} of {way.n_all:,} may be used as if it were whole")


def _asked(way: Way, *arguments: str) -> dict[str, Any]:
    """What a command says; raises TrialError if it fails otherwise than by finding differences."""
    said = subprocess.run(way.command(*arguments), check=False, cwd=ROOT, env=way.environ, capture_output=True)
    if said.returncode not in (0, 1) or not said.stdout:
        raise TrialError(f"{' '.join(arguments)} to {way.to}: {said.returncode} {said.stderr.decode()[-2000:]}")
    found: dict[str, Any] = json.loads(said.stdout)
    return found


# --------------------------------------------------------------------------------------------- the trial's look


Prints = Mapping[str, bytes]
"""`kind id` -> digest of the whole body."""


def prints(store: Store, made: Made) -> Iterator[Prints]:
    """Of all that was made, some at a time, read by id; what is not there has no print."""
    for ids in _some(made.mention_ids):
        found = store.mentions(ids, whole=True)
        yield {f"mention {name}": _print(_body(mention)) for name, mention in found.items()}
    for kind in COPIED_RECORDS:
        for ids in _some(made.record_ids.get(kind.kind_name, ())):
            known = store.find(kind, {"id": ids})
            yield {f"{kind.kind_name} {record.id}": _print(record.model_dump(mode="json")) for record in known}


def _body(mention: Mention) -> dict[str, Any]:
    return {**mention.model_dump(mode="json"), "story_keys": list(mention.story_keys)}


def _print(body: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()[:16]


def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def look(stores: Mapping[str, Store], made: Made) -> dict[str, Any]:
    """One digest of each store over everything that was made, how many it has in all, and the first differences."""
    digests = {name: hashlib.sha256() for name in stores}
    seen, wrong = dict.fromkeys(stores, 0), []
    first, *others = stores
    for n, parts in enumerate(zip(*(prints(store, made) for store in stores.values()), strict=True)):
        if n % 100 == 0:
            tell(f"look: {seen[first]:,} of {made.n_all:,}")
        found = dict(zip(stores, parts, strict=True))
        for name, part in found.items():
            seen[name] += len(part)
            for key in sorted(part):
                digests[name].update(key.encode() + part[key])
        for name in others:
            if found[name] != found[first]:
                keys = sorted(found[first].keys() | found[name].keys())
                wrong += [f"{name}: {key}" for key in keys if found[first].get(key) != found[name].get(key)]
    totals = {name: store.count(ALL) + n_records_of(store) for name, store in stores.items()}
    return {
        "n_seen": seen,
        "n_in_all": totals,
        "digests": {name: digest.hexdigest() for name, digest in digests.items()},
        "n_different": len(wrong),
        "differences": wrong[:MOST_SHOWN],
        "equal": not wrong and {*seen.values(), *totals.values()} == {made.n_all},
    }


# -------------------------------------------------------------------------------------------------- the trial


@contextmanager
def opened(environ: Mapping[str, str]) -> Iterator[Store]:
    store = open_store(load(environ=environ))
    try:
        yield store
    finally:
        store.close()


def trial(folder: Path, url: str, *, n_mentions: int, n_records: int, seed: int) -> dict[str, Any]:
    """What was found; problems() says what is wrong with it."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    made = a_source(folder, n_mentions, n_records)
    built_s = time.monotonic() - started
    tell(f"source: {len(made.mention_ids):,} mentions, {made.n_all - len(made.mention_ids):,} records")
    back_file = made.file.with_name("back.db")
    for part in folder.glob(f"{back_file.name}*"):
        part.unlink()
    prefix = f"trial-{time.time_ns()}"
    usual = {name: value for name, value in os.environ.items() if not name.startswith("WENSHENG_")}
    usual |= {
        "WENSHENG_DATA_DIR": str(folder),
        "WENSHENG_STORE__HOSTS": json.dumps([url]),
        "WENSHENG_STORE__PREFIX": prefix,
        "WENSHENG_STORE__REPLICAS": "0",
        "WENSHENG_STORE__TIMEOUT_S": "120",
    }
    here = usual | {"WENSHENG_STORE__BACKEND": "embedded", "WENSHENG_STORE__FILE": made.file.name}
    there = usual | {"WENSHENG_STORE__BACKEND": "elasticsearch", "WENSHENG_STORE__FILE": back_file.name}
    back = usual | {"WENSHENG_STORE__BACKEND": "embedded", "WENSHENG_STORE__FILE": back_file.name}
    with opened(here) as source, opened(there) as elastic, opened(back) as returned:
        stores = {"source": source, "elasticsearch": elastic, "back": returned}
        report: dict[str, Any] = {
            "n_mentions": len(made.mention_ids),
            "n_records": made.n_all - len(made.mention_ids),
            "n_cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "source_s": round(built_s, 1),
            "there": go(Way("elasticsearch", here, elastic, f"{url}/{prefix}-*/_refresh", made.n_all), chance),
            "back": go(Way("embedded", there, returned, "", made.n_all), chance),
        }
        report["mb"] = {
            name: round(store.check()["n_bytes"] / 1e6, 1) for name, store in stores.items() if name != "back"
        }
        report["look"] = look(stores, made)
    return report | {"problems": problems(report)}


def problems(report: Mapping[str, Any]) -> list[str]:
    """Which part found a difference; empty if the promise holds."""
    wrong = []
    for name in ("there", "back"):
        way = report[name]
        if way["n_different"] or way["n_compared_whole"] != report["n_mentions"] or not way["copied"]["equal"]:
            wrong.append(name)
    return wrong if report["look"]["equal"] else [*wrong, "look"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mentions", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the source is kept for the next run")
    parser.add_argument("--heap", default="1g", help="of the server")
    parser.add_argument("--seed", type=int, default=1, help="chooses where the copy is killed")
    wanted = parser.parse_args()
    server = Server(heap=wanted.heap)
    with tempfile.TemporaryDirectory(prefix="wensheng-copy-") as temporary:
        try:
            report = trial(
                wanted.folder or Path(temporary),
                server.start().url,
                n_mentions=wanted.mentions,
                n_records=wanted.records,
                seed=wanted.seed,
            )
        finally:
            server.stop()
    say_and_end(report)


if __name__ == "__main__":
    main()
