"""The tables of the embedded store, and the steps that bring an older file up to date."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import pysqlite3.dbapi2 as sqlite3

from index.embedded_records import field_rows, from_row
from index.models import RECORDS
from index.store import SchemaError
from index.text import TEXT_VERSION, search_text, tokens

log = logging.getLogger(__name__)

_FIRST = """
-- rid is published_at: seconds since 1970 << 20 | microseconds, moved on to the next free one where taken.
-- topics (names) and aspects (name:polarity) are lists in one text (embedded_rows.joined).
-- Unknown values are '' (severity -1).
CREATE TABLE mention (
    rid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    published_us INTEGER NOT NULL, indexed_us INTEGER NOT NULL,
    topics TEXT NOT NULL, platform TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,
    sentiment TEXT NOT NULL, intent TEXT NOT NULL, severity INTEGER NOT NULL, confidence REAL,
    aspects TEXT NOT NULL, story TEXT NOT NULL, copy INTEGER NOT NULL, hidden INTEGER NOT NULL,
    persona TEXT NOT NULL, author TEXT NOT NULL, verified INTEGER, region TEXT NOT NULL,
    customer TEXT NOT NULL, model_version TEXT NOT NULL
);
CREATE INDEX mention_indexed ON mention (indexed_us);
CREATE INDEX mention_story ON mention (story) WHERE story <> '';
CREATE INDEX mention_persona ON mention (persona) WHERE persona <> '';
CREATE INDEX mention_customer ON mention (customer) WHERE customer <> '';
CREATE INDEX mention_model ON mention (model_version);
-- keys: the story keys as packed 64-bit numbers.
CREATE TABLE mention_body (rid INTEGER PRIMARY KEY, body TEXT NOT NULL, keys BLOB NOT NULL);

-- One row per topic of a mention with all that charts ask for, so that they never touch the wide tables.
CREATE TABLE mention_topic (
    topic TEXT NOT NULL, rid INTEGER NOT NULL,
    topics TEXT NOT NULL, platform TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,
    sentiment TEXT NOT NULL, intent TEXT NOT NULL, severity INTEGER NOT NULL, confidence REAL,
    aspects TEXT NOT NULL, story TEXT NOT NULL, copy INTEGER NOT NULL, hidden INTEGER NOT NULL,
    PRIMARY KEY (topic, rid)
) WITHOUT ROWID;

-- words: bigrams of title and text; marks: 'hidden', 'copy' and the topics, so that such counts need no other table.
CREATE VIRTUAL TABLE mention_text USING fts5 (
    words, marks, content = '', contentless_delete = 1, tokenize = 'ascii'
);

-- Story keys of originals. Keys are random: by week (of 7 days since 1970) a batch touches fewer pages.
CREATE TABLE story_key (
    week INTEGER NOT NULL, key INTEGER NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (week, key, rid)
) WITHOUT ROWID;

-- Counts; topic '' counts every mention once. hour and day are numbers since 1970 in Beijing time.
CREATE TABLE rollup_hour (
    topic TEXT NOT NULL, hour INTEGER NOT NULL, sentiment TEXT NOT NULL, copy INTEGER NOT NULL,
    hidden INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (topic, hour, sentiment, copy, hidden)
) WITHOUT ROWID;
CREATE TABLE rollup_day (
    topic TEXT NOT NULL, day INTEGER NOT NULL, platform TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,
    sentiment TEXT NOT NULL, intent TEXT NOT NULL, severity INTEGER NOT NULL, copy INTEGER NOT NULL,
    hidden INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (topic, day, platform, source, kind, sentiment, intent, severity, copy, hidden)
) WITHOUT ROWID;

CREATE TABLE record (
    rid INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (kind, id)
);
CREATE TABLE record_field (
    kind TEXT NOT NULL, name TEXT NOT NULL, value NOT NULL, rid INTEGER NOT NULL,
    PRIMARY KEY (kind, name, value, rid)
) WITHOUT ROWID;
CREATE INDEX record_field_rid ON record_field (rid);

CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"""


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Statement by statement, because executescript would commit the transaction around it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _create(connection: sqlite3.Connection) -> None:
    _run_script(connection, _FIRST)
    connection.execute("INSERT INTO meta VALUES ('text_version', ?)", (TEXT_VERSION,))


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create,)
"""STEPS[n] brings schema n to n + 1; PRAGMA user_version holds the number. Only ever add to the end."""


def upgrade(connection: sqlite3.Connection) -> None:
    """Create or migrate, in one transaction; raises SchemaError if the file is newer than this program."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == len(STEPS) and _is_current(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(STEPS):
            raise SchemaError(
                f"数据库的结构版本是 {version}, 本程序只认识到 {len(STEPS)}: 请升级程序, 或换一个数据文件"
            )
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise SchemaError("这个文件是别的程序的数据库, 不是闻声的: 请在 store.file 中换一个文件名")
        for number in range(version, len(STEPS)):
            STEPS[number](connection)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        if _meta(connection, "text_version") != TEXT_VERSION:
            rebuild_text(connection)
        if _meta(connection, "searchable") != _searchable():
            _rebuild_record_fields(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_current(connection: sqlite3.Connection) -> bool:
    return _meta(connection, "text_version") == TEXT_VERSION and _meta(connection, "searchable") == _searchable()


def _meta(connection: sqlite3.Connection, name: str) -> object:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def _searchable() -> str:
    """Changes when a model declares other searchable fields; their rows are then made anew."""
    declared = ";".join(f"{kind.kind_name}:{','.join(kind.searchable)}" for kind in RECORDS)
    return hashlib.sha256(declared.encode()).hexdigest()[:16]


def _rebuild_record_fields(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM record_field")
    for kind in RECORDS:
        rows = connection.execute("SELECT rid, version, body FROM record WHERE kind = ?", (kind.kind_name,)).fetchall()
        for rid, version, body in rows:
            fields = field_rows(from_row(kind, version, body), rid)
            connection.executemany("INSERT INTO record_field VALUES (?, ?, ?, ?)", fields)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('searchable', ?)", (_searchable(),))


def rebuild_text(connection: sqlite3.Connection) -> None:
    """Fill the full-text index anew from the mentions; logs its progress, since a million take minutes."""
    from index.embedded_rows import marks

    total = connection.execute("SELECT count(*) FROM mention").fetchone()[0]
    log.warning("rebuilding the full-text index of %d mentions", total)
    connection.execute("INSERT INTO mention_text (mention_text) VALUES ('delete-all')")
    rows = connection.execute(
        "SELECT m.rid, m.topics, m.copy, m.hidden, b.body ->> 'title', b.body ->> 'text'"
        " FROM mention m JOIN mention_body b USING (rid) ORDER BY m.rid"
    )
    for number, (rid, topics, copy, hidden, title, text) in enumerate(rows, 1):
        connection.execute(
            "INSERT INTO mention_text (rowid, words, marks) VALUES (?, ?, ?)",
            (rid, tokens(search_text(title, text)), marks(topics, copy, hidden)),
        )
        if number % 50_000 == 0:
            log.warning("full-text index: %d of %d mentions", number, total)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('text_version', ?)", (TEXT_VERSION,))
