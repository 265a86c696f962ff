"""Moving to another version of the indices on the real server: under writes, killed, and with old programs about."""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from index import elastic_carry, elastic_fence, elastic_migrate, elastic_schema
from index.compare import compare
from index.elastic import ElasticStore
from index.elastic_migrate import abandon, drop_old, migrate, n_documents, old_versions
from index.elastic_migration_state import MigrationRefused
from index.elastic_schema import VERSION, Names, current_version
from index.embedded import EmbeddedStore
from index.models import Lease, MentionEdit, Task
from index.store import MentionQuery, SchemaError, StoreUnavailable
from settings import ROOT, StoreSettings
from tests.builders import NOW, a_mention, a_persona, a_record, a_review, ago
from tests.index.backends import TemporaryElasticStore
from tests.index.steady import SteadyWriter
from tests.index.test_copy import copied, everything, fill
from tests.servers.elastic import store_settings
from tests.servers.elastic_proxy import Proxy
from tests.test_up import variables

pytestmark = pytest.mark.es

OLD = VERSION - 1


@pytest.fixture
def settings():
    """Of a store of its own; all that has its prefix goes with the test."""
    made = store_settings(retries=1)
    yield made
    TemporaryElasticStore(made, as_it_is=True).close()


@pytest.fixture
def opened(settings):
    """Opens the store as the program of a version does; the old one before the new one."""
    stores = []

    def opening(version=VERSION, **changes):
        changed = settings.model_copy(update=changes)
        stores.append(ElasticStore(changed, names=Names(settings.prefix, version)))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


@pytest.fixture
def small_rounds(monkeypatch):
    """Many ranges and rounds of little data."""
    monkeypatch.setattr(elastic_carry, "_NUMBERS", 20)
    monkeypatch.setattr(elastic_migrate, "LITTLE", 30)


def moved(settings, **options):
    return migrate(settings, patience_s=0.2, **options)


def indices_of(store):
    prefix = store._session.names.prefix
    return sorted(
        name.removeprefix(f"{prefix}-") for name in store._session.client.indices.get_alias(index=f"{prefix}-*")
    )


def live_version(store):
    return current_version(store._session.client, store._session.names.prefix)


# ------------------------------------------------------------------------------------------------- what comes of it


def test_everything_is_moved_and_stays_as_it_was(settings, opened, small_rounds):
    old = opened(OLD, shards=2)
    fill(old)
    lease = old.put(a_record(Lease))
    expected = everything(old)
    done = moved(settings)
    assert (done.switched, done.from_version, done.to_version, done.n_removed) == (True, OLD, VERSION, 0)
    assert (done.comparison.n_different, done.comparison.n_mentions, done.comparison.n_sampled) == (0, 150, 150)
    new = opened()
    assert everything(new) == expected
    assert new.get(Lease, lease.id) == lease
    assert new.check()["problems"] == []
    assert new.put(lease).version == lease.version + 1


def test_the_new_mapping_is_in_effect_afterwards(settings, opened, monkeypatch):
    properties = {
        **elastic_schema.MENTION_PROPERTIES,
        "author": {"type": "keyword", "index": False, "doc_values": False},
    }
    with monkeypatch.context() as before:
        before.setattr(elastic_schema, "MENTION_PROPERTIES", properties)
        old = opened(OLD)
        mention = a_mention(persona=a_persona(7))
        old.add_mentions([mention], now=NOW)
    moved(settings)
    assert opened().count(MentionQuery(text=f"author:{mention.persona.id}")) == 1


def test_a_store_of_this_version_is_left_alone(settings, opened):
    store = opened()
    store.put(a_record(Task))
    before = indices_of(store)
    assert moved(settings).n_carried == 0
    assert indices_of(store) == before


def test_without_a_store_there_is_nothing_to_move(settings):
    with pytest.raises(MigrationRefused, match="prefix"):
        moved(settings)


def test_a_newer_store_is_not_moved_back(settings, opened):
    opened(VERSION + 1)
    with pytest.raises(SchemaError, match="升级"):
        moved(settings)


# ------------------------------------------------------------------------------------------------- while it writes


def test_under_steady_writes_nothing_is_lost_and_nothing_doubled(settings, opened, small_rounds):
    old = opened(OLD)
    fill(old, n=400)
    writers = [SteadyWriter(f"writer{n}", opened(OLD), lambda: ElasticStore(settings), seed=1) for n in range(2)]
    for writer in writers:
        writer.start()
    until(lambda: all(writer.n_written > 20 for writer in writers), writers)
    done = moved(settings)
    assert done.switched
    assert done.comparison.n_different == 0
    until(lambda: all(writer.n_upgrades for writer in writers), writers)
    n_before = [writer.n_written for writer in writers]
    until(lambda: all(w.n_written > n + 20 for w, n in zip(writers, n_before, strict=True)), writers)
    for writer in writers:
        writer.stop()
    new = opened()
    new.check()
    assert [writer.problems(new) for writer in writers] == [[], []]
    assert new.count(MentionQuery(hidden="with", sources=("s1", "s2"))) == 400


def until(is_so, writers):
    waiting = threading.Event()
    for _ in range(1200):
        if is_so():
            return
        for writer in writers:
            if writer.failure is not None:
                raise writer.failure
        waiting.wait(0.05)
    pytest.fail("waited in vain")


@pytest.mark.parametrize("at", ["_carry_range", "remove_surplus"])
def test_what_happens_between_two_steps_is_carried_over(settings, opened, small_rounds, monkeypatch, at):
    """New, changed, redated, erased mentions; new, changed, deleted records; a month that retention drops, and one
    that begins."""
    old = opened(OLD)
    fill(old)
    young, dropped = ago(days=0), ago(days=120)
    kept, redated, erased = (a_mention(published_at=young) for _ in range(3))
    old.add_mentions([kept, redated, erased, a_mention(published_at=dropped)], now=NOW)
    changed, deleted = old.put(a_record(Task)), old.put(a_record(Task))
    original, n_calls = getattr(elastic_carry.Carrier, at), []

    def disturbed(self, *arguments):
        done = original(self, *arguments)
        n_calls.append(at)
        if len(n_calls) == 1:
            old.edit_mention(kept.id, MentionEdit(review=a_review()))
            later = {"published_at": ago(days=200), "collected_at": ago(days=-1)}
            old.add_mentions([redated.model_copy(update=later), a_mention(published_at=ago(days=-40))], now=NOW)
            old.erase_before(ago(days=210))
            old.add_mentions([a_mention(published_at=ago(days=400))], now=NOW)
            old.erase_before(ago(days=399))
            old.erase_mentions([erased.id])
            old.put(changed.but(owner="lin"))
            old.put(a_record(Task))
            old.delete(Task, deleted.id)
        return done

    monkeypatch.setattr(elastic_carry.Carrier, at, disturbed)
    monkeypatch.setattr(elastic_migrate.elastic_fence, "flip", told_before(elastic_fence.flip, old, seen := []))
    assert moved(settings).switched
    assert everything(opened()) == seen[-1]


def told_before(flip, old, seen):
    """flip(), and before it what the old store has."""

    def telling(*arguments):
        old.check()
        seen.append(everything(old))
        return flip(*arguments)

    return telling


# ----------------------------------------------------------------------------------------------------- interrupted


class Killed(BaseException):
    """As kill -9: nothing of the run is done any more."""


def killed_at(monkeypatch, place, n):
    """The run ends for good when place is reached for the nth time, or when it has just been passed."""
    holder, name = place
    original, calls = getattr(holder, name), []

    def deadly(*arguments, **options):
        calls.append(name)
        if len(calls) == n:
            for method in ("release", "keep"):
                monkeypatch.setattr(elastic_migrate.State, method, dead)
            monkeypatch.setattr(elastic_migrate.elastic_fence, "lift_fence", dead)
            raise Killed
        return original(*arguments, **options)

    monkeypatch.setattr(holder, name, deadly)


def dead(*_, **__):
    raise Killed


PLACES = {
    "first target": (elastic_carry, "create", 1),
    "early": (elastic_carry.Carrier, "_carry_range", 1),
    "half way": (elastic_carry.Carrier, "_carry_range", 5),
    "before the fence": (elastic_fence, "raise_fence", 1),
    "inside the fence": (elastic_migrate._Move, "_settle", 1),
    "at the flip": (elastic_fence, "flip", 1),
    "after the flip": (elastic_migrate, "prepare", 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_run_that_was_killed_is_gone_on_with(settings, opened, small_rounds, monkeypatch, place):
    old = opened(OLD)
    fill(old)
    with monkeypatch.context() as deadly:
        killed_at(deadly, PLACES[place][:2], PLACES[place][2])
        with pytest.raises(Killed):
            moved(settings)
    if place != "after the flip":
        with suppress(StoreUnavailable):  # inside the fence
            old.add_mentions([a_mention()], now=NOW)
        expected = everything(old)
        done = moved(settings)
        assert (done.switched, done.comparison.n_different) == (True, 0)
        assert everything(opened()) == expected
    else:
        assert moved(settings).switched
        assert len(everything(opened())[0]) == 150


def test_a_second_run_goes_on_where_the_first_was_killed(settings, opened, small_rounds, monkeypatch):
    old = opened(OLD)
    fill(old)
    with monkeypatch.context() as deadly:
        killed_at(deadly, (elastic_fence, "raise_fence"), 1)
        with pytest.raises(Killed):
            moved(settings)
    assert moved(settings).n_carried == 0


def test_a_second_run_is_refused_while_the_first_shows_signs_of_life(settings, opened, small_rounds):
    fill(opened(OLD))
    said, seen = [], threading.Event()

    def second():
        with pytest.raises(MigrationRefused) as caught:
            migrate(settings, patience_s=60)
        said.append(str(caught.value))
        seen.set()

    beside = threading.Thread(target=second)

    def slowly(_):
        """Goes on only once the second has seen the first write its state."""
        if beside.ident is None:
            beside.start()
        if said or not beside.is_alive():
            return
        seen.wait(0.5)

    done = migrate(settings, patience_s=0.2, advance=slowly)
    beside.join()
    assert done.switched
    assert "正在运行" in said[0]


def test_a_failure_inside_the_fence_lifts_it(settings, opened, monkeypatch):
    old = opened(OLD)
    fill(old)
    with monkeypatch.context() as failing:
        failing.setattr(elastic_migrate._Move, "_compared", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            moved(settings)
    assert live_version(old) == OLD
    old.add_mentions([a_mention(), a_mention(published_at=ago(days=-100))], now=NOW)
    assert old.check()["problems"] == []
    assert moved(settings).switched


def test_what_is_not_equal_is_not_switched_to(settings, opened, monkeypatch):
    old = opened(OLD)
    fill(old)
    victim = next(iter(everything(old)[0]))
    original = elastic_migrate._Move._settle

    def damaging(self):
        original(self)
        new = ElasticStore(settings, names=self.new, as_it_is=True)
        new.erase_mentions([victim])
        new.close()

    monkeypatch.setattr(elastic_migrate._Move, "_settle", damaging)
    done = moved(settings)
    assert not done.switched
    assert done.comparison.n_different > 0
    assert live_version(old) == OLD
    old.add_mentions([a_mention()], now=NOW)


def test_a_mention_that_the_new_mapping_refuses_is_named_and_nothing_is_switched(settings, opened, monkeypatch):
    old = opened(OLD)
    mention = a_mention()
    old.add_mentions([mention], now=NOW)
    properties = {**elastic_schema.MENTION_PROPERTIES, "platform": {"type": "long"}}
    monkeypatch.setattr(elastic_schema, "MENTION_PROPERTIES", properties)
    with pytest.raises(MigrationRefused, match=mention.id):
        moved(settings)
    old.add_mentions([a_mention()], now=NOW)


def test_the_copying_can_be_done_before_and_the_switch_later(settings, opened, small_rounds):
    old = opened(OLD)
    fill(old)
    n = n_documents(settings)
    done = moved(settings, switch=False)
    assert (done.switched, done.n_carried, done.comparison) == (False, n, None)
    old.add_mentions([a_mention()], now=NOW)
    done = moved(settings)
    assert (done.switched, done.n_carried) == (True, 1)


def test_a_move_can_be_given_up(settings, opened):
    old = opened(OLD)
    fill(old)
    before = indices_of(old)
    moved(settings, switch=False)
    elastic_fence.raise_fence(old._session.client, old._session.names)
    assert abandon(settings, patience_s=0.2)
    assert indices_of(old) == before
    old.add_mentions([a_mention(published_at=ago(days=-100))], now=NOW)
    moved(settings)
    with pytest.raises(MigrationRefused):
        abandon(settings)


def test_a_cut_line_is_no_reason_to_lose_anything(settings, opened, small_rounds):
    old = opened(OLD)
    fill(old)
    proxy = Proxy(settings.hosts[0])
    far = settings.model_copy(update={"hosts": (proxy.url,), "retries": 0, "timeout_s": 5.0})
    n = iter(range(10**6))
    proxy.spoil = lambda method, path, answer: None if "_bulk" in path and next(n) == 3 else answer
    with pytest.raises(StoreUnavailable):
        moved(far)
    expected = everything(old)
    assert moved(far).switched
    proxy.close()
    assert everything(opened()) == expected


# ----------------------------------------------------------------------------------------------------- old programs


def test_writers_wait_behind_the_fence_and_write_again_after_it(settings, opened):
    old = opened(OLD, retries=0)
    task = old.put(a_record(Task))
    client, names = old._session.client, old._session.names
    elastic_fence.raise_fence(client, names)
    writes = (
        lambda: old.add_mentions([a_mention()], now=NOW),
        lambda: old.add_mentions([a_mention(published_at=ago(days=-100))], now=NOW),
        lambda: old.put(task),
        lambda: old.put_all([a_record(Task)]),
        lambda: old.delete(Task, task.id),
    )
    for write in writes:
        with pytest.raises(StoreUnavailable, match="暂时不可写"):
            write()
    assert old.find(Task) == [task]
    assert any("migrate" in problem for problem in old.check()["problems"])
    elastic_fence.lift_fence(client, names)
    for write in writes:
        write()


def test_an_old_program_can_neither_read_nor_write_after_the_flip(settings, opened):
    old = opened(OLD, retries=0)
    mention, task = a_mention(), a_record(Task)
    old.add_mentions([mention], now=NOW)
    task = old.put(task)
    assert moved(settings).switched
    new = opened()
    for act in (
        lambda: old.add_mentions([a_mention()], now=NOW),
        lambda: old.add_mentions([a_mention(published_at=ago(days=-100))], now=NOW),
        lambda: old.edit_mention(mention.id, MentionEdit(hidden="广告")),
        lambda: old.erase_mentions([mention.id]),
        lambda: old.erase_before(NOW),
        lambda: old.put(task),
        lambda: old.put_all([task]),
        lambda: old.delete(Task, task.id),
        lambda: old.get(Task, task.id),
        lambda: old.find(Task),
        lambda: old.mentions([mention.id]),
        lambda: old.count(MentionQuery()),
        lambda: old.search(MentionQuery()),
        lambda: old.group(MentionQuery(), ["day"]),
        lambda: old.find_originals([1], since=ago(days=9)),
        old.check,
        lambda: opened(OLD),
    ):
        with pytest.raises(SchemaError, match="升级"):
            act()
    assert everything(new) == ({mention.id: new.mentions([mention.id])[mention.id]}, {("task", task.id): task})


def test_the_new_program_says_before_the_move_what_to_run(settings, opened):
    opened(OLD)
    with pytest.raises(SchemaError, match=r"manage\.py store migrate"):
        opened()


# --------------------------------------------------------------------------------------------------- the old indices


def test_the_old_indices_lie_as_they_were_until_they_are_dropped(settings, opened):
    old = opened(OLD, retries=0)
    fill(old)
    expected = everything(old)
    assert old_versions(settings).indices == ()
    moved(settings)
    new = opened()
    new.add_mentions([a_mention()], now=NOW)
    found = old_versions(settings)
    assert found.n_mentions == 150
    assert found.n_bytes > 0
    assert drop_old(settings) == found
    assert old_versions(settings).indices == ()
    assert all(f"v{VERSION}" in index for index in indices_of(new))
    with pytest.raises(SchemaError, match="升级"):
        old.add_mentions([a_mention()], now=NOW)
    assert len(everything(new)[0]) == len(expected[0]) + 1


def test_a_moved_store_is_equal_to_what_it_was_filled_from(settings, opened, tmp_path):
    source = EmbeddedStore(tmp_path / "store.db")
    fill(source)
    old = opened(OLD)
    copied(source, old)
    moved(settings)
    assert compare(source, opened(), n_samples=None).n_different == 0
    source.close()


# ------------------------------------------------------------------------------------------------------ the command


def manage(settings, *command):
    environ = {**os.environ, **variables(settings)}
    return subprocess.run(
        [sys.executable, "manage.py", "store", *command],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_moves_and_then_drops_the_old_indices(settings, opened):
    fill(opened(OLD))
    moving = manage(settings, "migrate", "--json")
    said = json.loads(moving.stdout)
    assert (moving.returncode, said["switched"], said["equal"], said["comparison"]["n_mentions"]) == (
        0,
        True,
        True,
        150,
    )
    assert "不需要迁移" in manage(settings, "migrate").stdout
    assert "--yes" in manage(settings, "drop-old", "--json").stderr
    assert "已删除" in manage(settings, "drop-old", "--yes").stdout
    assert old_versions(settings).indices == ()


def test_the_command_is_not_for_the_embedded_store():
    refused = manage(StoreSettings(), "migrate")
    assert (refused.returncode, "嵌入式" in refused.stderr) == (1, True)
