"""The store in one SQLite file: several threads and processes at once, no server."""

# ruff: noqa: S608  # table and column names come from this package, every value is bound

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pysqlite3.dbapi2 as sqlite3

from index import embedded_mentions, embedded_query, embedded_records, embedded_schema
from index.embedded_connection import Connection, Connections
from index.embedded_rows import (
    COLUMNS,
    first_rid,
    mention_of,
    microseconds,
    week_of,
    whole_mention_of,
    with_sorted_keys,
)
from index.merge import edited, merged
from index.models import Mention, MentionEdit, Record
from index.store import Added, Dimension, MentionQuery, Page, StoreError, VersionConflict, Where

R = TypeVar("R", bound=Record)

_ERASE_AT_ONCE = 5_000

# Goes from one week that has any key to the next, however far apart they are.
_FIND_ORIGINALS = """
WITH RECURSIVE weeks (week) AS (
    SELECT min(week) FROM story_key WHERE week >= ?
    UNION ALL SELECT (SELECT min(k.week) FROM story_key k WHERE k.week > weeks.week) FROM weeks WHERE week IS NOT NULL
)
SELECT k.key, m.id FROM weeks CROSS JOIN json_each(?) wanted
CROSS JOIN story_key k ON k.week = weeks.week AND k.key = wanted.value
CROSS JOIN mention m ON m.rid = k.rid
WHERE k.rid >= ? AND m.published_us >= ? ORDER BY k.rid
"""


class EmbeddedStore:
    """Implements index.store.Store. The file is made if it is not there, and migrated if it is older."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 10) -> None:
        self._connections = Connections(path, busy_timeout_s=busy_timeout_s)
        with self._connections.errors():
            connection = self._connections.create()
            embedded_schema.upgrade(connection)

    # mentions

    def add_mentions(self, mentions: Sequence[Mention], *, now: datetime) -> Added:
        new_ids: dict[str, None] = {}
        changed_ids: dict[str, None] = {}
        n_same = 0
        with self._connections.writing() as connection:
            stored = embedded_mentions.load(connection, {mention.id for mention in mentions})
            latest = {mention_id: mention for mention_id, (_, mention) in stored.items()}
            for mention in mentions:
                known = latest.get(mention.id)
                if known is None:
                    latest[mention.id] = mention.model_copy(update={"indexed_at": now})
                    new_ids[mention.id] = None
                    continue
                latest[mention.id] = merged(known, mention)
                if _is_same(known, latest[mention.id]):
                    n_same += 1
                else:
                    changed_ids[mention.id] = None
            batch = embedded_mentions.Batch(connection)
            for mention_id, mention in latest.items():
                if mention_id in new_ids:
                    batch.add(mention, mention.story_keys)
                elif mention != stored[mention_id][1]:
                    batch.change(*stored[mention_id], mention)
            batch.write()
        return Added(new_ids=tuple(new_ids), changed_ids=tuple(changed_ids), n_same=n_same)

    def mentions(self, ids: Collection[str], *, whole: bool = False) -> dict[str, Mention]:
        load = embedded_mentions.load_whole if whole else embedded_mentions.load
        with self._connections.reading() as connection:
            return {key: mention for key, (_, mention) in load(connection, ids).items()}

    def edit_mention(self, mention_id: str, edit: MentionEdit) -> Mention:
        found = self._edit({mention_id: edit})
        if mention_id not in found:
            raise StoreError(f"没有编号为 {mention_id} 的提及, 它可能已被删除")
        return found[mention_id]

    def edit_mentions(self, edits: Mapping[str, MentionEdit]) -> int:
        return len(self._edit(edits))

    def _edit(self, edits: Mapping[str, MentionEdit]) -> dict[str, Mention]:
        done = {}
        with self._connections.writing() as connection:
            batch = embedded_mentions.Batch(connection)
            for mention_id, (rid, mention) in embedded_mentions.load(connection, edits.keys()).items():
                done[mention_id] = edited(mention, edits[mention_id])
                if done[mention_id] != mention:
                    batch.change(rid, mention, done[mention_id])
            batch.write()
        return done

    def search(
        self,
        query: MentionQuery,
        *,
        limit: int = 50,
        after: str | None = None,
        oldest_first: bool = False,
        whole: bool = False,
    ) -> Page:
        beyond, order = (">", "ASC") if oldest_first else ("<", "DESC")
        place = _read_cursor(after)
        rids: set[int] = set()
        with self._connections.reading() as connection:
            for topic in set(query.topics) or (None,):
                chosen = embedded_query.select(query, topic=topic, beyond=beyond, after=place)
                sql = f"SELECT {chosen.rid} FROM {chosen.tables}{chosen.where} ORDER BY {chosen.rid} {order} LIMIT ?"
                rids.update(rid for (rid,) in connection.execute(sql, [*chosen.values, limit + 1]))
            shown = sorted(rids, reverse=not oldest_first)[:limit]
            sql = "SELECT rid, body, keys FROM mention_body WHERE rid IN (SELECT value FROM json_each(?))"
            rows = {rid: values for rid, *values in connection.execute(sql, (json.dumps(shown),))}
        mentions = tuple(whole_mention_of(*rows[rid]) if whole else mention_of(rows[rid][0]) for rid in shown)
        return Page(mentions=mentions, after=str(shown[-1]) if shown and len(rids) > limit else None)

    def count(self, query: MentionQuery) -> int:
        return self._count(query, ())[()]

    def group(
        self, query: MentionQuery, by: Sequence[Dimension], *, top: int | None = None
    ) -> dict[tuple[str, ...], int]:
        embedded_query.check_dimensions(by)
        return dict(self._count(query, by).most_common(top))

    def _count(self, query: MentionQuery, by: Sequence[Dimension]) -> Counter[tuple[str, ...]]:
        counts: Counter[tuple[str, ...]] = Counter()
        if query.since is not None and query.until is not None and query.since >= query.until:
            return counts
        with self._connections.reading() as connection:
            parts: tuple[MentionQuery, ...] = (query,)
            rolled = embedded_query.rolled_up(query, by)
            if rolled is not None:
                rows = connection.execute(rolled.sql, rolled.values)
                embedded_query.add_keys(counts, by, {row[:-1]: row[-1] or 0 for row in rows})
                parts = rolled.edges
            for part in parts:
                sql, values = embedded_query.listed(part, by)
                lists = connection.execute(sql, values).fetchone()
                raw = Counter(zip(*map(json.loads, lists), strict=True)) if by else {(): lists[0]}
                embedded_query.add_keys(counts, by, raw)
        return counts

    def find_originals(self, keys: Collection[int], *, since: datetime) -> dict[int, tuple[str, ...]]:
        found: dict[int, list[str]] = {}
        since_us = microseconds(since)
        with self._connections.reading() as connection:
            first = first_rid(since_us)
            week = week_of(first)
            rows = connection.execute(_FIND_ORIGINALS, (week, json.dumps(sorted(set(keys))), first, since_us))
            for key, mention_id in rows:
                found.setdefault(key, []).append(mention_id)
        return {key: tuple(ids) for key, ids in found.items()}

    def erase_mentions(self, ids: Collection[str]) -> int:
        return self._erase("id IN (SELECT value FROM json_each(?))", json.dumps(list(ids)))

    def erase_before(self, published_before: datetime) -> int:
        before_us = microseconds(published_before)
        # The bound on rid, whose order is that of time, ends the search; it may include a second too much.
        return self._erase("rid < ? AND published_us < ?", first_rid(before_us + 1_000_000), before_us)

    def _erase(self, condition: str, *values: Any) -> int:
        """In steps, so that others can write in between."""
        sql = f"SELECT {', '.join(COLUMNS)} FROM mention WHERE {condition} ORDER BY rid LIMIT {_ERASE_AT_ONCE}"
        n_erased = 0
        while True:
            with self._connections.writing() as connection:
                batch = embedded_mentions.Batch(connection)
                rows = connection.execute(sql, values).fetchall()
                for row in rows:
                    batch.remove(dict(zip(COLUMNS, row, strict=True)))
                batch.write()
            n_erased += len(rows)
            if len(rows) < _ERASE_AT_ONCE:
                return n_erased

    def restore_mentions(self, mentions: Sequence[Mention], *, replace: bool = True) -> Added:
        wanted = {mention.id: with_sorted_keys(mention) for mention in mentions}
        new_ids, changed_ids = [], []
        with self._connections.writing() as connection:
            stored = embedded_mentions.load_whole(connection, wanted.keys())
            batch = embedded_mentions.Batch(connection)
            for mention_id, mention in wanted.items():
                if mention_id not in stored:
                    new_ids.append(mention_id)
                    batch.add(mention, mention.story_keys)
                elif stored[mention_id][1] != mention:
                    changed_ids.append(mention_id)
                    if replace:
                        batch.replace(*stored[mention_id], mention)
            batch.write()
        n_same = len(wanted) - len(new_ids) - len(changed_ids)
        return Added(new_ids=tuple(new_ids), changed_ids=tuple(changed_ids), n_same=n_same)

    # records

    def get(self, kind: type[R], record_id: str) -> R | None:
        with self._connections.reading() as connection:
            row = connection.execute(
                "SELECT version, body FROM record WHERE kind = ? AND id = ?", (kind.kind_name, record_id)
            ).fetchone()
        return embedded_records.from_row(kind, *row) if row else None

    def find(
        self,
        kind: type[R],
        where: Where | None = None,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[R]:
        tests, values = embedded_records.conditions(kind, where)
        join, order, order_values = embedded_records.ordering(kind, order_by, descending=descending)
        sql = f"SELECT r.version, r.body FROM record r{join} WHERE {tests} ORDER BY {order} LIMIT ? OFFSET ?"
        with self._connections.reading() as connection:
            rows = connection.execute(sql, [*order_values, *values, -1 if limit is None else limit, offset]).fetchall()
        return [embedded_records.from_row(kind, version, body) for version, body in rows]

    def tally(self, kind: type[Record], where: Where | None = None) -> int:
        tests, values = embedded_records.conditions(kind, where)
        with self._connections.reading() as connection:
            count: int = connection.execute(f"SELECT count(*) FROM record r WHERE {tests}", values).fetchone()[0]
        return count

    def put(self, record: R) -> R:
        with self._connections.writing() as connection:
            write = _replace_record if record.version else _create_record
            rid = write(connection, record)
            if rid is None:
                raise VersionConflict(f"{record.kind_name} {record.id} 已被别人修改, 请刷新后再试")
            _write_fields(connection, record, rid)
        return record.model_copy(update={"version": record.version + 1})

    def put_all(self, records: Sequence[Record]) -> None:
        with self._connections.writing() as connection:
            for record in records:
                (rid,) = connection.execute(
                    "INSERT INTO record (kind, id, version, body) VALUES (?, ?, 1, ?) ON CONFLICT (kind, id)"
                    " DO UPDATE SET version = version + 1, body = excluded.body RETURNING rid",
                    (record.kind_name, record.id, embedded_records.body_of(record)),
                ).fetchone()
                _write_fields(connection, record, rid)

    def restore_records(self, records: Sequence[Record], *, replace: bool = True) -> int:
        n_different = 0
        with self._connections.writing() as connection:
            for record in records:
                row = connection.execute(
                    "SELECT version, body FROM record WHERE kind = ? AND id = ?", (record.kind_name, record.id)
                ).fetchone()
                if row is not None and embedded_records.from_row(type(record), *row) == record:
                    continue
                n_different += row is not None
                if row is not None and not replace:
                    continue
                (rid,) = connection.execute(
                    "INSERT INTO record (kind, id, version, body) VALUES (?, ?, ?, ?) ON CONFLICT (kind, id)"
                    " DO UPDATE SET version = excluded.version, body = excluded.body RETURNING rid",
                    (record.kind_name, record.id, record.version, embedded_records.body_of(record)),
                ).fetchone()
                _write_fields(connection, record, rid)
        return n_different

    def delete(self, kind: type[Record], record_id: str) -> bool:
        with self._connections.writing() as connection:
            row = connection.execute(
                "DELETE FROM record WHERE kind = ? AND id = ? RETURNING rid", (kind.kind_name, record_id)
            ).fetchone()
            if row:
                connection.execute("DELETE FROM record_field WHERE rid = ?", row)
        return row is not None

    # upkeep

    def backup(self, target: Path) -> None:
        if target.exists():
            raise StoreError(f"{target} 已经存在: 请另选一个文件名, 或先移走它")
        if not target.parent.is_dir():
            raise StoreError(f"文件夹 {target.parent} 不存在: 请先建立它")
        unfinished = target.with_name(target.name + ".part")
        try:
            unfinished.unlink(missing_ok=True)
            unfinished.touch()  # what the folder refuses is said of the folder, not of the store
            with self._connections.errors():
                self._connections.get()
                self._copy_to(unfinished)
            os.replace(unfinished, target)
        except OSError as e:
            raise StoreError(f"无法写入备份 {target}: {e.strerror}") from e
        finally:
            unfinished.unlink(missing_ok=True)

    def _copy_to(self, path: Path) -> None:
        # A fresh connection, because a backup of one with an open transaction waits for ever.
        source = self._connections.connect("rw")
        copy = sqlite3.connect(path)
        try:
            # All pages in one step: with smaller ones every commit of another process starts it anew.
            copy.execute("PRAGMA journal_mode = OFF")  # a copy that fails is removed, not rolled back
            source.backup(copy)
        except sqlite3.OperationalError as e:
            if "disk is full" not in str(e):  # backup's errors have no code
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from e
        finally:
            copy.close()
            source.close()

    def check(self) -> dict[str, Any]:
        with self._connections.reading() as connection:
            n_mentions = _one(connection, "SELECT count(*) FROM mention")
            n_rolled = _one(connection, "SELECT ifnull(sum(n), 0) FROM rollup_day WHERE topic = ''")
            damage = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
            schema = _one(connection, "PRAGMA user_version")
        problems = [] if damage == ["ok"] else [f"数据文件已损坏, 请从备份恢复: {each}" for each in damage]
        if n_mentions != n_rolled:
            problems.append(f"汇总表与提及数不一致 ({n_rolled} 与 {n_mentions}), 请从备份恢复")
        path = self._connections.path
        parts = (path, path.with_name(path.name + "-wal"))
        return {
            "backend": "embedded",
            "schema": schema,
            "n_mentions": n_mentions,
            "n_bytes": sum(part.stat().st_size for part in parts if part.exists()),
            "problems": problems,
        }

    def close(self) -> None:
        self._connections.close()


def _is_same(old: Mention, new: Mention) -> bool:
    """Whether a second sighting says nothing new; that it was seen again later is no news."""
    return new.model_copy(update={"collected_at": old.collected_at}) == old


def _read_cursor(after: str | None) -> int | None:
    if after is None:
        return None
    try:
        return int(after)
    except ValueError as e:
        raise StoreError(f"翻页位置 {after!r} 无效: 请从第一页重新开始") from e


def _one(connection: Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]


def _create_record(connection: Connection, record: Record) -> int | None:
    row = connection.execute(
        "INSERT INTO record (kind, id, version, body) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING RETURNING rid",
        (record.kind_name, record.id, embedded_records.body_of(record)),
    ).fetchone()
    return row[0] if row else None


def _replace_record(connection: Connection, record: Record) -> int | None:
    row = connection.execute(
        "UPDATE record SET version = version + 1, body = ? WHERE kind = ? AND id = ? AND version = ? RETURNING rid",
        (embedded_records.body_of(record), record.kind_name, record.id, record.version),
    ).fetchone()
    return row[0] if row else None


def _write_fields(connection: Connection, record: Record, rid: int) -> None:
    connection.execute("DELETE FROM record_field WHERE rid = ?", (rid,))
    connection.executemany("INSERT INTO record_field VALUES (?, ?, ?, ?)", embedded_records.field_rows(record, rid))
