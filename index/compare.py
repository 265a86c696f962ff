"""Whether two stores hold the same: counts from each one's own index, all records, and sampled mentions whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pydantic import BaseModel

from index.copy import ALL, COPIED_RECORDS, mention_pages, record_pages, unwatched
from index.models import BEIJING_OFFSET, Frozen, Mention, Record
from index.store import Store

MOST_SHOWN = 100
_RUN = 10
"""Neighbours that are taken at one random instant: each place costs a search."""


class Difference(Frozen):
    """One thing that is not the same; the values are text for people, "" where there is none."""

    what: str
    field: str = ""
    source: str
    target: str


@dataclass(frozen=True)
class Comparison:
    n_mentions: int
    """In the source."""
    n_records: int
    n_sampled: int
    n_different: int
    differences: tuple[Difference, ...]
    """The first MOST_SHOWN of them."""


def compare(
    source: Store,
    target: Store,
    *,
    n_samples: int | None = 1_000,
    seed: int = 0,
    may_have_more: bool = False,
    kinds: Sequence[type[Record]] = COPIED_RECORDS,
    advance: Callable[[int], object] = unwatched,
) -> Comparison:
    """Compare counts (all, by month of Beijing time, sentiment and topic), all records of these kinds, and about
    n_samples mentions field by field; None compares every one.

    may_have_more is for a target that was in use before: then it must have all that the source has, but may have
    more, and its own version of what both have. advance is told how many mentions and records were compared.
    """
    found = [*_counts(source, target, may_have_more=may_have_more)]
    n_different, n_records, n_sampled = len(found), 0, 0
    chance = random.Random(seed)
    mentions_of = mention_pages(source, ALL) if n_samples is None else _samples(source, n_samples, chance)
    for n, differences in _records(source, target, kinds, may_have_more=may_have_more):
        found += differences[: max(0, MOST_SHOWN - len(found))]
        n_different += len(differences)
        n_records += n
        advance(n)
    for mentions in mentions_of:
        differences = _mentions(mentions, target, may_have_more=may_have_more)
        found += differences[: max(0, MOST_SHOWN - len(found))]
        n_different += len(differences)
        n_sampled += len(mentions)
        advance(len(mentions))
    return Comparison(source.count(ALL), n_records, n_sampled, n_different, tuple(found[:MOST_SHOWN]))


# -------------------------------------------------------------------------------------------------- counts


def _counts(source: Store, target: Store, *, may_have_more: bool) -> Iterator[Difference]:
    whole = (("提及总数", {"": source.count(ALL)}, {"": target.count(ALL)}),)
    parts = () if may_have_more else tuple(_grouped(source, target))
    for what, ours, theirs in (*whole, *parts):
        for key in sorted(ours.keys() | theirs.keys()):
            n, m = ours.get(key, 0), theirs.get(key, 0)
            if n > m or (n != m and not may_have_more):
                yield Difference(what=what, field=key, source=f"{n:,}", target=f"{m:,}")


def _grouped(source: Store, target: Store) -> Iterator[tuple[str, Mapping[str, int], Mapping[str, int]]]:
    yield "各月提及数", _months(source), _months(target)
    for what, dimension in (("各情感提及数", "sentiment"), ("各主题提及数", "topic")):
        ours, theirs = (
            {key or "(未知)": n for (key,), n in store.group(ALL, [dimension]).items()}  # type: ignore[list-item]
            for store in (source, target)
        )
        yield what, ours, theirs


def _months(store: Store) -> Counter[str]:
    months: Counter[str] = Counter()
    for (day,), n in store.group(ALL, ["day"]).items():
        months[day[:7]] += n
    return months


# ------------------------------------------------------------------------------------------------- records


def _records(
    source: Store, target: Store, kinds: Sequence[type[Record]], *, may_have_more: bool
) -> Iterator[tuple[int, list[Difference]]]:
    for kind in kinds:
        n, m = source.tally(kind), target.tally(kind)
        if n > m or (n != m and not may_have_more):
            yield 0, [Difference(what=f"{kind.kind_name} 记录数", source=f"{n:,}", target=f"{m:,}")]
        for records in record_pages(source, kind):
            known = {record.id: record for record in target.find(kind, {"id": [record.id for record in records]})}
            found = [
                difference
                for record in records
                for difference in _unlike(
                    f"{kind.kind_name} {record.id}", record, known.get(record.id), may_have_more=may_have_more
                )
            ]
            yield len(records), found


# ------------------------------------------------------------------------------------------------ mentions


def _mentions(mentions: tuple[Mention, ...], target: Store, *, may_have_more: bool) -> list[Difference]:
    known = target.mentions([mention.id for mention in mentions], whole=True)
    return [
        difference
        for mention in mentions
        for difference in _unlike(f"提及 {mention.id}", mention, known.get(mention.id), may_have_more=may_have_more)
    ]


def _samples(store: Store, n: int, chance: random.Random) -> Iterator[tuple[Mention, ...]]:
    """About n mentions from random instants of days that are drawn by how many they have; all if there are few."""
    days = {day: count for (day,), count in sorted(store.group(ALL, ["day"]).items())}
    if sum(days.values()) <= n:
        yield from mention_pages(store, ALL)
        return
    seen: set[str] = set()
    for day in chance.choices(list(days), list(days.values()), k=2 * n // _RUN + 1):
        fresh = tuple(mention for mention in _somewhere(store, day, chance) if mention.id not in seen)
        taken = tuple(islice(fresh, n - len(seen)))
        seen.update(mention.id for mention in taken)
        if taken:
            yield taken
        if len(seen) == n:
            return


def _somewhere(store: Store, day: str, chance: random.Random) -> tuple[Mention, ...]:
    """Some that follow each other from a random instant of the day on, or the last ones before it."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC) - BEIJING_OFFSET
    instant = midnight + timedelta(seconds=chance.uniform(0, 86_400))
    later = ALL.model_copy(update={"since": instant, "until": midnight + timedelta(days=1)})
    earlier = ALL.model_copy(update={"since": midnight, "until": instant})
    return (
        store.search(later, limit=_RUN, oldest_first=True, whole=True).mentions
        or store.search(earlier, limit=_RUN, whole=True).mentions
    )


def _unlike(what: str, ours: BaseModel, theirs: BaseModel | None, *, may_have_more: bool) -> Iterator[Difference]:
    if theirs is None:
        yield Difference(what=what, source="有", target="没有")
    elif ours != theirs and not may_have_more:
        for name in type(ours).model_fields:
            mine, other = getattr(ours, name), getattr(theirs, name)
            if mine != other:
                yield Difference(what=what, field=name, source=_shown(mine), target=_shown(other))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value.model_dump_json() if isinstance(value, BaseModel) else str(value)
