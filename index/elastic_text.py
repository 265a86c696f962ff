"""A query tree as Elasticsearch clauses: pure translation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from index.elastic_rows import KEPT_OF_LONG, indexed
from index.query import And, FieldIs, Near, Node, Not, Or, Prefix, Words
from index.store import QueryError
from index.text import phrase

Clause = dict[str, Any]

TERMS_AT_ONCE = 10_000
"""Values in one clause; the server takes 65,536."""

MATCH_NONE: Clause = {"match_none": {}}
_MAX_DEPTH = 25
"""Brackets in brackets; the server takes 30 levels of clauses, and some stand around these."""

# Every bigram of the index may begin with the character at the end of a phrase.
_ALL_EXPANSIONS = 2_000_000


def clause(node: Node, near: Mapping[Near, Collection[str]], depth: int = 0) -> Clause:
    """The tree as one clause; near holds the ids of the mentions that fit each NEAR in it.

    Raises QueryError for brackets that are nested deeper than the server allows.
    """
    if depth > _MAX_DEPTH:
        raise QueryError(f"括号嵌套超过 {_MAX_DEPTH} 层, Elasticsearch 无法执行")
    if isinstance(node, And):
        wanted = [clause(part, near, depth + 1) for part in node.parts if not isinstance(part, Not)]
        unwanted = [clause(part.part, near, depth + 1) for part in node.parts if isinstance(part, Not)]
        return {"bool": {"filter": wanted, "must_not": unwanted}}
    if isinstance(node, Or):
        return _any_of(node, near, depth)
    if isinstance(node, Not):
        return {"bool": {"must_not": [clause(node.part, near, depth + 1)]}}
    if isinstance(node, Near):
        return among("id", near[node])
    if isinstance(node, FieldIs):
        return {"term": {_field(node): _value(node)}}
    return words_clause(node)


def _any_of(node: Or, near: Mapping[Near, Collection[str]], depth: int) -> Clause:
    """Alternatives, with all single words and all values of a field in one clause each: there may be thousands."""
    single: dict[str, list[Any]] = {}
    others = []
    for part in node.parts:
        if isinstance(part, FieldIs):
            single.setdefault(_field(part), []).append(_value(part))
        elif isinstance(part, Words) and (token := _single_token(part)):
            single.setdefault("words", []).append(token)
        else:
            others.append(clause(part, near, depth + 1))
    return any_clause([*(among(name, values) for name, values in single.items()), *others])


def words_clause(node: Words | Prefix) -> Clause:
    if isinstance(node, Prefix):
        return {"prefix": {"words": node.text[:KEPT_OF_LONG]}}
    text, is_prefix = _phrase(node)
    if " " not in text:
        return {"prefix" if is_prefix else "term": {"words": text}}
    if is_prefix:
        return {"match_phrase_prefix": {"words": {"query": text, "max_expansions": _ALL_EXPANSIONS}}}
    return {"match_phrase": {"words": text}}


def near_candidates(node: Near) -> Clause:
    """All that can fit a NEAR, and a little more: the distance between tokens is not quite that of characters."""
    parts = [Words(part) for part in node.parts]
    phrases = [_phrase(part) for part in parts]
    if any(is_prefix for _, is_prefix in phrases):
        return {"bool": {"filter": [words_clause(part) for part in parts]}}
    # A part of n characters is n - 1 tokens wide, so between two neighbours lies at most one token more.
    gaps = (node.distance + 1) * (len(parts) - 1) + 1
    rules = [{"match": {"query": text, "ordered": True, "max_gaps": 0}} for text, _ in phrases]
    return {"intervals": {"words": {"all_of": {"intervals": rules, "ordered": False, "max_gaps": gaps}}}}


def among(name: str, values: Collection[Any]) -> Clause:
    """The field has one of the values; of none it has none."""
    parts: list[Clause] = [{"terms": {name: chunk}} for chunk in chunks(values, TERMS_AT_ONCE)]
    return any_clause(parts)


def any_clause(parts: Sequence[Clause]) -> Clause:
    if not parts:
        return MATCH_NONE
    return parts[0] if len(parts) == 1 else {"bool": {"should": list(parts), "minimum_should_match": 1}}


def chunks(values: Collection[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(values)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _phrase(node: Words) -> tuple[str, bool]:
    found = phrase(node.text)
    assert found is not None, "the parser refuses words without any unit"
    text, is_prefix = found
    return indexed(text), is_prefix


def _single_token(node: Words) -> str | None:
    text, is_prefix = _phrase(node)
    return None if is_prefix or " " in text else text


_FIELDS = {"topic": "topics"}


def _field(node: FieldIs) -> str:
    if node.field == "aspect":
        return "aspect_polarities" if ":" in node.value else "aspects"
    return _FIELDS.get(node.field, node.field)


def _value(node: FieldIs) -> Any:
    if node.field == "severity":
        return int(node.value)
    return node.value == "true" if node.field == "verified" else node.value
