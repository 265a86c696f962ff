"""Carrying the documents of one version of the indices into another while the first is written to.

Each shard numbers its writes (_seq_no). Up to its global checkpoint no number is still under way, so after a refresh
a search sees every document that was last written at or below it. carry() copies the documents from where it last
stopped up to there, by ranges of numbers; what is written later has a higher number and comes with the next round.
Every copy has its number as its version, and the server lets none replace one of a higher version: repeating,
stalling and two runs at once do no harm. A deletion leaves no document to be found. But when all that is in the old
indices is in the new ones, a count that differs is a document too many: those hours are compared id by id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from index.elastic_bulk import Fate, Write
from index.elastic_records import rewritten
from index.elastic_rows import document_of, mention_of
from index.elastic_schema import Names, create, mentions_index, records_index
from index.elastic_search import Hit, Session
from index.elastic_text import chunks
from index.store import StoreUnavailable

_NUMBERS, _MOST_NUMBERS = 1_000, 10_000
"""Of one range; the latter is the server's limit on hits."""
_AT_ONCE = 3
_GETS_AT_ONCE = 5_000
_BUCKETS_AT_ONCE = 10_000
_HOUR_MS = 3_600_000

Place = tuple[str, str]
"""Of a document: the end of its index's name, which both versions have in common, and its _id."""


@dataclass
class Unit:
    """How far an index is carried. With another uuid it is another index of the same name, and nothing is."""

    old_uuid: str
    new_uuid: str
    done: dict[str, int] = field(default_factory=dict)
    """By shard: all numbers up to this one."""


@dataclass(frozen=True)
class _Index:
    uuid: str
    checkpoints: dict[str, int]
    """By shard."""
    at_rest: bool
    """No write is under way."""


@dataclass
class Carrier:
    old: Session
    new: Session
    units: dict[str, Unit]
    """By the end of the index's name."""
    save: Callable[[], None]
    """Keeps the units where the next run finds them; called often."""
    advance: Callable[[int], object]
    refused: dict[str, str] = field(default_factory=dict)
    """Documents that the new mapping does not take, by _id, with the reason."""

    def carry(self, *, at_rest: bool = False) -> int:
        """One round; returns how many documents were written. at_rest is for the last one, when nobody writes: raises
        StoreUnavailable if that is not so."""
        # Asked before the refresh: what is at or below the checkpoints is seen after it.
        indices = _indices(self.old.client, self.old.names)
        if at_rest and not all(index.at_rest for index in indices.values()):
            raise StoreUnavailable("旧索引里还有写入没有完成, 请再运行一次")
        self._make_targets(indices)
        n = 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for end, index in indices.items():
                unit = self.units[end]
                if any(unit.done.get(shard, -1) < upto for shard, upto in index.checkpoints.items()):
                    n += self._carry_index(end, index, pool)
        return n

    def _make_targets(self, indices: Mapping[str, _Index]) -> None:
        """An empty one for each old index that has none, or has one that was filled from another index."""
        there = _uuids(self.new.client, self.new.names)
        for end in there.keys() | self.units.keys():
            unit, index = self.units.get(end), indices.get(end)
            if unit and index and (unit.old_uuid, unit.new_uuid) == (index.uuid, there.get(end)):
                continue
            self.new.client.indices.delete(index=_whole(self.new.names, end), ignore_unavailable=True)
            self.units.pop(end, None)
        for end in indices.keys() - self.units.keys():
            parts = mentions_index if _is_of_mentions(end) else records_index
            name = _whole(self.new.names, end)
            create(self.new.client, name, **parts(self.new.names, self.new.settings))
            uuid = self.new.client.indices.get_settings(index=name)[name]["settings"]["index"]["uuid"]
            self.units[end] = Unit(indices[end].uuid, uuid)
        self.save()

    def _carry_index(self, end: str, index: _Index, pool: ThreadPoolExecutor) -> int:
        source, done, n = _whole(self.old.names, end), self.units[end].done, 0
        try:
            self.old.refresh(source)
            for shard, upto in index.checkpoints.items():
                for ranges in chunks(list(_ranges(done.get(shard, -1), upto, _NUMBERS)), _AT_ONCE):
                    for n_written in pool.map(partial(self._carry_range, end, shard), *zip(*ranges, strict=True)):
                        n += n_written
                        self.advance(n_written)
                    done[shard] = ranges[-1][1]
                    self.save()
        except NotFoundError:  # retention has dropped the month: the next round drops its copy
            return n
        return n

    def _carry_range(self, end: str, shard: str, after: int, upto: int) -> int:
        rewrite = _rewritten_mention if _is_of_mentions(end) else rewritten
        target = _whole(self.new.names, end)
        writes = [
            Write("index", target, hit["_id"], rewrite(hit["_source"]), version=hit["_seq_no"])
            for hit in _numbered(self.old, _whole(self.old.names, end), shard, after, upto)
        ]
        n = 0
        for write, result in zip(writes, self.new.bulk.write(writes), strict=True):
            if result.fate is Fate.REFUSED:
                self.refused[write.key] = result.reason
            elif result.fate is Fate.MISSING:
                raise StoreUnavailable(f"新索引 {target} 刚刚被删除, 请再运行一次")
            else:  # a conflict is a newer copy that is there already
                self.refused.pop(write.key, None)
                n += result.fate is Fate.DONE
        return n

    # ------------------------------------------------------------------------------------------- too many

    def remove_surplus(self) -> int:
        """Removes from the new indices what is not in the old ones; returns how many there were."""
        surplus = [*self._surplus_mentions(), *self._surplus_records()]
        return sum(self._remove(places) for places in chunks(surplus, _GETS_AT_ONCE))

    def _surplus_mentions(self) -> Iterator[Place]:
        for session in (self.old, self.new):
            session.refresh(session.names.mentions)
        ours, theirs = hours(self.old), hours(self.new)
        for since_ms, until_ms in _spans(sorted(hour for hour, n in theirs.items() if n > ours[hour])):
            clause = {"range": {"published_us": {"gte": since_ms * 1000, "lt": until_ms * 1000}}}
            here, there = (_places(session, clause) for session in (self.old, self.new))
            yield from there - here

    def _surplus_records(self) -> Iterator[Place]:
        end = _end(self.new.names, self.new.names.records_index)
        ours, theirs = record_versions(self.old), record_versions(self.new)
        yield from ((end, key) for key in theirs.keys() - ours.keys())

    def _remove(self, places: Sequence[Place]) -> int:
        """Each only if it is as it was before the old indices were asked for it once more, by gets that see all."""
        there = _stored(self.new, places)
        here = _stored(self.old, list(there))
        writes = [
            Write("delete", _whole(self.new.names, end), key, None, *there[end, key])
            for end, key in there.keys() - here.keys()
        ]
        return sum(result.fate is Fate.DONE for result in self.new.bulk.write(writes))


def hours(session: Session) -> Counter[int]:
    """How many mentions by hour of publication, as milliseconds since 1970."""
    counts: Counter[int] = Counter()
    hour = {"date_histogram": {"field": "published_at", "fixed_interval": "1h"}}
    after: Any = {}
    while True:
        composite = {"size": _BUCKETS_AT_ONCE, "sources": [{"hour": hour}], **after}
        answer = session.search(
            index=session.names.mentions,
            size=0,
            aggregations={"hours": {"composite": composite}},
            track_total_hits=False,
        )
        buckets = answer["aggregations"]["hours"]["buckets"]
        counts.update({bucket["key"]["hour"]: bucket["doc_count"] for bucket in buckets})
        if len(buckets) < _BUCKETS_AT_ONCE:
            return counts
        after = {"after": buckets[-1]["key"]}


def record_versions(session: Session) -> dict[str, int]:
    """_id of each record -> the number of its last write in the old version, which is its version in the new one."""
    names = session.names
    session.refresh(names.records)
    (index,) = (index for end, index in _indices(session.client, names).items() if not _is_of_mentions(end))
    stamp = "_version" if names.staged else "_seq_no"
    return {
        hit["_id"]: hit[stamp]
        for shard, upto in index.checkpoints.items()
        for after, last in _ranges(-1, upto, _MOST_NUMBERS)
        for hit in _numbered(session, names.records_index, shard, after, last, source=False)
    }


# ------------------------------------------------------------------------------------------------- numbers


def _ranges(done: int, upto: int, width: int) -> Iterator[tuple[int, int]]:
    """(after, last) of each range of numbers; a range never has more documents than numbers."""
    for after in range(done, upto, width):
        yield after, min(after + width, upto)


def _numbered(session: Session, index: str, shard: str, after: int, last: int, *, source: bool = True) -> list[Hit]:
    answer = session.search(
        index=index,
        preference=f"_shards:{shard}",
        query={"range": {"_seq_no": {"gt": after, "lte": last}}},
        size=last - after,
        seq_no_primary_term=True,
        version=True,
        track_total_hits=False,
        source=source,
    )
    hits: list[Hit] = answer["hits"]["hits"]
    return hits


def _indices(client: Elasticsearch, names: Names) -> dict[str, _Index]:
    """All that a version has, by the end of the name. Raises StoreUnavailable where a shard has no node."""
    both = [names.mentions, names.records]
    settings = client.indices.get_settings(index=both, name="index.number_of_shards")
    stats = client.indices.stats(
        index=both,
        level="shards",
        metric="docs",
        filter_path="indices.*.uuid,indices.*.shards.*.routing.primary,indices.*.shards.*.seq_no",
    ).body.get("indices", {})
    found = {}
    for name, said in settings.items():
        n_shards = int(said["settings"]["index"]["number_of_shards"])
        shards = {
            shard: copy["seq_no"]
            for shard, copies in stats.get(name, {}).get("shards", {}).items()
            for copy in copies
            if copy["routing"]["primary"] and "seq_no" in copy
        }
        if len(shards) < n_shards:
            raise StoreUnavailable(f"索引 {name} 有分片不可用 (red): 请检查各节点, 再运行一次")
        found[_end(names, name)] = _Index(
            uuid=stats[name]["uuid"],
            checkpoints={shard: said["global_checkpoint"] for shard, said in shards.items()},
            at_rest=all(said["global_checkpoint"] == said["max_seq_no"] for said in shards.values()),
        )
    return found


def _uuids(client: Elasticsearch, names: Names) -> dict[str, str]:
    answer = client.indices.get_settings(
        index=names.patterns, name="index.uuid", ignore_unavailable=True, allow_no_indices=True
    )
    return {_end(names, name): said["settings"]["index"]["uuid"] for name, said in answer.items()}


# ------------------------------------------------------------------------------------------- names, places


def _end(names: Names, index: str) -> str:
    """ "mentions-2026.11" or "records-all"."""
    return index.removeprefix(f"{names.prefix}-").replace(f"-v{names.version}-", "-", 1)


def _whole(names: Names, end: str) -> str:
    kind, _, rest = end.partition("-")
    return f"{names.prefix}-{kind}-v{names.version}-{rest}"


def _is_of_mentions(end: str) -> bool:
    return end.startswith("mentions-")


def _rewritten_mention(source: dict[str, Any]) -> dict[str, Any]:
    return document_of(mention_of(source, keys=True))


def _places(session: Session, clause: dict[str, Any]) -> set[Place]:
    hits = session.scan(session.names.mentions, clause, source=False)
    return {(_end(session.names, hit["_index"]), hit["_id"]) for hit in hits}


def _stored(session: Session, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
    """Sequence number and term of those that exist."""
    if not places:
        return {}
    docs = [{"_index": _whole(session.names, end), "_id": key, "_source": False} for end, key in places]
    answer = session.patiently(lambda: session.client.mget(docs=docs))
    found = {}
    for said in answer["docs"]:
        if "error" in said and said["error"].get("type") != "index_not_found_exception":
            raise StoreUnavailable(f"索引 {said['_index']} 现在读不了: {said['error'].get('reason', '')}")
        if said.get("found"):
            found[_end(session.names, said["_index"]), said["_id"]] = (said["_seq_no"], said["_primary_term"])
    return found


def _spans(hours_ms: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(since, until) of hours in their order, neighbours together."""
    first = 0
    for at, hour in enumerate(hours_ms, 1):
        if at == len(hours_ms) or hours_ms[at] > hour + _HOUR_MS:
            yield hours_ms[first], hour + _HOUR_MS
            first = at
