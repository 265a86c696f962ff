"""Counting by groups in Elasticsearch, exact however many groups there are.

Few groups come from one tree of aggregations, which says itself whether it left anything out. The slots of time are
its innermost level: an inner aggregation is set up anew for each bucket around it, and there are hundreds of hours but
three sentiments. What the tree cannot hold, and what has as many groups as mentions, comes by pages of a composite
aggregation, several times slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any

from elasticsearch import ApiError

from index.elastic_search import Session
from index.elastic_text import Clause
from index.store import Dimension, StoreError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEIJING = timedelta(hours=8)
_LAST_S = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_SLOTS = {"day": ("1d", "%Y-%m-%d"), "hour": ("1h", "%Y-%m-%dT%H"), "five_minutes": ("5m", "%Y-%m-%dT%H:%M")}
_FIELD_OF = {"topic": "topics", "aspect": "aspects", "aspect_polarity": "aspect_polarities"}
_WITHOUT_BOUND = ("story", "persona", "customer")
"""Dimensions with about as many groups as mentions."""
_UNREAD_SEVERITY = -1
_GROUPS_AT_ONCE = 10_000
_VALUES_AT_ONCE = 2_000
"""Of one dimension in a tree."""
_VALUES_OF_A_SHARD = 1_000_000
"""That may stand for election as the largest."""

Counts = dict[tuple[str, ...], int]


def group(session: Session, clause: Clause, by: Sequence[Dimension], top: int | None) -> Counts:
    """How many mentions per combination of the dimensions; of all or of the largest."""
    if not 1 <= len(by) <= 3:
        raise StoreError("分组需要一到三个维度")
    counts = None
    if set(by).isdisjoint(_WITHOUT_BOUND):
        counts = _by_tree(session, clause, by)
    elif top is not None and len(by) == 1:
        counts = _largest(session, clause, by[0], top)
    if counts is None:
        counts = _by_pages(session, clause, by)
    return counts if top is None else {key: counts[key] for key in nlargest(top, counts, key=counts.__getitem__)}


# ---------------------------------------------------------------------------------------------- few groups


def _by_tree(session: Session, clause: Clause, by: Sequence[Dimension]) -> Counts | None:
    """None where there are more groups than a tree can hold."""
    # By number, since a dimension may be named twice.
    order = sorted(range(len(by)), key=lambda number: by[number] in _SLOTS)
    tree: dict[str, Any] = {}
    for number in reversed(order):
        tree = {"groups": {**_branches(by[number]), **({"aggregations": tree} if tree else {})}}
    try:
        answer = session.search(
            query=clause, size=0, track_total_hits=False, aggregations=tree, index=session.names.mentions
        )
    except ApiError as e:
        if "too_many_buckets_exception" in str(e.body):
            return None
        raise
    counts: Counts = {}
    for path, n in _leaves(answer["aggregations"]["groups"], len(by)):
        if n is None:
            return None
        values = dict(zip(order, path, strict=True))
        _add(counts, tuple(_key_text(by[number], values[number]) for number in range(len(by))), n)
    return counts


def _branches(dimension: Dimension) -> dict[str, Any]:
    if dimension in _SLOTS:
        return {"date_histogram": {**_slot(dimension), "min_doc_count": 1}}
    terms: dict[str, Any] = {"field": _field(dimension), "size": _VALUES_AT_ONCE, "collect_mode": "depth_first"}
    if dimension == "severity":
        terms["missing"] = _UNREAD_SEVERITY
    return {"terms": terms}


def _leaves(groups: dict[str, Any], depth: int) -> Iterator[tuple[tuple[Any, ...], int | None]]:
    """Each path with its number of mentions; without a number if something was left out."""
    if groups.get("sum_other_doc_count") or groups.get("doc_count_error_upper_bound"):
        yield (), None
    for bucket in groups["buckets"]:
        if depth == 1:
            yield (bucket["key"],), bucket["doc_count"]
        else:
            for path, n in _leaves(bucket["groups"], depth - 1):
                yield (bucket["key"], *path), n


def _largest(session: Session, clause: Clause, dimension: Dimension, top: int) -> Counts | None:
    """None where the server cannot promise that these are the largest."""
    terms: dict[str, Any] = {"field": _field(dimension), "size": top, "shard_size": _VALUES_OF_A_SHARD}
    # Else all values of the index are numbered first, after each refresh anew.
    terms["execution_hint"] = "map"
    answer = session.search(
        query=clause,
        size=0,
        track_total_hits=False,
        aggregations={"groups": {"terms": terms}},
        index=session.names.mentions,
    )
    groups = answer["aggregations"]["groups"]
    if groups["doc_count_error_upper_bound"]:
        return None
    return {(bucket["key"],): bucket["doc_count"] for bucket in groups["buckets"]}


# --------------------------------------------------------------------------------------------- many groups


def _by_pages(session: Session, clause: Clause, by: Sequence[Dimension]) -> Counts:
    buckets = _page(session, clause, by, None, index=session.names.mentions)
    if len(buckets) == _GROUPS_AT_ONCE:
        # Several pages must speak of the same instant.
        with session.point_in_time(session.names.mentions) as pit:
            buckets = list(_pages(session, clause, by, pit.reference()))
    counts: Counts = {}
    for bucket in buckets:
        _add(
            counts,
            tuple(_key_text(dimension, bucket["key"][str(n)]) for n, dimension in enumerate(by)),
            bucket["doc_count"],
        )
    return counts


def _pages(session: Session, clause: Clause, by: Sequence[Dimension], pit: dict[str, str]) -> Iterator[Any]:
    after: Any = None
    while True:
        buckets = _page(session, clause, by, after, pit=pit)
        yield from buckets
        if len(buckets) < _GROUPS_AT_ONCE:
            return
        after = buckets[-1]["key"]


def _page(session: Session, clause: Clause, by: Sequence[Dimension], after: Any, **where: Any) -> list[Any]:
    # Numbered, since a dimension may be named twice.
    sources = [{str(number): _source(dimension)} for number, dimension in enumerate(by)]
    composite = {"size": _GROUPS_AT_ONCE, "sources": sources, **({"after": after} if after else {})}
    answer = session.search(
        query=clause, size=0, track_total_hits=False, aggregations={"groups": {"composite": composite}}, **where
    )
    found: list[Any] = answer["aggregations"]["groups"]["buckets"]
    return found


def _source(dimension: Dimension) -> Clause:
    if dimension in _SLOTS:
        return {"date_histogram": _slot(dimension)}
    terms: Clause = {"field": _field(dimension)}
    if dimension == "severity":
        terms["missing_bucket"] = True
    return {"terms": terms}


def _slot(dimension: Dimension) -> dict[str, Any]:
    # Beijing as a fixed offset, as in the rest of the house: its summer times of 1986 to 1991 play no part.
    return {"field": "published_at", "fixed_interval": _SLOTS[dimension][0], "time_zone": "+08:00"}


def _field(dimension: Dimension) -> str:
    return _FIELD_OF.get(dimension, dimension)


def _add(counts: Counts, key: tuple[str, ...], n: int) -> None:
    """Different slots may have one name, at the very end of time."""
    counts[key] = counts.get(key, 0) + n


def _key_text(dimension: Dimension, value: Any) -> str:
    """The key of a bucket as Store.group promises it."""
    if dimension in _SLOTS:
        # A slot is given by its first instant; in Beijing the last ones lie beyond what a datetime can say.
        seconds = min(value // 1000 + int(_BEIJING.total_seconds()), _LAST_S)
        return (_EPOCH + timedelta(seconds=seconds)).strftime(_SLOTS[dimension][1])
    return "" if value is None or (dimension == "severity" and value == _UNREAD_SEVERITY) else str(value)
