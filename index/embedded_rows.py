"""A mention as the rows of the embedded store: pure translation, no connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from index.models import Mention
from index.store import SchemaError
from index.text import fold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LOW_BITS = 20
BEIJING_S = 8 * 3600
_WEEK_S = 7 * 86_400
SEPARATOR = "\x1f"
"""Stands before, between and after the values of a list; no name contains it."""

COLUMNS = (
    *("rid", "id", "published_us", "indexed_us", "topics", "platform", "source", "kind", "sentiment", "intent"),
    *("severity", "confidence", "aspects", "story", "copy", "hidden", "persona", "author", "verified", "region"),
    *("customer", "model_version"),
)
TOPIC_COLUMNS = (
    *("topic", "rid", "topics", "platform", "source", "kind", "sentiment", "intent"),
    *("severity", "confidence", "aspects", "story", "copy", "hidden"),
)
HOUR_COLUMNS = ("topic", "hour", "sentiment", "copy", "hidden")
DAY_COLUMNS = ("topic", "day", "platform", "source", "kind", "sentiment", "intent", "severity", "copy", "hidden")

Row = dict[str, Any]


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def first_rid(published_us: int) -> int:
    """The lowest rid of mentions published at that instant or later."""
    seconds, rest = divmod(published_us, 1_000_000)
    return seconds << LOW_BITS | rest


def row_of(mention: Mention, rid: int) -> Row:
    persona = mention.persona
    return {
        "rid": rid,
        "id": mention.id,
        "published_us": microseconds(mention.published_at),
        "indexed_us": microseconds(mention.indexed_at) if mention.indexed_at else 0,
        "topics": joined(sorted(set(mention.topics))),
        "platform": mention.platform,
        "source": mention.source,
        "kind": mention.kind,
        "sentiment": mention.sentiment or "",
        "intent": mention.intent or "",
        "severity": -1 if mention.severity is None else mention.severity,
        "confidence": mention.confidence,
        "aspects": joined(sorted({f"{each.name}:{each.polarity}" for each in mention.aspects})),
        "story": mention.story_id or "",
        "copy": int(mention.is_copy),
        "hidden": int(mention.hidden is not None),
        "persona": persona.id if persona else "",
        "author": fold(persona.name) if persona else "",
        "verified": persona.verified if persona else None,
        "region": fold(persona.region) if persona and persona.region else "",
        "customer": mention.customer_id or "",
        "model_version": mention.labels.model_version if mention.labels else "",
    }


def joined(values: Iterable[str]) -> str:
    """`|a|b|` (with SEPARATOR for |), so that a value is found as `|a|`; empty if there is none."""
    text = SEPARATOR.join(values)
    return f"{SEPARATOR}{text}{SEPARATOR}" if text else ""


def split(text: str) -> list[str]:
    return text[1:-1].split(SEPARATOR) if text else []


def topic_mark(topic: str) -> str:
    """A topic as one token of the index, whatever characters its name has."""
    return "t" + topic.encode().hex()


def marks(topics: str, copy: int, hidden: int) -> str:
    found = [topic_mark(topic) for topic in split(topics)]
    if copy:
        found.append("copy")
    if hidden:
        found.append("hidden")
    return " ".join(found)


def key_rows(keys: Iterable[int], rid: int) -> list[tuple[int, int, int]]:
    """Rows of story_key."""
    return [(week_of(rid), key, rid) for key in set(keys)]


def week_of(rid: int) -> int:
    return (rid >> LOW_BITS) // _WEEK_S


def packed(keys: Sequence[int]) -> bytes:
    return b"".join(key.to_bytes(8, signed=True) for key in keys)


def unpacked(keys: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(keys[at : at + 8], signed=True) for at in range(0, len(keys), 8))


def body_of(mention: Mention) -> str:
    return mention.model_dump_json(exclude_defaults=True)


def mention_of(body: str) -> Mention:
    try:
        return Mention.model_validate_json(body)
    except ValueError as e:
        raise SchemaError(f"库中有一条提及无法读取, 数据可能已损坏: {e}") from e


def whole_mention_of(body: str, keys: bytes) -> Mention:
    """With its story keys."""
    return with_sorted_keys(mention_of(body).model_copy(update={"story_keys": unpacked(keys)}))


def with_sorted_keys(mention: Mention) -> Mention:
    """Their order means nothing, so that of two stores is the same."""
    return mention.model_copy(update={"story_keys": tuple(sorted(set(mention.story_keys)))})


@dataclass
class Counts:
    """What a transaction adds to the roll-up tables (and takes away from them)."""

    hours: Counter[tuple[Any, ...]]
    days: Counter[tuple[Any, ...]]

    def add(self, row: Row, n: int) -> None:
        local_s = row["published_us"] // 1_000_000 + BEIJING_S
        for topic in ("", *split(row["topics"])):
            keys = {**row, "topic": topic, "hour": local_s // 3600, "day": local_s // 86400}
            self.hours[_pick(keys, HOUR_COLUMNS)] += n
            self.days[_pick(keys, DAY_COLUMNS)] += n


def no_counts() -> Counts:
    return Counts(Counter(), Counter())


def topic_rows(row: Row) -> list[tuple[Any, ...]]:
    return [_pick({**row, "topic": topic}, TOPIC_COLUMNS) for topic in split(row["topics"])]


def _pick(row: Row, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple([row[column] for column in columns])
