"""Moving everything from one store to another: faithful, resumable, and never over what is in use."""

import random
import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index import copy as copying
from index.compare import compare
from index.copy import (
    ALL,
    COPIED_RECORDS,
    CopyRefused,
    copy,
    mark_equal,
    mention_pages,
    record_pages,
    refuse_half_copied,
    take_into_use,
)
from index.elastic import ElasticStore
from index.embedded import EmbeddedStore
from index.models import Copying, Customer, Lease, LogEntry, MentionEdit, Task
from index.store import MentionQuery
from settings import ROOT, ServiceSettings, Settings, StoreSettings
from tests.builders import NOW, a_mention, a_record, a_review, ago, some_labels
from tests.index.backends import BACKENDS
from tests.index.crowd import a_crowd

ORIGIN = "嵌入式 source.db"


@pytest.fixture
def opened(tmp_path):
    """Opens an empty store of a backend in a folder of that name."""
    stores = []

    def opening(backend, name):
        folder = tmp_path / name
        folder.mkdir()
        stores.append(BACKENDS[backend](folder))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


@pytest.fixture
def source(opened):
    return opened("embedded", "source")


@pytest.fixture
def target(opened):
    return opened("embedded", "target")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(copying, "_AT_ONCE", 40)


def fill(store, n=150, seed=1):
    """Mentions with everything a mention can have, and records of all kinds, some of them written several times."""
    chance = random.Random(seed)
    crowd = [
        mention.model_copy(update={"story_keys": tuple(chance.sample(range(-50, 50), chance.randrange(5)))})
        for mention in a_crowd(chance, n)
    ]
    store.add_mentions(crowd[::2], now=ago(hours=5))
    store.add_mentions(crowd, now=NOW)
    store.edit_mentions({mention.id: MentionEdit(review=a_review()) for mention in crowd[:9]})
    for kind in (*COPIED_RECORDS, Lease):
        for number in range(3):
            record = store.put(a_record(kind))
            for _ in range(number):
                record = store.put(record)
    store.put_all([a_record(LogEntry) for _ in range(90)])
    return crowd


def everything(store):
    mentions = {mention.id: mention for page in mention_pages(store, ALL) for mention in page}
    records = {
        (kind.kind_name, record.id): record
        for kind in COPIED_RECORDS
        for page in record_pages(store, kind)
        for record in page
    }
    return mentions, records


def copied(source, target, **options):
    return copy(source, target, origin=ORIGIN, now=NOW, **options)


# ------------------------------------------------------------------------------------------------- faithful


@pytest.mark.parametrize(
    ("here", "there"),
    [("embedded", "embedded"), ("embedded", "elasticsearch"), ("elasticsearch", "embedded")],
    ids=lambda name: name,
)
def test_a_copy_is_equal_in_everything_and_a_second_one_finds_nothing_to_do(opened, here, there):
    source, target = opened(here, "here"), opened(there, "there")
    fill(source)
    done = copied(source, target)
    assert (done.n_mentions, done.n_new, done.n_changed, done.n_removed) == (150, 150, 0, 0)
    assert everything(target) == everything(source)
    found = compare(source, target)
    assert (found.n_different, found.differences) == (0, ())
    assert (found.n_mentions, found.n_sampled, found.n_records) == (150, 150, done.n_records)
    again = copied(source, target)
    assert (again.n_mentions, again.n_new, again.n_changed, again.n_removed) == (150, 0, 0, 0)
    assert everything(target) == everything(source)


def test_later_copies_of_a_text_find_their_original_in_the_new_store(source, target):
    mention = a_mention(story_keys=(5,))
    source.add_mentions([mention], now=NOW)
    copied(source, target)
    assert target.find_originals([5], since=ago(days=1)) == {5: (mention.id,)}


def test_leases_stay_where_their_holders_are(source, target):
    fill(source, n=3)
    copied(source, target)
    assert target.find(Lease) == []


def test_many_mentions_of_one_instant_are_all_copied(source, target):
    source.add_mentions([a_mention(published_at=NOW) for _ in range(100)], now=NOW)
    copied(source, target)
    assert everything(target) == everything(source)


# ---------------------------------------------------------------------------------------- again and resumed


def change(source, crowd, chance):
    """What a service may do to its store between two runs of a copy."""
    ids = [mention.id for mention in crowd]
    some = chance.sample(ids, 10)
    source.edit_mention(some[0], MentionEdit(hidden="广告"))
    source.edit_mention(some[1], MentionEdit(labels=some_labels("positive"), review=None))
    source.edit_mention(some[2], MentionEdit(topics=()))
    source.erase_mentions(some[3:5])
    moved = crowd[ids.index(some[5])]
    later = {"published_at": moved.published_at - timedelta(days=60), "collected_at": NOW + timedelta(hours=1)}
    source.add_mentions([moved.model_copy(update=later), a_mention()], now=NOW)
    task = source.find(Task)[0]
    source.put(task.but(owner="lin"))
    source.delete(Customer, source.find(Customer)[0].id)
    source.put(a_record(Customer))


@pytest.mark.parametrize("there", ["embedded", "elasticsearch"])
def test_a_copy_run_again_brings_what_was_changed_and_takes_what_was_erased(source, opened, there):
    target = opened(there, "there")
    crowd = fill(source)
    copied(source, target)
    change(source, crowd, random.Random(3))
    assert compare(source, target, n_samples=None).n_different > 0
    done = copied(source, target)
    assert (done.n_new, done.n_removed) == (1, 3)
    assert everything(target) == everything(source)
    assert compare(source, target, n_samples=None).n_different == 0


def test_what_comes_in_behind_a_running_copy_is_copied_too(source, target):
    fill(source)
    late = a_mention(published_at=ago(days=300))

    def write(n):
        source.add_mentions([late], now=NOW)

    done = copied(source, target, advance=write)
    assert done.n_mentions == 151
    assert everything(target)[0] == everything(source)[0]


STEPS = st.lists(st.sampled_from(("change", "copy", "die")), min_size=1, max_size=5)


class Died(Exception):
    pass


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_whatever_happened_before_a_last_quiet_run_makes_both_equal(tmp_path_factory, steps, seed):
    folder = tmp_path_factory.mktemp("stores")
    chance = random.Random(seed)
    source, target = EmbeddedStore(folder / "source.db"), EmbeddedStore(folder / "target.db")
    crowd = fill(source, n=60, seed=seed)
    for step in steps:
        if step == "change":
            alive = [mention for mention in crowd if mention.id in source.mentions([each.id for each in crowd])]
            change(source, alive, chance)
            source.put(a_record(Customer))
        elif step == "copy":
            copied(source, target)
        else:
            left = chance.randrange(1, 6)

            def die(n):
                nonlocal left
                left -= 1
                if not left:
                    raise Died

            with pytest.raises(Died):
                copied(source, target, advance=die)
    copied(source, target)
    assert everything(target) == everything(source)
    source.close()
    target.close()


KILLED = """
import sys
from datetime import UTC, datetime
from index import copy
from index.open import open_store
from settings import Settings
copy._AT_ONCE = 40
source, target = (open_store(Settings.model_validate_json(each)) for each in sys.argv[1:3])
copy.copy(source, target, origin=sys.argv[3], now=datetime.now(UTC), advance=lambda n: print(n, flush=True))
"""


def settings_of(store, folder):
    """As another process opens it."""
    chosen = store._settings if isinstance(store, ElasticStore) else StoreSettings(file="store.db")
    return Settings(service=ServiceSettings(data_dir=folder), store=chosen).model_dump_json()


@pytest.mark.parametrize("there", ["embedded", "elasticsearch"])
def test_a_copy_killed_twice_goes_on_and_ends_equal(source, opened, tmp_path, there):
    target = opened(there, "there")
    ids = [mention.id for mention in fill(source, n=600)]
    both = [settings_of(source, tmp_path / "source"), settings_of(target, tmp_path / "there")]
    n_seen = []
    for n_pages in (3, 9):
        running = subprocess.Popen(
            [sys.executable, "-c", KILLED, *both, ORIGIN], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(n_pages):
            assert running.stdout.readline()
        running.kill()
        running.communicate()
        n_seen.append(len(target.mentions(ids)))
        with pytest.raises(CopyRefused, match="store copy"):
            refuse_half_copied(target)
    assert 0 < n_seen[0] < n_seen[1] < 600
    done = copied(source, target)
    assert done.n_mentions == 600
    assert 0 < done.n_new <= 600 - n_seen[1]  # a server may have ended what the killed one had sent
    assert everything(target) == everything(source)
    assert compare(source, target).n_different == 0


# -------------------------------------------------------------------------------------- what is in use stays


def test_a_store_may_be_used_once_it_was_found_equal(source, target):
    fill(source, n=3)
    copied(source, target)
    with pytest.raises(CopyRefused):
        take_into_use(target)
    mark_equal(target)
    take_into_use(target)


def test_a_store_that_was_never_copied_to_is_used_without_a_word(source):
    take_into_use(source)
    assert source.find(Copying) == []


def test_after_it_was_used_no_copy_overwrites_it(source, target):
    crowd = fill(source)
    copied(source, target)
    mark_equal(target)
    take_into_use(target)
    target.edit_mention(crowd[0].id, MentionEdit(hidden="新店的话"))
    with pytest.raises(CopyRefused, match="into-existing"):
        copied(source, target)
    assert target.mentions([crowd[0].id])[crowd[0].id].hidden == "新店的话"


def test_a_half_copied_store_whose_source_is_lost_may_be_used_as_it_is(source, target):
    fill(source, n=3)
    copied(source, target)
    take_into_use(target, as_it_is=True)
    refuse_half_copied(target)


def test_a_store_that_is_used_is_only_filled_where_it_has_gaps(source, target):
    crowd = fill(source)
    own = a_mention()
    target.add_mentions([own, crowd[0].model_copy(update={"text": "新店的话"})], now=NOW)
    mine = target.put(a_record(Task, id=source.find(Task)[0].id, title="新店的任务"))
    done = copied(source, target, into_existing=True)
    assert (done.replaced, done.n_new, done.n_changed, done.n_removed, done.n_kept) == (False, 149, 0, 0, 2)
    assert target.mentions([crowd[0].id])[crowd[0].id].text == "新店的话"
    assert target.get(Task, mine.id) == mine
    assert own.id in target.mentions([own.id])
    assert compare(source, target, may_have_more=True, n_samples=None).n_different == 0
    assert compare(source, target).n_different > 0


def test_a_store_that_is_filled_from_one_source_is_not_filled_from_another(source, target):
    fill(source, n=3)
    copied(source, target)
    with pytest.raises(CopyRefused, match=r"source\.db.*other\.db"):
        copy(source, target, origin="嵌入式 other.db", now=NOW, into_existing=True)


# ------------------------------------------------------------------------------------------------- comparing


@pytest.fixture
def both(source, target):
    fill(source)
    copied(source, target)
    return source, target


def differences(both, **options):
    return {(each.what, each.field, each.source, each.target) for each in compare(*both, **options).differences}


def test_a_field_that_differs_is_named_with_both_values(both):
    source, target = both
    (mention,) = source.search(MentionQuery(), limit=1).mentions
    target.edit_mention(mention.id, MentionEdit(customer_id="c9"))
    assert differences(both) == {(f"提及 {mention.id}", "customer_id", mention.customer_id or "", "c9")}


def test_a_missing_mention_shows_in_the_counts_and_by_name(both):
    source, target = both
    (mention,) = source.search(MentionQuery(), limit=1).mentions
    target.erase_mentions([mention.id])
    found = differences(both)
    assert ("提及总数", "", "150", "149") in found
    assert (f"提及 {mention.id}", "", "有", "没有") in found
    assert {"各月提及数", "各情感提及数"} <= {what for what, *_ in found}


def test_every_record_is_compared(both):
    source, target = both
    task = source.find(Task)[-1]
    target.put(target.get(Task, task.id).but(owner="lin"))
    source.delete(LogEntry, source.find(LogEntry)[0].id)
    assert differences(both) == {
        (f"task {task.id}", "version", str(task.version), str(task.version + 1)),
        (f"task {task.id}", "owner", "", "lin"),
        ("log 记录数", "", "92", "93"),
    }


def test_of_many_differences_the_first_are_shown_and_all_are_counted(both):
    source, target = both
    target.edit_mentions(
        {mention.id: MentionEdit(hidden="?") for page in mention_pages(source, ALL) for mention in page}
    )
    found = compare(*both, n_samples=None)
    assert found.n_different == 150
    assert len(found.differences) == 100


def test_the_sample_has_the_size_that_was_asked_for_and_the_seed_chooses_it(both):
    source, target = both
    mentions = [mention.id for page in mention_pages(source, ALL) for mention in page]
    target.edit_mentions({name: MentionEdit(hidden=f"? {name}") for name in mentions})
    seen = [{each.what for each in compare(*both, n_samples=30, seed=seed).differences} for seed in (1, 1, 2)]
    assert seen[0] == seen[1] != seen[2]
    assert len(seen[0]) == 30
