"""A MentionQuery as SQL: which tables answer it with the least reading. Pure: no connection, no clock."""

# ruff: noqa: S608  # table and column names come from this package, every value is bound

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from index import embedded_text
from index.embedded_rows import (
    BEIJING_S,
    DAY_COLUMNS,
    HOUR_COLUMNS,
    LOW_BITS,
    SEPARATOR,
    TOPIC_COLUMNS,
    first_rid,
    microseconds,
    split,
    topic_mark,
)
from index.query import FieldIs, Near, Node, leaves, parse
from index.store import Dimension, MentionQuery, StoreError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_US = 1_000_000
# Added before a division and taken off after it, since SQLite rounds towards zero and 1969 must round down.
_SHIFT_DAYS = 1_000_000
_SLOT_S = {"day": 86_400, "hour": 3_600, "five_minutes": 300}
_SLOT_FORMAT = {"day": "%Y-%m-%d", "hour": "%Y-%m-%dT%H", "five_minutes": "%Y-%m-%dT%H:%M"}
_TRANSLATED = {*_SLOT_S, "severity", "topic", "aspect", "aspect_polarity"}
"""Dimensions whose raw values are not yet keys."""
_DIMENSION_COLUMNS = {"topic": "topics", "aspect": "aspects", "aspect_polarity": "aspects"}


@dataclass
class Conditions:
    """The WHERE of a query: SQL with its values, and the columns of `f` that it reads."""

    sql: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)

    def add(self, sql: str, values: Iterable[Any] = (), columns: Iterable[str] = ()) -> None:
        self.sql.append(sql)
        self.values += values
        self.columns |= set(columns)

    def where(self) -> str:
        return " WHERE " + " AND ".join(self.sql) if self.sql else ""


@dataclass(frozen=True)
class Select:
    """FROM and WHERE of a query; rid names the column that is the rid of a mention."""

    tables: str
    where: str
    values: list[Any]
    rid: str


def select(
    query: MentionQuery,
    *,
    columns: Iterable[str] = (),
    topic: str | None = None,
    beyond: str = "",
    after: int | None = None,
) -> Select:
    """Where to read the mentions of a query, with the given columns of `f` at hand.

    topic takes one of the query's topics alone (search merges them); beyond is `<` or `>` with after.
    """
    node = parse(query.text)
    matched, rest = embedded_text.divided(node) if node else (None, [])
    asked = _plain_conditions(query)
    asked.columns |= set(columns) | _text_columns(rest)
    topics = (topic,) if topic is not None else tuple(sorted(set(query.topics)))
    # These leave few mentions, which an index finds at once.
    selective = bool(query.story_id or query.persona_ids or query.customer_id or query.indexed_since)
    done = Conditions()
    if matched is not None and not selective:
        tables, rid = _from_text(done, asked, topics, _marked(query, matched, topics))
    else:
        matched, rest = None, [node] if node else []
        tables, rid = _from_rows(done, query, asked, topics, selective=selective)
    _time_range(done, query, rid)
    done.add(" AND ".join(asked.sql) or "1", asked.values)
    for part in rest:
        if matched is not None and isinstance(part, Near):
            done.add(*embedded_text.nearness(part, rid))
        else:
            done.add(*embedded_text.condition(part, rid))
    if after is not None:
        done.add(f"{rid} {beyond} ?", [after])
    return Select(tables, done.where(), done.values, rid)


def _from_text(done: Conditions, asked: Conditions, topics: Sequence[str], expression: str) -> tuple[str, str]:
    """Tables and rid of a query that the full-text index leads; the rows come in the order of time."""
    done.values.append(expression)
    if not asked.columns:
        return "mention_text(?) t", "t.rowid"
    if len(topics) == 1 and asked.columns <= set(TOPIC_COLUMNS):
        done.values.append(topics[0])
        return "mention_text(?) t CROSS JOIN mention_topic f ON f.topic = ? AND f.rid = t.rowid", "t.rowid"
    return "mention_text(?) t CROSS JOIN mention f ON f.rid = t.rowid", "t.rowid"


def _from_rows(
    done: Conditions, query: MentionQuery, asked: Conditions, topics: Sequence[str], *, selective: bool
) -> tuple[str, str]:
    """Tables and rid of any other query."""
    _flags(done, query)
    if selective or not topics:
        _any_topic(done, topics)
        by_index = query.indexed_since and not (query.story_id or query.persona_ids or query.customer_id)
        return "mention f INDEXED BY mention_indexed" if by_index else "mention f", "f.rid"
    if asked.columns <= set(TOPIC_COLUMNS):
        tables, rid, column = "mention_topic f", "f.rid", "f.topic"
    else:
        tables, rid, column = "mention_topic t CROSS JOIN mention f ON f.rid = t.rid", "t.rid", "t.topic"
    done.add(f"{column} IN ({_places(topics)})", topics)
    _count_once(done, column, topics)
    return tables, rid


def _marked(query: MentionQuery, matched: str, topics: Sequence[str]) -> str:
    """The expression with topics, copies and hidden as marks of the index."""
    expression = f"({{words}} : {matched})"
    if topics:
        expression += " AND {marks} : (" + " OR ".join(f'"{topic_mark(topic)}"' for topic in topics) + ")"
    for mark, is_wanted in (("hidden", query.hidden == "only"), ("copy", query.copies == "only")):
        if is_wanted:
            expression += f' AND {{marks}} : ("{mark}")'
    unwanted = [
        f'"{mark}"'
        for mark, is_on in (("hidden", query.hidden == "without"), ("copy", query.copies == "fold"))
        if is_on
    ]
    return f"({expression}) NOT {{marks}} : ({' OR '.join(unwanted)})" if unwanted else expression


def _text_columns(rest: list[Node]) -> set[str]:
    """The columns that the conditions of a query text read."""
    fields = {leaf.field for part in rest for leaf in leaves(part) if isinstance(leaf, FieldIs)}
    columns = {embedded_text.FIELD_COLUMNS[name] for name in fields}
    return columns | {"persona"} if "author" in columns else columns


def _plain_conditions(query: MentionQuery) -> Conditions:
    """All but text, time, topics, copies and hidden."""
    found = Conditions()
    for column, wanted in (
        ("platform", query.platforms),
        ("source", query.sources),
        ("sentiment", query.sentiments),
        ("intent", query.intents),
        ("persona", query.persona_ids),
        ("story", (query.story_id,) if query.story_id is not None else ()),
        ("customer", (query.customer_id,) if query.customer_id is not None else ()),
    ):
        if wanted:
            found.add(f"f.{column} IN ({_places(wanted)}) AND f.{column} <> ''", wanted, [column])
    if query.severity_from is not None:
        found.add("f.severity >= ?", [query.severity_from], ["severity"])
    if query.confidence_below is not None:
        found.add("f.confidence < ?", [query.confidence_below], ["confidence"])
    if query.model_version_not is not None:
        found.add("f.model_version <> ?", [query.model_version_not], ["model_version"])
    if query.indexed_since is not None:
        found.add("f.indexed_us >= ?", [microseconds(query.indexed_since)], ["indexed_us"])
    if query.indexed_until is not None:
        found.add("f.indexed_us < ?", [microseconds(query.indexed_until)], ["indexed_us"])
    _aspects(found, query)
    return found


def _aspects(found: Conditions, query: MentionQuery) -> None:
    polarity = query.aspect_polarity
    if query.aspects:
        wanted = [f"{SEPARATOR}{name}:{polarity + SEPARATOR if polarity else ''}" for name in query.aspects]
    elif polarity:
        wanted = [f":{polarity}{SEPARATOR}"]
    else:
        return
    found.add("(" + " OR ".join(["instr(f.aspects, ?) > 0"] * len(wanted)) + ")", wanted, ["aspects"])


def _flags(done: Conditions, query: MentionQuery) -> None:
    if query.copies != "all":
        done.add("f.copy = ?", [int(query.copies == "only")], ["copy"])
    if query.hidden != "with":
        done.add("f.hidden = ?", [int(query.hidden == "only")], ["hidden"])


def _any_topic(done: Conditions, topics: Sequence[str]) -> None:
    if topics:
        tests = " OR ".join(["instr(f.topics, ?) > 0"] * len(topics))
        done.add(f"({tests})", [f"{SEPARATOR}{topic}{SEPARATOR}" for topic in topics])


def _count_once(done: Conditions, column: str, topics: Sequence[str]) -> None:
    """A mention with several of the topics has several rows: take that of the first topic alone."""
    for number, topic in enumerate(topics[1:], 1):
        earlier = " OR ".join(["instr(f.topics, ?) > 0"] * number)
        names = [f"{SEPARATOR}{each}{SEPARATOR}" for each in topics[:number]]
        done.add(f"NOT ({column} = ? AND ({earlier}))", [topic, *names])


def _time_range(done: Conditions, query: MentionQuery, rid: str) -> None:
    """published_at as a range of rids.

    A mention moved on within its second by others keeps that second, so only inside the second of a
    bound with a fraction the true instant must be looked up.
    """
    exact = f"(SELECT published_us FROM mention WHERE rid = {rid})"
    if query.since is not None:
        since = microseconds(query.since)
        second = since // _SECOND_US * _SECOND_US
        done.add(f"{rid} >= ?", [first_rid(second)])
        if since != second:
            done.add(f"({rid} >= ? OR {exact} >= ?)", [first_rid(second + _SECOND_US), since])
    if query.until is not None:
        until = microseconds(query.until)
        second = until // _SECOND_US * _SECOND_US
        if until == second:
            done.add(f"{rid} < ?", [first_rid(until)])
        else:
            done.add(f"{rid} < ?", [first_rid(second + _SECOND_US)])
            done.add(f"({rid} < ? OR {exact} < ?)", [first_rid(second), until])


def _places(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


# ------------------------------------------------------------------------------------------------ groups


def check_dimensions(by: Sequence[Dimension]) -> None:
    if not 1 <= len(by) <= 3:
        raise StoreError("分组需要一到三个维度")


def listed(query: MentionQuery, by: Sequence[Dimension]) -> tuple[str, list[Any]]:
    """SQL for one row: per dimension a JSON list of the raw keys of all mentions; without any, their number.

    Four times as fast as GROUP BY, and one row keeps threads from taking turns for each of many.
    """
    chosen = select(query, columns={column for column in map(_column, by) if column != "rid"})
    lists = [f"json_group_array({_key_sql(dimension, chosen.rid)})" for dimension in by]
    return f"SELECT {', '.join(lists) or 'count(*)'} FROM {chosen.tables}{chosen.where}", chosen.values


def _column(dimension: Dimension) -> str:
    if dimension in _SLOT_S:
        return "rid"
    return _DIMENSION_COLUMNS.get(dimension, dimension)


def _key_sql(dimension: Dimension, rid: str) -> str:
    if dimension not in _SLOT_S:
        return f"f.{_column(dimension)}"
    size = _SLOT_S[dimension]
    shift = _SHIFT_DAYS * 86_400
    return f"(({rid} >> {LOW_BITS}) + {BEIJING_S + shift}) / {size} - {shift // size}"


def add_keys(counts: Counter[tuple[str, ...]], by: Sequence[Dimension], raw: Mapping[tuple[Any, ...], int]) -> None:
    """Adds counts per raw key, under keys as Store.group promises them."""
    if not _TRANSLATED.intersection(by):
        counts.update(raw)
        return
    texts: list[dict[Any, list[str]]] = [{} for _ in by]
    for values, n in raw.items():
        keys = []
        for known, dimension, value in zip(texts, by, values, strict=True):
            if value not in known:
                known[value] = _texts(dimension, value)
            keys.append(known[value])
        for key in product(*keys):
            counts[key] += n


def _texts(dimension: Dimension, value: Any) -> list[str]:
    """The keys that one raw value stands for: several for a list."""
    if dimension in _SLOT_S:
        return [slot_text(dimension, value)]
    if dimension == "severity":
        return ["" if value < 0 else str(value)]
    if dimension in ("topic", "aspect_polarity"):
        return split(value)
    if dimension == "aspect":
        return list(dict.fromkeys(each.rpartition(":")[0] for each in split(value)))
    return [value]


def slot_text(dimension: str, number: int) -> str:
    """`2026-11-26T10` for the number of an hour since 1970 in Beijing."""
    last = datetime.max.replace(tzinfo=UTC)
    seconds = min(number * _SLOT_S[dimension], (last - _EPOCH) // timedelta(seconds=1))
    return (_EPOCH + timedelta(seconds=seconds)).strftime(_SLOT_FORMAT[dimension])


# ---------------------------------------------------------------------------------------------- roll-ups


@dataclass(frozen=True)
class RollUp:
    """A query answered by a roll-up table for its whole slots; edges is what remains at both ends."""

    sql: str
    values: list[Any]
    edges: tuple[MentionQuery, ...]


def rolled_up(query: MentionQuery, by: Sequence[Dimension]) -> RollUp | None:
    """The plan with the smallest roll-up table that knows all that is asked; None if none does."""
    wanted = _rollup_columns(query, by)
    if wanted is None:
        return None
    for slot, columns in (("hour", HOUR_COLUMNS), ("day", DAY_COLUMNS)):
        if wanted <= {*columns, "day"}:
            return _roll(query, by, slot)
    return None


def _rollup_columns(query: MentionQuery, by: Sequence[Dimension]) -> set[str] | None:
    narrow = {
        "topics",
        "since",
        "until",
        "platforms",
        "sources",
        "sentiments",
        "intents",
        "severity_from",
        "copies",
        "hidden",
    }
    default = MentionQuery()
    if any(getattr(query, name) != getattr(default, name) for name in MentionQuery.model_fields if name not in narrow):
        return None
    if len(set(query.topics)) > 1 or (query.topics and "topic" in by):
        return None
    return _plain_conditions(query).columns | set(by)


def _roll(query: MentionQuery, by: Sequence[Dimension], slot: str) -> RollUp | None:
    size = _SLOT_S[slot] * _SECOND_US
    offset = BEIJING_S * _SECOND_US
    first = None if query.since is None else -(-(microseconds(query.since) + offset) // size)
    last = None if query.until is None else (microseconds(query.until) + offset) // size
    if first is not None and last is not None and first >= last:
        return None
    done = _plain_conditions(query)
    _flags(done, query)
    if query.topics:
        done.add("f.topic = ?", [query.topics[0]])
    else:
        done.add("f.topic <> ''" if "topic" in by else "f.topic = ''")
    edges = []
    if first is not None:
        done.add(f"f.{slot} >= ?", [first])
        edges.append(query.model_copy(update={"until": _instant(first * size - offset)}))
    if last is not None:
        done.add(f"f.{slot} < ?", [last])
        edges.append(query.model_copy(update={"since": _instant(last * size - offset)}))
    keys = [_rolled_key(dimension, slot) for dimension in by]
    numbers = ", ".join(str(number) for number in range(1, len(keys) + 1))
    sql = f"SELECT {', '.join([*keys, 'sum(f.n)'])} FROM rollup_{slot} f{done.where()}"
    if keys:
        sql += f" GROUP BY {numbers}"
    return RollUp(sql, done.values, tuple(edge for edge in edges if edge.since != edge.until))


def _rolled_key(dimension: Dimension, slot: str) -> str:
    if dimension == "topic":
        return f"'{SEPARATOR}' || f.topic || '{SEPARATOR}'"
    if dimension == "day" and slot == "hour":
        return f"(f.hour + {_SHIFT_DAYS * 24}) / 24 - {_SHIFT_DAYS}"
    return f"f.{dimension}"


def _instant(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
