"""The embedded store where it differs from others: files, processes, faults, schema."""

import logging
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pysqlite3.dbapi2 as sqlite3
import pytest

from index import embedded_schema
from index.embedded import EmbeddedStore
from index.models import Lease, MentionEdit, Task
from index.open import open_store
from index.store import MentionQuery, SchemaError, StoreError, StoreUnavailable, VersionConflict
from settings import ServiceSettings, Settings
from tests.builders import NOW, a_mention, a_record, ago, some_labels

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def store(path):
    opened = EmbeddedStore(path, busy_timeout_s=0.05)
    opened.add_mentions([a_mention("咖啡", id="weibo:1")], now=NOW)
    opened.put(a_record(Task, id="t1"))
    yield opened
    opened.close()


CALLS = {
    "add_mentions": lambda store, folder: store.add_mentions([a_mention()], now=NOW),
    "mentions": lambda store, folder: store.mentions(["weibo:1"]),
    "edit_mention": lambda store, folder: store.edit_mention("weibo:1", MentionEdit(hidden="广告")),
    "edit_mentions": lambda store, folder: store.edit_mentions({"weibo:1": MentionEdit(hidden="广告")}),
    "search": lambda store, folder: store.search(MentionQuery(text="咖啡")),
    "count": lambda store, folder: store.count(MentionQuery()),
    "group": lambda store, folder: store.group(MentionQuery(), ["topic"]),
    "find_originals": lambda store, folder: store.find_originals([1], since=ago(days=1)),
    "erase_mentions": lambda store, folder: store.erase_mentions(["weibo:1"]),
    "erase_before": lambda store, folder: store.erase_before(NOW),
    "restore_mentions": lambda store, folder: store.restore_mentions([a_mention(indexed_at=NOW)]),
    "restore_records": lambda store, folder: store.restore_records([a_record(Task, version=3)]),
    "get": lambda store, folder: store.get(Task, "t1"),
    "find": lambda store, folder: store.find(Task, {"state": "open"}),
    "tally": lambda store, folder: store.tally(Task),
    "put": lambda store, folder: store.put(a_record(Task)),
    "put_all": lambda store, folder: store.put_all([a_record(Task)]),
    "delete": lambda store, folder: store.delete(Task, "t1"),
    "backup": lambda store, folder: store.backup(folder / "copy.db"),
    "check": lambda store, folder: store.check(),
}
WRITES = {"add_mentions", "edit_mention", "edit_mentions", "erase_mentions", "erase_before"} | {
    *("put", "put_all", "delete", "restore_mentions", "restore_records")
}


def public_methods():
    return {name for name in vars(EmbeddedStore) if not name.startswith("_")} - {"close"}


def test_every_method_is_in_the_table_of_faults():
    assert public_methods() == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_file_that_is_gone_is_an_error_of_the_store(store, path, tmp_path, name):
    path.unlink()
    with pytest.raises(StoreUnavailable, match="不见了"):
        CALLS[name](store, tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("name", CALLS)
def test_a_file_that_was_replaced_is_an_error_of_the_store(store, path, tmp_path, name):
    other = tmp_path / "other.db"
    EmbeddedStore(other).close()
    os.replace(other, path)
    with pytest.raises(StoreUnavailable, match="换成"):
        CALLS[name](store, tmp_path)


@pytest.mark.parametrize("name", sorted(WRITES))
def test_a_locked_file_is_an_error_of_the_store_that_may_pass(store, path, tmp_path, name):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="占用"):
        CALLS[name](store, tmp_path)
    other.execute("ROLLBACK")
    other.close()
    CALLS[name](store, tmp_path)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - WRITES))
def test_a_locked_file_can_be_read(store, path, tmp_path, name):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    CALLS[name](store, tmp_path)
    other.close()


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"backup"}))
def test_a_damaged_file_is_an_error_of_the_store(path, tmp_path, name):
    EmbeddedStore(path).close()
    connection = sqlite3.connect(path)
    for table in ("mention", "mention_body", "mention_text", "rollup_day", "rollup_hour", "story_key", "record"):
        connection.execute(f"DROP TABLE {table}")
    connection.commit()
    connection.close()
    store = EmbeddedStore(path)
    with pytest.raises(SchemaError):
        CALLS[name](store, tmp_path)
    store.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_store_is_an_error_of_the_store(store, tmp_path, name):
    store.close()
    with pytest.raises(StoreError):
        CALLS[name](store, tmp_path)


def test_overwritten_pages_are_damage_and_not_a_crash(store, path, tmp_path):
    store.add_mentions([a_mention("咖啡" * 50) for _ in range(300)], now=NOW)
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 8192))
    with pytest.raises(StoreError):
        CALLS["check"](EmbeddedStore(path), tmp_path)


@pytest.mark.parametrize("content", [b"not a database at all, just text" * 200, b"\0" * 10_000, b"x"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(SchemaError, match="不是数据库文件"):
        EmbeddedStore(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (a)")
    connection.commit()
    connection.close()
    with pytest.raises(SchemaError, match="别的程序"):
        EmbeddedStore(path)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(StoreError, match="none"):
        EmbeddedStore(tmp_path / "none" / "store.db")


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(StoreError, match="文件夹"):
        EmbeddedStore(tmp_path)


def test_a_full_disk_is_an_error_of_the_store_and_loses_nothing(store):
    pages = store._connections.get().execute("PRAGMA page_count").fetchone()[0]
    store._connections.get().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="磁盘已满"):
        store.add_mentions([a_mention("咖啡" * 500) for _ in range(200)], now=NOW)
    assert store.count(MentionQuery()) == 1
    store._connections.get().execute("PRAGMA max_page_count = 1000000")
    assert store.add_mentions([a_mention()], now=NOW).new_ids


def test_a_key_beyond_64_bits_is_an_error_of_the_store(store):
    with pytest.raises(StoreError, match="无法写入"):
        store.add_mentions([a_mention(story_keys=(2**63,))], now=NOW)
    assert store.count(MentionQuery()) == 1


def test_the_settings_say_where_it_is(tmp_path):
    opened = open_store(Settings(service=ServiceSettings(data_dir=tmp_path)))
    assert (tmp_path / "wensheng.db").exists()
    opened.close()


# ------------------------------------------------------------------------------------------------- schema


def test_it_opens_again_with_all_that_was_in_it(store, path):
    store.close()
    again = EmbeddedStore(path)
    assert again.count(MentionQuery(text="咖啡")) == 1
    again.close()


def test_a_newer_schema_is_refused(store, path):
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(SchemaError, match="999"):
        EmbeddedStore(path)


def test_an_older_schema_is_brought_up_to_date(store, path, monkeypatch):
    store.close()

    def add_a_column(connection):
        connection.execute("ALTER TABLE mention ADD COLUMN extra TEXT NOT NULL DEFAULT ''")

    monkeypatch.setattr(embedded_schema, "STEPS", (*embedded_schema.STEPS, add_a_column))
    again = EmbeddedStore(path)
    assert again.check()["schema"] == len(embedded_schema.STEPS)
    assert again.count(MentionQuery(text="咖啡")) == 1
    again.add_mentions([a_mention()], now=NOW)
    again.close()


def test_a_migration_that_fails_changes_nothing(store, path, monkeypatch):
    store.close()

    def break_halfway(connection):
        connection.execute("DROP TABLE mention")
        connection.execute("SELECT nothing")

    with monkeypatch.context() as patch:
        patch.setattr(embedded_schema, "STEPS", (*embedded_schema.STEPS, break_halfway))
        with pytest.raises(StoreError):
            EmbeddedStore(path)
    again = EmbeddedStore(path)
    assert again.count(MentionQuery(text="咖啡")) == 1
    again.close()


def test_another_version_of_the_tokens_rebuilds_the_text_index(store, path, caplog):
    store.add_mentions([a_mention("咖啡", hidden="广告", topics=("b",))], now=NOW)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO mention_text (mention_text) VALUES ('delete-all')")
    connection.execute("UPDATE meta SET value = -1 WHERE name = 'text_version'")
    connection.commit()
    connection.close()
    with caplog.at_level(logging.WARNING):
        again = EmbeddedStore(path)
    assert "rebuilding the full-text index of 2 mentions" in caplog.text
    assert again.count(MentionQuery(text="咖啡")) == 1
    assert again.count(MentionQuery(text="咖啡", topics=("b",), hidden="only")) == 1
    again.close()


def test_other_searchable_fields_are_filled_in_when_the_file_is_opened(store, path, monkeypatch):
    store.close()
    monkeypatch.setattr(Task, "searchable", (*Task.searchable, "title"))
    again = EmbeddedStore(path)
    assert [task.id for task in again.find(Task, {"title": "喝完拉肚子"})] == ["t1"]
    again.close()


# ------------------------------------------------------------------------------- threads, processes, backup


def test_of_many_threads_that_put_the_same_version_one_wins(store):
    store = EmbeddedStore(store._connections.path)
    lease = store.put(a_record(Lease))
    start = threading.Barrier(8)

    def claim(number):
        start.wait()
        try:
            return store.put(lease.but(holder=f"w{number}")).holder
        except VersionConflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [holder for holder in pool.map(claim, range(8)) if holder]
    assert winners == [store.get(Lease, lease.id).holder]
    store.close()


def test_a_thread_that_ends_gives_its_connection_back(store):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.count, MentionQuery()).result()
    assert len(store._connections._open) == 1


def _write(path, number, n_batches):
    store = EmbeddedStore(path)
    for batch in range(n_batches):
        mentions = [
            a_mention("咖啡好喝", id=f"p{number}:{batch}-{each}", labels=some_labels(), published_at=ago(seconds=each))
            for each in range(20)
        ]
        store.add_mentions(mentions, now=NOW)
        task = store.get(Task, "t1")
        with suppress(VersionConflict):
            store.put(task.but(title=f"{number}-{batch}"))
    store.close()
    return n_batches * 20


def _read(path, n_rounds):
    store = EmbeddedStore(path)
    seen = []
    for _ in range(n_rounds):
        n_text, n_group = store.count(MentionQuery(text="咖啡")), sum(store.group(MentionQuery(), ["hour"]).values())
        page = store.search(MentionQuery(text="咖啡"), limit=20)
        seen.append(len(page.mentions) == min(20, n_text) or n_text <= n_group)
    store.close()
    return all(seen)


def test_two_writers_and_two_readers_in_processes_of_their_own_meet_no_error(path):
    store = EmbeddedStore(path)
    store.put(a_record(Task, id="t1"))
    with SPAWN.Pool(4) as pool:
        writers = [pool.apply_async(_write, (path, number, 15)) for number in range(2)]
        readers = [pool.apply_async(_read, (path, 60)) for _ in range(2)]
        assert sum(each.get(120) for each in writers) == 600
        assert all(each.get(120) for each in readers)
    assert store.count(MentionQuery(text="咖啡")) == 600
    assert store.group(MentionQuery(), ["sentiment"]) == {("negative",): 600}
    assert store.check()["problems"] == []
    store.close()


def _claim(path, number, start):
    store = EmbeddedStore(path)
    lease = store.get(Lease, "turn")
    start.wait(60)
    try:
        store.put(lease.but(holder=f"w{number}"))
    except VersionConflict:
        return 0
    finally:
        store.close()
    return 1


def test_of_two_processes_that_claim_the_same_turn_one_wins(path):
    store = EmbeddedStore(path)
    store.put(a_record(Lease, id="turn"))
    with SPAWN.Manager() as manager, SPAWN.Pool(2) as pool:
        start = manager.Barrier(2)
        claims = [pool.apply_async(_claim, (path, number, start)) for number in range(2)]
        assert sum(each.get(60) for each in claims) == 1
    store.close()


def test_a_backup_made_while_others_write_is_whole(store, path, tmp_path):
    store = EmbeddedStore(path)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            store.add_mentions([a_mention("咖啡", labels=some_labels()) for _ in range(20)], now=NOW)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        for number in range(3):
            store.backup(tmp_path / f"copy{number}.db")
        stop.set()
        writing.result()
    for number in range(3):
        copy = EmbeddedStore(tmp_path / f"copy{number}.db")
        n = copy.count(MentionQuery(text="咖啡"))
        assert n % 20 == 1
        assert copy.count(MentionQuery()) == n
        assert copy.check()["problems"] == []
        copy.close()
    store.close()
    assert not list(tmp_path.glob("*.part"))


def test_a_backup_never_overwrites(store, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(StoreError, match="已经存在"):
        store.backup(target)
    assert target.read_text() == "mine"
    with pytest.raises(StoreError, match="不存在"):
        store.backup(tmp_path / "none" / "copy.db")


def test_what_a_broken_backup_left_behind_is_no_hindrance(store, tmp_path):
    (tmp_path / "copy.db.part").write_text("half of a backup")
    store.backup(tmp_path / "copy.db")
    copy = EmbeddedStore(tmp_path / "copy.db")
    assert copy.count(MentionQuery(text="咖啡")) == 1
    copy.close()


def test_check_names_a_roll_up_that_does_not_add_up(store, path):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE rollup_day SET n = n + 5 WHERE topic = ''")
    connection.commit()
    connection.close()
    assert "汇总表" in store.check()["problems"][0]


def test_no_text_of_the_erased_is_left_in_the_file(store, path):
    secret = "只此一家的秘密" * 3
    mention = a_mention(secret, url="https://example.com/erased-one")
    store.add_mentions([mention], now=NOW)
    store.erase_mentions([mention.id])
    store.close()
    left = b"".join(part.read_bytes() for part in Path(path.parent).glob("store.db*"))
    assert b"erased-one" not in left
    assert secret.encode() not in left


def test_old_mentions_are_erased_in_steps(store, monkeypatch):
    monkeypatch.setattr("index.embedded._ERASE_AT_ONCE", 7)
    store.add_mentions([a_mention(published_at=NOW - timedelta(days=40)) for _ in range(30)], now=NOW)
    assert store.erase_before(ago(days=30)) == 30
    assert store.group(MentionQuery(), ["day"]) == {("2026-11-26",): 1}
