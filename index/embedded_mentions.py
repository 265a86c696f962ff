"""Writing mentions inside one transaction: all tables change together, the roll-ups among them."""

# ruff: noqa: S608  # table and column names come from this package, every value is bound

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from index.embedded_connection import Connection
from index.embedded_rows import (
    COLUMNS,
    DAY_COLUMNS,
    HOUR_COLUMNS,
    LOW_BITS,
    TOPIC_COLUMNS,
    Row,
    body_of,
    first_rid,
    key_rows,
    marks,
    mention_of,
    microseconds,
    no_counts,
    packed,
    row_of,
    split,
    topic_rows,
    unpacked,
    whole_mention_of,
)
from index.models import Mention
from index.store import StoreError
from index.text import search_text, tokens


def load(connection: Connection, ids: Collection[str]) -> dict[str, tuple[int, Mention]]:
    """The rid and the mention for each of the ids that exist."""
    rows = connection.execute(
        "SELECT m.id, m.rid, b.body FROM mention m JOIN mention_body b USING (rid)"
        " WHERE m.id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {mention_id: (rid, mention_of(body)) for mention_id, rid, body in rows}


def load_whole(connection: Connection, ids: Collection[str]) -> dict[str, tuple[int, Mention]]:
    """As load, with their story keys."""
    rows = connection.execute(
        "SELECT m.id, m.rid, b.body, b.keys FROM mention m JOIN mention_body b USING (rid)"
        " WHERE m.id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {mention_id: (rid, whole_mention_of(body, keys)) for mention_id, rid, body, keys in rows}


class Batch:
    """Changes of mentions, collected and then written table by table, each in the order of its key."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._old_rows: list[Row] = []
        self._rows: dict[int, Row] = {}
        self._new_bodies: dict[int, tuple[int, str, bytes]] = {}
        self._bodies: dict[int, str] = {}
        self._texts: dict[int, tuple[Row, Mention]] = {}
        self._gone: set[int] = set()
        self._unindexed: set[int] = set()
        self._packed_keys: dict[int, bytes] = {}
        self._keys: list[tuple[int, int, int]] = []
        self._old_keys: list[tuple[int, int, int]] = []
        self._counts = no_counts()
        self._next_rid: dict[int, int] = {}

    def add(self, mention: Mention, keys: tuple[int, ...]) -> None:
        rid = self._free_rid(mention)
        row = row_of(mention, rid)
        self._put(row)
        self._new_bodies[rid] = rid, body_of(mention), packed(keys)
        self._texts[rid] = row, mention
        self._add_keys(rid, mention, keys)

    def change(self, rid: int, old: Mention, new: Mention) -> None:
        """Another state of a stored mention; new story keys replace the old ones if there are any."""
        before, after = row_of(old, rid), row_of(new, rid)
        if old.published_at != new.published_at:
            self.remove(before)
            self.add(new, new.story_keys or self._stored_keys(rid))
            return
        self._bodies[rid] = body_of(new)
        if before != after:
            self._old_rows.append(before)
            self._counts.add(before, -1)
            self._put(after)
        if _indexed(old) != _indexed(new):
            self._unindexed.add(rid)
            self._texts[rid] = after, new
        if new.story_keys:
            self._old_keys += key_rows(self._stored_keys(rid), rid)
            self._packed_keys[rid] = packed(new.story_keys)
            self._add_keys(rid, new, new.story_keys)

    def replace(self, rid: int, old: Mention, new: Mention) -> None:
        """As change, and the story keys are those of the new one, also where it has none."""
        self.remove(row_of(old, rid))
        self.add(new, new.story_keys)

    def remove(self, row: Row) -> None:
        """row has the columns of the mention table."""
        self._old_rows.append(row)
        self._counts.add(row, -1)
        self._gone.add(row["rid"])
        self._old_keys += key_rows(self._stored_keys(row["rid"]), row["rid"])

    def write(self) -> None:
        run = self._connection.executemany
        run("DELETE FROM mention WHERE rid = ?", [(row["rid"],) for row in self._old_rows])
        old_topics = [(topic, row["rid"]) for row in self._old_rows for topic in split(row["topics"])]
        run("DELETE FROM mention_topic WHERE topic = ? AND rid = ?", sorted(old_topics))
        run("DELETE FROM mention_body WHERE rid = ?", [(rid,) for rid in sorted(self._gone)])
        run("DELETE FROM mention_text WHERE rowid = ?", [(rid,) for rid in sorted(self._gone | self._unindexed)])
        run("DELETE FROM story_key WHERE week = ? AND key = ? AND rid = ?", sorted(self._old_keys))
        rows = [self._rows[rid] for rid in sorted(self._rows)]
        run(_insert("mention", COLUMNS), [tuple(row.values()) for row in rows])
        run(_insert("mention_topic", TOPIC_COLUMNS), sorted(each for row in rows for each in topic_rows(row)))
        run("INSERT INTO mention_body VALUES (?, ?, ?)", sorted(self._new_bodies.values()))
        run("UPDATE mention_body SET body = ? WHERE rid = ?", _by_rid(self._bodies))
        run("UPDATE mention_body SET keys = ? WHERE rid = ?", _by_rid(self._packed_keys))
        run("INSERT INTO mention_text (rowid, words, marks) VALUES (?, ?, ?)", self._text_rows())
        run("INSERT INTO story_key VALUES (?, ?, ?)", sorted(self._keys))
        self._write_counts("rollup_hour", HOUR_COLUMNS, self._counts.hours)
        self._write_counts("rollup_day", DAY_COLUMNS, self._counts.days)

    def _put(self, row: Row) -> None:
        self._rows[row["rid"]] = row
        self._counts.add(row, 1)

    def _free_rid(self, mention: Mention) -> int:
        """The first free rid from the instant on, inside its second."""
        wanted = first_rid(microseconds(mention.published_at))
        rid: int = self._next_rid.get(wanted, wanted)
        while True:
            rid = self._connection.execute(_FREE_RID, (rid,)).fetchone()[0]
            if rid not in self._rows:
                break
            rid += 1
        if rid >> LOW_BITS != wanted >> LOW_BITS:
            raise StoreError(f"同一秒 ({mention.published_at:%Y-%m-%d %H:%M:%S}) 的提及超过一百万条, 无法再写入")
        self._next_rid[wanted] = rid + 1
        return rid

    def _add_keys(self, rid: int, mention: Mention, keys: tuple[int, ...]) -> None:
        """Only originals are looked for by their keys."""
        if not mention.is_copy:
            self._keys += key_rows(keys, rid)

    def _stored_keys(self, rid: int) -> tuple[int, ...]:
        return unpacked(self._connection.execute("SELECT keys FROM mention_body WHERE rid = ?", (rid,)).fetchone()[0])

    def _text_rows(self) -> Iterable[tuple[int, str, str]]:
        for rid in sorted(self._texts):
            row, mention = self._texts[rid]
            words = tokens(search_text(mention.title, mention.text))
            yield rid, words, marks(row["topics"], row["copy"], row["hidden"])

    def _write_counts(self, table: str, columns: tuple[str, ...], counts: dict[tuple[Any, ...], int]) -> None:
        changes = sorted((*key, n) for key, n in counts.items() if n)
        key = ", ".join(columns)
        self._connection.executemany(
            f"{_insert(table, (*columns, 'n'))} ON CONFLICT ({key}) DO UPDATE SET n = n + excluded.n", changes
        )
        emptied = [change[:-1] for change in changes if change[-1] < 0]
        tests = " AND ".join(f"{column} = ?" for column in columns)
        self._connection.executemany(f"DELETE FROM {table} WHERE {tests} AND n = 0", emptied)


# Walks over the rids that are taken one after the other; almost always the first one is free.
_FREE_RID = """
WITH RECURSIVE taken (rid) AS (
    VALUES (?) UNION ALL SELECT rid + 1 FROM taken WHERE EXISTS (SELECT 1 FROM mention m WHERE m.rid = taken.rid)
) SELECT max(rid) FROM taken
"""


def _indexed(mention: Mention) -> tuple[Any, ...]:
    """All that the full-text index holds of a mention."""
    return mention.title, mention.text, set(mention.topics), mention.is_copy, mention.hidden is not None


def _by_rid(values: dict[int, Any]) -> list[tuple[Any, int]]:
    return [(values[rid], rid) for rid in sorted(values)]


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
