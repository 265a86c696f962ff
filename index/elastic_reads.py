"""Searching, counting and grouping mentions in Elasticsearch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from index.elastic_groups import group
from index.elastic_query import mention_clause, near_leaves
from index.elastic_rows import mention_of, microseconds
from index.elastic_schema import mention_indices
from index.elastic_search import LARGEST_PAGE, Freshness, Hit, Session
from index.elastic_text import TERMS_AT_ONCE, Clause, among, chunks, near_candidates
from index.query import Near, are_near, parse
from index.store import Dimension, MentionQuery, Page, StoreError
from index.text import search_text


@dataclass(frozen=True)
class MentionReader:
    session: Session
    fresh: Freshness

    def search(self, query: MentionQuery, *, limit: int, after: str | None, oldest_first: bool, whole: bool) -> Page:
        """The place after a page is the instant and id of its last mention, so it holds for ever and for all."""
        order = "asc" if oldest_first else "desc"
        clause, place = self._clause(query), _read_cursor(after)
        hits: list[Hit] = []
        while len(hits) <= limit:
            size = min(limit + 1 - len(hits), LARGEST_PAGE)
            answer = self.session.search(
                index=self.session.names.mentions,
                query=clause,
                sort=[{"published_us": order}, {"id": order}],
                size=size,
                search_after=place,
                track_total_hits=False,
                source=["body", "keys"] if whole else ["body"],
            )
            found = answer["hits"]["hits"]
            hits += found
            if len(found) < size:
                break
            place = found[-1]["sort"]
        mentions = tuple(mention_of(hit["_source"], keys=whole) for hit in hits[:limit])
        return Page(mentions=mentions, after=_cursor(hits[limit - 1]) if 0 < limit < len(hits) else None)

    def count(self, query: MentionQuery) -> int:
        return self.session.count(self.session.names.mentions, self._clause(query))

    def group(self, query: MentionQuery, by: Sequence[Dimension], top: int | None) -> dict[tuple[str, ...], int]:
        return group(self.session, self._clause(query), by, top)

    def find_originals(self, keys: Collection[int], *, since: datetime) -> dict[int, tuple[str, ...]]:
        # A copy may follow its original at once, and through another process.
        self.fresh.refresh(self.session, always=True)
        # By name: each further month would look all keys up before it sees that nothing in it is that new.
        months = [
            index
            for index in mention_indices(self.session.client, self.session.names)
            if (end := self.session.names.end_of(index)) is None or end > since
        ]
        found: dict[int, list[str]] = {}
        for wanted in map(set, chunks(sorted(set(keys)), TERMS_AT_ONCE)):
            clause = {
                "bool": {
                    "filter": [
                        among("keys", wanted),
                        {"term": {"copy": False}},
                        {"range": {"published_us": {"gte": microseconds(since)}}},
                    ]
                }
            }
            for hit in self._originals(months, clause):
                for key in wanted.intersection(hit["_source"]["keys"]):
                    found.setdefault(key, []).append(hit["fields"]["id"][0])
        return {key: tuple(ids) for key, ids in found.items()}

    def _originals(self, months: Sequence[str], clause: Clause) -> Iterator[Hit]:
        """The earliest first."""
        place = None
        while True:
            answer = self.session.search(
                index=months,
                ignore_unavailable=True,
                query=clause,
                sort=[{"published_us": "asc"}, {"id": "asc"}],
                size=LARGEST_PAGE,
                search_after=place,
                track_total_hits=False,
                source=["keys"],
                docvalue_fields=["id"],
            )
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < LARGEST_PAGE:
                return
            place = hits[-1]["sort"]

    def _clause(self, query: MentionQuery) -> Clause:
        """The query for the server, after a refresh where this process wrote, or a job asks what is newly indexed."""
        node = parse(query.text)
        by_index = query.indexed_since is not None or query.indexed_until is not None
        self.fresh.refresh(self.session, always=by_index)
        near = {leaf: self._near(query, leaf) for leaf in near_leaves(node)}
        return mention_clause(query, node, near)

    def _near(self, query: MentionQuery, leaf: Near) -> list[str]:
        """The ids that fit a NEAR: the server finds those with the words close by, here their distance is measured.

        Its own clauses can limit the sum of several distances only, and measure tokens.
        """
        narrowed = mention_clause(query, None, {})
        clause = {"bool": {"filter": [narrowed, near_candidates(leaf)]}}
        found = []
        wanted = ["body.id", "body.title", "body.text"]
        for hit in self.session.scan(self.session.names.mentions, clause, source=wanted):
            body = hit["_source"]["body"]
            if are_near(leaf, search_text(body.get("title", ""), body["text"])):
                found.append(body["id"])
        return found


def _cursor(hit: Hit) -> str:
    published_us, name = hit["sort"]
    return f"{published_us} {name}"


def _read_cursor(after: str | None) -> list[Any] | None:
    if after is None:
        return None
    published_us, space, name = after.partition(" ")
    try:
        place = [int(published_us), name]
    except ValueError as e:
        raise StoreError(f"翻页位置 {after!r} 无效: 请从第一页重新开始") from e
    if not space:
        raise StoreError(f"翻页位置 {after!r} 无效: 请从第一页重新开始")
    return place
