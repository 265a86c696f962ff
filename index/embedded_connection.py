"""Connections to the SQLite file: one per thread, and the only place where a driver's error becomes a StoreError."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pysqlite3.dbapi2 as sqlite3

from index.query import Near, are_near
from index.store import SchemaError, StoreError, StoreUnavailable
from index.text import fold, search_text

_CACHE_KB = 65_536
_CHECKPOINT_PAGES = 16_000
_MAGIC = b"SQLite format 3\0"


class Connection(sqlite3.Connection):  # type: ignore[misc]  # a subclass, because the plain one takes no weak reference
    """One thread's connection."""


class Connections:
    """Opens, hands out and closes them. The file must exist (created by create()) and stay the same one."""

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._local = threading.local()
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._closed = False
        self._inode = 0

    def create(self) -> Connection:
        """The first connection; makes the file if it is not there."""
        if not self.path.parent.is_dir():
            raise StoreError(f"文件夹 {self.path.parent} 不存在: 请先建立它, 或修改 service.data_dir")
        if self.path.is_dir():
            raise StoreError(f"{self.path} 是一个文件夹, 不能用作数据文件")
        if _is_foreign(self.path):
            raise SchemaError(f"{self.path} 不是数据库文件: 请换一个文件名, 或从备份恢复")
        connection = self.connect("rwc")
        connection.execute("PRAGMA journal_mode = WAL")
        self._inode = self.path.stat().st_ino
        self._local.pid, self._local.connection = os.getpid(), connection
        return connection

    def get(self) -> Connection:
        """This thread's connection. Raises StoreUnavailable once the file is gone or another one."""
        if self._closed:
            raise StoreError("数据库连接已经关闭")
        try:
            inode = self.path.stat().st_ino
        except OSError as e:
            raise StoreUnavailable(f"数据文件 {self.path} 不见了: 请恢复它后重新启动") from e
        if inode != self._inode:
            raise StoreUnavailable(f"数据文件 {self.path} 被换成了另一个文件: 请重新启动")
        # A connection must not cross a fork: the child opens its own.
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.connection = self.connect("rw")
            self._local.pid = os.getpid()
        connection: Connection = self._local.connection
        return connection

    def connect(self, mode: str) -> Connection:
        connection: Connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        # A batch dirties many pages that the next one dirties again: fewer checkpoints write them once for several.
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        # What is erased is overwritten, not just unlinked.
        connection.execute("PRAGMA secure_delete = ON")
        connection.create_function("fold", 1, fold, deterministic=True)
        connection.create_function("near", 2, _near, deterministic=True)
        self._open.add(connection)
        return connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot for all that is read inside."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All or nothing; others that write wait meanwhile."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        with self.errors():
            connection = self.get()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the driver raises into the errors of index/store.py."""
        try:
            yield
        except sqlite3.Error as e:
            raise _store_error(e, self.path) from e
        except (OverflowError, UnicodeEncodeError) as e:
            raise StoreError(f"有一个值无法写入数据库: {e}") from e

    def close(self) -> None:
        self._closed = True
        with self.errors():
            for connection in list(self._open):
                connection.close()


def _is_foreign(path: Path) -> bool:
    """SQLite would take a file shorter than its header for an empty one and overwrite it."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError:
        return False  # opening it as a database says what is wrong
    return start not in (b"", _MAGIC)


def _store_error(error: sqlite3.Error, path: Path) -> StoreError:
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(f"数据文件 {path} 被别的进程占用, 请稍后再试")
    if primary == sqlite3.SQLITE_FULL:
        return StoreUnavailable(f"磁盘已满, 无法写入 {path}: 请腾出空间")
    if primary == sqlite3.SQLITE_NOTADB:
        return SchemaError(f"{path} 不是数据库文件: 请换一个文件名, 或从备份恢复")
    if primary == sqlite3.SQLITE_CORRUPT:
        return SchemaError(f"数据文件 {path} 已损坏: 请从备份恢复 ({error})")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StoreUnavailable(f"无法打开数据文件 {path}: 请检查它是否存在, 是否有读写权限")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreError(f"没有写入 {path} 的权限")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreUnavailable(f"读写 {path} 出错, 请检查磁盘 ({error})")
    if primary == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return SchemaError(f"数据文件 {path} 缺少表或字段: 请从备份恢复 ({error})")
    return StoreError(f"数据库出错: {error}")


def _near(body: str, wanted: str) -> bool:
    """For a query's NEAR: body is a mention's JSON, wanted is [distance, part, part, ...]."""
    said = json.loads(body)
    distance, *parts = json.loads(wanted)
    return are_near(Near(tuple(parts), distance), search_text(said.get("title", ""), said["text"]))
