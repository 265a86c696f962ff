"""A query tree as an FTS5 expression and SQL conditions: pure translation."""

# ruff: noqa: S608  # table and column names come from this package, every value is bound

from __future__ import annotations

import json
from typing import Any

from index.embedded_rows import SEPARATOR
from index.query import And, FieldIs, Near, Node, Not, Or, Prefix, Words
from index.text import phrase

Sql = tuple[str, list[Any]]

FIELD_COLUMNS = {
    "platform": "platform",
    "source": "source",
    "kind": "kind",
    "sentiment": "sentiment",
    "intent": "intent",
    "severity": "severity",
    "topic": "topics",
    "aspect": "aspects",
    "author": "author",
    "verified": "verified",
    "region": "region",
}


def expression(node: Node) -> str | None:
    """The tree for MATCH; None where FTS5 cannot say it (fields, NEAR, nothing but NOT)."""
    if isinstance(node, Words):
        return _phrase(node.text)
    if isinstance(node, Prefix):
        return f'"{node.text}" *'
    if isinstance(node, Or):
        parts = [expression(part) for part in node.parts]
        return None if None in parts else "(" + " OR ".join(part for part in parts if part) + ")"
    if isinstance(node, And):
        return _conjunction(node)
    return None


def _conjunction(node: And) -> str | None:
    wanted = [expression(part) for part in node.parts if not isinstance(part, Not)]
    unwanted = [expression(part.part) for part in node.parts if isinstance(part, Not)]
    if not wanted or None in wanted or None in unwanted:
        return None
    both = " AND ".join(part for part in wanted if part)
    if not unwanted:
        return f"({both})"
    return f"(({both}) NOT ({' OR '.join(part for part in unwanted if part)}))"


def _phrase(folded: str) -> str:
    found = phrase(folded)
    assert found is not None, "the parser refuses words without any unit"
    text, is_prefix = found
    return f'"{text}" *' if is_prefix else f'"{text}"'


def divided(node: Node) -> tuple[str | None, list[Node]]:
    """What MATCH can narrow down by itself, and the conditions that remain to be tested on each hit."""
    whole = expression(node)
    if whole is not None:
        return whole, []
    parts = node.parts if isinstance(node, And) else (node,)
    matched: list[Node] = []
    rest: list[Node] = []
    for part in parts:
        if expression(part) is not None or (isinstance(part, Not) and expression(part.part) is not None):
            matched.append(part)
            continue
        rest.append(part)
        if isinstance(part, Near):
            matched += [Words(each) for each in part.parts]
    narrowed = expression(And(tuple(matched))) if matched else None
    if narrowed is None:
        rest = list(parts)
    return narrowed, rest


def condition(node: Node, rid: str) -> Sql:
    """The tree as SQL over the row `f` whose rid is the given expression; wide columns are asked of `m`."""
    matched = expression(node)
    if matched is not None:
        # + keeps SQLite from asking MATCH anew for every row.
        return f"+{rid} IN (SELECT rowid FROM mention_text WHERE mention_text MATCH ?)", [f"{{words}} : {matched}"]
    if isinstance(node, Not):
        sql, values = condition(node.part, rid)
        return f"NOT ({sql})", values
    if isinstance(node, Near):
        held, values = condition(And(tuple(Words(part) for part in node.parts)), rid)
        close, more = nearness(node, rid)
        return f"({held} AND {close})", values + more
    if isinstance(node, FieldIs):
        return _field(node)
    assert isinstance(node, And | Or), "words and prefixes can always be matched"
    return _balanced([condition(part, rid) for part in node.parts], " AND " if isinstance(node, And) else " OR ")


def nearness(node: Near, rid: str) -> Sql:
    """The distance alone, for mentions that are known to have all the words."""
    return f"near((SELECT body FROM mention_body WHERE rid = {rid}), ?)", [json.dumps([node.distance, *node.parts])]


def _balanced(parts: list[Sql], operator: str) -> Sql:
    """Joined in halves, because SQLite limits how deep a chain of ORs may be."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    (left, left_values), (right, right_values) = (
        _balanced(parts[:middle], operator),
        _balanced(parts[middle:], operator),
    )
    return f"({left}{operator}{right})", left_values + right_values


def _field(node: FieldIs) -> Sql:
    column = f"f.{FIELD_COLUMNS[node.field]}"
    if node.field == "topic":
        return f"instr({column}, ?) > 0", [f"{SEPARATOR}{node.value}{SEPARATOR}"]
    if node.field == "aspect":
        return f"instr({column}, ?) > 0", [
            SEPARATOR + (node.value + SEPARATOR if ":" in node.value else f"{node.value}:")
        ]
    if node.field == "severity":
        return f"{column} = ?", [int(node.value)]
    if node.field == "verified":
        return f"ifnull({column} = ?, 0)", [int(node.value == "true")]
    if node.field == "author":
        return f"({column} = ? OR fold(f.persona) = ?)", [node.value, node.value]
    return f"{column} = ?", [node.value]
