"""A MentionQuery as an Elasticsearch query: pure translation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from index.elastic_rows import microseconds
from index.elastic_text import Clause, among, clause
from index.query import Near, Node, leaves
from index.store import MentionQuery


def near_leaves(node: Node | None) -> tuple[Near, ...]:
    """The NEARs of a query; their distances are measured by the store itself, not by the server."""
    return tuple(dict.fromkeys(leaf for leaf in leaves(node) if isinstance(leaf, Near))) if node else ()


def mention_clause(query: MentionQuery, node: Node | None, near: Mapping[Near, Collection[str]]) -> Clause:
    """All conditions of a query whose text was parsed into node."""
    wanted = [*_terms(query), *_ranges(query), *_aspects(query)]
    unwanted: list[Clause] = []
    # What is rare is looked for and left out: to go through all that is not rare would take longer.
    if query.copies != "all":
        (unwanted if query.copies == "fold" else wanted).append({"term": {"copy": True}})
    if query.hidden != "with":
        (unwanted if query.hidden == "without" else wanted).append({"term": {"hidden": True}})
    if query.model_version_not is not None:
        unwanted.append({"term": {"model_version": query.model_version_not}})
    if node is not None:
        wanted.append(clause(node, near))
    return {"bool": {"filter": wanted, "must_not": unwanted}}


def _terms(query: MentionQuery) -> list[Clause]:
    asked: tuple[tuple[str, Sequence[str]], ...] = (
        ("topics", query.topics),
        ("platform", query.platforms),
        ("source", query.sources),
        ("sentiment", query.sentiments),
        ("intent", query.intents),
        ("persona", query.persona_ids),
        ("story", () if query.story_id is None else (query.story_id,)),
        ("customer", () if query.customer_id is None else (query.customer_id,)),
    )
    # The empty text stands for "has none" in the index, which no condition can ask for.
    return [among(name, [value for value in values if value]) for name, values in asked if values]


def _ranges(query: MentionQuery) -> list[Clause]:
    found: list[Clause] = []
    for name, since, until in (
        ("published_us", query.since, query.until),
        ("indexed_us", query.indexed_since, query.indexed_until),
    ):
        bounds = {sign: microseconds(at) for sign, at in (("gte", since), ("lt", until)) if at is not None}
        if bounds:
            found.append({"range": {name: bounds}})
    if query.severity_from is not None:
        found.append({"range": {"severity": {"gte": query.severity_from}}})
    if query.confidence_below is not None:
        found.append({"range": {"confidence": {"lt": query.confidence_below}}})
    return found


def _aspects(query: MentionQuery) -> list[Clause]:
    polarity = query.aspect_polarity
    if query.aspects and polarity is not None:
        return [among("aspect_polarities", [f"{name}:{polarity}" for name in query.aspects])]
    if query.aspects:
        return [among("aspects", query.aspects)]
    return [{"term": {"polarities": polarity}}] if polarity is not None else []
