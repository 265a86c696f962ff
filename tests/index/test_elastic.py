"""What only the store on Elasticsearch does: months, twins, several writers, waiting and refusing."""

import random
import threading
from datetime import UTC, datetime, timedelta

import pytest

from index import elastic_groups, elastic_mentions, elastic_records
from index.elastic import ElasticStore
from index.elastic_bulk import Fate, Write
from index.elastic_rows import document_of, key_of
from index.elastic_schema import VERSION, Names, record_fields
from index.models import Customer, Engagement, Link, MentionEdit, Order, Task
from index.store import MentionQuery, QueryError, SchemaError, StoreError, StoreUnavailable, VersionConflict
from tests.builders import NOW, a_mention, a_record, a_review, ago
from tests.index.backends import TemporaryElasticStore, elasticsearch
from tests.servers.elastic import store_settings
from tests.servers.elastic_proxy import Answer, Proxy, once
from tests.servers.ports import free_port

pytestmark = pytest.mark.es

NOVEMBER, OCTOBER = ago(hours=1), ago(days=40)


@pytest.fixture
def store(tmp_path):
    opened = elasticsearch(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def proxied(store):
    """A second store on the same indices whose line can be spoiled, and the line."""
    proxy = Proxy(store._settings.hosts[0])
    other = ElasticStore(store._settings.model_copy(update={"hosts": (proxy.url,), "retries": 3}))
    yield other, proxy
    other.close()
    proxy.close()


def months(store):
    """Index of each month -> number of documents."""
    client, names = store._session.client, store._session.names
    client.indices.refresh(index=names.mentions)
    found = client.indices.get_alias(name=names.mentions)
    return {index.removeprefix(f"{names.mentions_template}-"): client.count(index=index)["count"] for index in found}


def put_straight(store, mention):
    """As a writer leaves it that dies between writing a mention into one month and removing it from another."""
    index = store._session.names.month(mention.published_at)
    (result,) = store._session.bulk.write([Write("create", index, key_of(mention.id), document_of(mention))])
    assert result.fate is Fate.DONE


def twins(store, mention):
    """All that is stored under its id."""
    return store._writer.lookup([mention.id])[mention.id]


def at_once(*jobs):
    """Runs them in threads that start together; raises what any of them raised."""
    barrier, failures = threading.Barrier(len(jobs)), []

    def run(job):
        barrier.wait()
        try:
            job()
        except Exception as e:  # noqa: BLE001
            failures.append(e)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# ---------------------------------------------------------------------------------------------- months, twins


def test_a_mention_lies_in_the_index_of_its_month_and_odd_years_share_one(store):
    years = [datetime(year, 5, 1, tzinfo=UTC) for year in (1970, 1999, 2009, 2100, 9999)]
    new_year = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    dates = [NOVEMBER, OCTOBER, new_year, new_year + timedelta(microseconds=1), *years]
    store.add_mentions([a_mention(published_at=at) for at in dates], now=NOW)
    assert months(store) == {"early": 3, "late": 2, "2026.10": 1, "2026.11": 1, "2026.12": 1, "2027.01": 1}


def test_a_month_ends_where_the_next_begins():
    names = Names("w")
    for month in ("2026.11", "2026.12"):
        end = names.end_of(f"w-mentions-v1-{month}")
        assert names.month(end) != names.month(end - timedelta(microseconds=1)) == f"w-mentions-v1-{month}"
    assert names.end_of(names.early) is names.end_of("w-mentions-v1-late") is None


def test_a_date_corrected_into_another_month_leaves_no_twin(store):
    mention = a_mention(published_at=NOVEMBER, story_keys=(1,))
    store.add_mentions([mention], now=ago(minutes=5))
    store.edit_mention(mention.id, MentionEdit(review=a_review()))
    moved = mention.model_copy(update={"published_at": OCTOBER, "collected_at": NOW + timedelta(hours=1)})
    result = store.add_mentions([moved], now=NOW)
    assert (result.new_ids, result.changed_ids) == ((), (mention.id,))
    assert months(store) == {"early": 0, "2026.10": 1, "2026.11": 0}
    stored = store.mentions([mention.id])[mention.id]
    assert (stored.published_at, stored.review, stored.indexed_at) == (OCTOBER, a_review(), ago(minutes=5))
    assert store.find_originals([1], since=ago(days=60)) == {1: (mention.id,)}


def test_an_older_sighting_with_another_month_changes_nothing_and_leaves_nothing(store):
    mention = a_mention(published_at=NOVEMBER)
    store.add_mentions([mention], now=ago(minutes=5))
    older = mention.model_copy(update={"published_at": OCTOBER, "collected_at": ago(days=2)})
    assert store.add_mentions([older], now=NOW).n_same == 1
    assert months(store) == {"early": 0, "2026.10": 0, "2026.11": 1}


@pytest.mark.parametrize("act", ["seen again", "edited", "read"])
def test_twins_left_by_a_writer_that_died_become_one(store, act):
    old = a_mention(published_at=NOVEMBER, customer_id="c1", indexed_at=ago(days=1))
    put_straight(store, old)
    new = old.model_copy(
        update={"published_at": OCTOBER, "customer_id": None, "collected_at": NOW + timedelta(hours=1)}
    )
    put_straight(store, new)
    if act == "seen again":
        assert store.add_mentions([new], now=NOW).new_ids == ()
    elif act == "edited":
        store.edit_mention(old.id, MentionEdit(hidden="广告"))
    stored = store.mentions([old.id])[old.id]
    assert (stored.published_at, stored.customer_id) == (OCTOBER, "c1")
    if act != "read":
        assert months(store) == {"early": 0, "2026.10": 1, "2026.11": 0}


def test_two_writers_with_different_dates_of_the_same_new_mentions_leave_one_of_each(store):
    mentions = [a_mention(published_at=NOVEMBER) for _ in range(40)]
    moved = [mention.model_copy(update={"published_at": OCTOBER}) for mention in mentions]
    at_once(
        lambda: store.add_mentions(mentions, now=NOW),
        lambda: store.add_mentions(moved, now=NOW + timedelta(milliseconds=1)),
    )
    assert sum(months(store).values()) == 40
    assert len(store.mentions([mention.id for mention in mentions])) == 40


def test_of_two_writers_that_each_keep_another_twin_the_later_one_gives_way(store):
    mention = a_mention(published_at=NOVEMBER)
    moved = mention.model_copy(update={"published_at": OCTOBER})
    put_straight(store, mention)
    put_straight(store, moved)
    ours, theirs = ({mention.id: {twin.index: twin for twin in twins(store, mention)}} for _ in range(2))
    assert store._writer._put({mention.id: mention}, ours, None) == set()
    assert store._writer._put({mention.id: moved}, theirs, None) == {mention.id}
    assert months(store) == {"early": 0, "2026.10": 0, "2026.11": 1}


def test_several_writers_of_the_same_mention_lose_nothing(store):
    mention = a_mention(topics=("start",))
    store.add_mentions([mention], now=NOW)
    sightings = [mention.model_copy(update={"topics": (f"t{n}",), "engagement": Engagement(likes=n)}) for n in range(6)]
    edit = MentionEdit(customer_id="c1")
    at_once(
        *(lambda seen=seen: store.add_mentions([seen], now=NOW) for seen in sightings),
        lambda: store.edit_mention(mention.id, edit),
    )
    stored = store.mentions([mention.id])[mention.id]
    assert set(stored.topics) == {"start", *(f"t{n}" for n in range(6))}
    assert (stored.engagement.likes, stored.customer_id) == (5, "c1")


def test_retention_drops_whole_months_as_whole_indices(store):
    ages = [ago(days=days) for days in (0, 30, 60, 90)]
    store.add_mentions([a_mention(published_at=at) for at in (*ages, datetime(1999, 1, 1, tzinfo=UTC))], now=NOW)
    assert store.erase_before(ago(days=31)) == 3
    assert months(store) == {"early": 0, "2026.10": 1, "2026.11": 1}
    store.add_mentions([a_mention(published_at=ages[-1])], now=NOW)
    assert months(store)["2026.08"] == 1


# --------------------------------------------------------------------------------------------- limits, paging


def test_ids_and_words_longer_than_the_server_takes_are_kept_whole(store):
    long_id = "weibo:" + "长" * 400
    word, emoji = "a" * 400, "😡" * 200
    mention = a_mention(f"{word} {emoji}", id=long_id)
    store.add_mentions([mention, a_mention(word + "a")], now=NOW)
    assert store.mentions([long_id])[long_id].text == mention.text
    for text in (word, emoji, f'"{word} {emoji}"'):
        assert [each.id for each in store.search(MentionQuery(text=text)).mentions] == [long_id]
    assert store.count(MentionQuery(text="a" * 255)) == 0
    assert store.erase_mentions([long_id]) == 1


def test_a_record_is_found_by_a_value_longer_than_the_server_takes(store):
    persona_id = "weibo:" + "长" * 12_000
    link = store.put(a_record(Link, id=f"{persona_id}>c1", persona_id=persona_id))
    assert store.find(Link, {"persona_id": [persona_id, "weibo:other"]}) == [link]
    assert store.find(Link, {"id": link.id}) == [link] == [store.get(Link, link.id)]
    assert store.find(Link, {"persona_id": persona_id + "长"}) == []


def test_brackets_deeper_than_the_server_takes_are_an_error_of_the_query(store):
    text = "甲"
    for number in range(40):
        text = f"(乙 {'AND' if number % 2 else 'OR'} {text})"
    with pytest.raises(QueryError, match="嵌套"):
        store.count(MentionQuery(text=text))


def test_groups_and_records_beyond_one_answer_are_complete(store, monkeypatch):
    monkeypatch.setattr(elastic_groups, "_VALUES_AT_ONCE", 4)
    monkeypatch.setattr(elastic_groups, "_GROUPS_AT_ONCE", 3)
    monkeypatch.setattr(elastic_records, "LARGEST_PAGE", 4)
    mentions = [a_mention(published_at=ago(hours=n // 5), source=f"s{n % 5}") for n in range(40)]
    store.add_mentions(mentions, now=NOW)
    for by in (["hour", "source"], ["source", "hour"]):
        groups = store.group(MentionQuery(), by)
        assert (len(groups), sum(groups.values())) == (40, 40)
    tasks = [a_record(Task, id=f"t{n:02}", due_at=ago(hours=n)) for n in range(11)]
    store.put_all(random.Random(1).sample(tasks, len(tasks)))
    assert [task.id for task in store.find(Task, order_by="due_at", descending=True)] == [f"t{n:02}" for n in range(11)]
    assert [task.id for task in store.find(Task, limit=6, offset=2)] == [f"t{n:02}" for n in range(2, 8)]


def test_more_groups_than_the_server_puts_into_one_answer_are_complete(proxied):
    store, proxy = proxied
    store.add_mentions([a_mention(published_at=ago(hours=n)) for n in range(3)], now=NOW)
    error = Answer.error(400, "too_many_buckets_exception", "Trying to create too many buckets.")
    proxy.requests.clear()
    proxy.spoil = once("_search", lambda _: error)
    assert sum(store.group(MentionQuery(), ["hour", "kind"]).values()) == 3
    assert sum("_search" in request for request in proxy.requests) == 2


def test_the_largest_groups_are_right_where_the_server_cannot_promise_it(store, monkeypatch):
    monkeypatch.setattr(elastic_groups, "_VALUES_OF_A_SHARD", 2)
    # Second in each of two months, and the largest of all.
    for at, names in ((NOVEMBER, "aaaabbbbcd"), (OCTOBER, "eeeebbbbfg")):
        store.add_mentions([a_mention(published_at=at, story_id=f"weibo:{name}") for name in names], now=NOW)
    assert store.group(MentionQuery(), ["story"], top=1) == {("weibo:b",): 8}


def test_more_twins_than_one_answer_holds_are_all_found(store, monkeypatch):
    monkeypatch.setattr(elastic_mentions, "LARGEST_PAGE", 4)
    olds = [a_mention(published_at=NOVEMBER) for _ in range(5)]
    store.add_mentions(olds, now=ago(minutes=5))
    moved = [old.model_copy(update={"published_at": OCTOBER, "collected_at": NOW + timedelta(hours=1)}) for old in olds]
    assert len(store.add_mentions(moved, now=NOW).changed_ids) == 5
    assert months(store) == {"early": 0, "2026.10": 5, "2026.11": 0}


def test_a_record_is_not_found_by_what_it_no_longer_has(store):
    order = Order(number="N-1", at=ago(days=3), amount=20)
    stored = store.put(a_record(Customer, orders=(order,)))
    store.put(stored.but(orders=()))
    assert store.find(Customer, {"order_numbers": "N1"}) == []
    assert store.tally(Customer, {"last_order_at": None}) == 1


def test_one_name_of_a_searchable_field_has_one_type():
    fields = record_fields()
    assert fields["next_at"] == fields["last_order_at"] == {"type": "long"}
    assert fields["enabled"] == {"type": "boolean"}
    assert fields["handles"] == {"type": "keyword"}


# ------------------------------------------------------------------------------- refusals, lost answers, waiting


def test_a_mention_that_the_server_refuses_is_named_with_the_reason_and_the_others_are_kept(store):
    bad, good = a_mention(story_keys=(2**70,)), a_mention()
    result = store.add_mentions([bad, good], now=NOW)
    assert result.new_ids == (good.id,)
    assert "keys" in result.refused[bad.id]
    assert store.count(MentionQuery()) == 1


def test_a_busy_server_is_asked_again(proxied):
    store, proxy = proxied
    proxy.spoil = once("_bulk", lambda _: Answer.error(429, "es_rejected_execution_exception", "queue full"))
    mention = a_mention()
    store.add_mentions([mention], now=NOW)
    assert store.count(MentionQuery()) == 1
    assert sum("_bulk" in request for request in proxy.requests) == 2


def test_single_items_that_the_server_was_too_busy_for_are_sent_again(proxied):
    store, proxy = proxied
    mentions = [a_mention() for _ in range(4)]

    def one_rejected(answer):
        body = answer.json
        error = {"type": "es_rejected_execution_exception", "reason": "queue full"}
        body["items"][2]["create"] |= {"status": 429, "error": error}
        return answer.with_json(body)

    proxy.spoil = once("_bulk", one_rejected)
    store.add_mentions(mentions, now=NOW)
    assert store.count(MentionQuery()) == 4


def test_new_mentions_are_told_as_new_although_the_answer_was_lost(proxied):
    store, proxy = proxied
    mentions = [a_mention(), a_mention()]
    proxy.spoil = once("_bulk", lambda _: None)
    assert store.add_mentions(mentions, now=NOW).new_ids == tuple(mention.id for mention in mentions)
    assert store.count(MentionQuery()) == 2


@pytest.mark.parametrize("version", [0, 1])
def test_a_record_is_won_although_the_answer_was_lost(proxied, store, version):
    other, proxy = proxied
    task = a_record(Task)
    task = store.put(task) if version else task
    proxy.spoil = once("/_create/" if not version else "PUT", lambda _: None)
    won = other.put(task.but(owner="lin"))
    assert (won.version, store.get(Task, task.id)) == (version + 1, won)
    with pytest.raises(VersionConflict):
        store.put(task.but(owner="wang"))


def test_of_many_claims_of_one_record_exactly_one_wins(store):
    task = store.put(a_record(Task))
    won = []

    def claim(owner):
        try:
            won.append(store.put(task.but(owner=owner)))
        except VersionConflict:
            return

    at_once(*(lambda owner=f"w{n}": claim(owner) for n in range(8)))
    assert len(won) == 1
    assert store.get(Task, task.id) == won[0]


def test_half_an_answer_of_a_search_is_an_error_and_no_number(proxied):
    store, proxy = proxied
    proxy.spoil = once("_search", lambda _: Answer.error(503, "search_phase_execution_exception", "all shards failed"))
    assert store.count(MentionQuery()) == 0
    proxy.spoil = lambda method, path, answer: (
        Answer.error(503, "search_phase_execution_exception", "all shards failed") if "_search" in path else answer
    )
    with pytest.raises(StoreUnavailable, match="503"):
        store.count(MentionQuery())


def test_a_read_only_index_says_that_the_disk_is_full_and_recovers(store):
    mention = a_mention()
    store.add_mentions([mention], now=NOW)
    patient = TemporaryElasticStore(store._settings.model_copy(update={"retries": 0}))
    block = {"index.blocks.read_only_allow_delete": True}
    indices = store._session.client.indices
    indices.put_settings(index=store._session.names.mentions, settings=block)
    with pytest.raises(StoreUnavailable, match="磁盘"):
        patient.add_mentions([a_mention()], now=NOW)
    assert patient.count(MentionQuery()) == 1
    assert any("只读" in problem for problem in patient.check()["problems"])
    indices.put_settings(index=store._session.names.mentions, settings={"index.blocks.read_only_allow_delete": None})
    patient.add_mentions([a_mention()], now=NOW)
    assert store.count(MentionQuery(hidden="with")) >= 1
    ElasticStore.close(patient)


def test_a_server_that_is_down_is_named_with_its_setting():
    port = free_port()
    settings = store_settings(hosts=[f"http://127.0.0.1:{port}"], retries=0)
    with pytest.raises(StoreUnavailable, match=rf"{port}.*hosts"):
        ElasticStore(settings)


@pytest.mark.parametrize(("version", "said"), [(VERSION - 1, "升级"), (VERSION + 1, "store migrate")])
def test_indices_of_another_program_are_left_alone(store, version, said):
    before = store._session.client.indices.get_alias(index=f"{store._settings.prefix}-*").body
    with pytest.raises(SchemaError, match=said):
        ElasticStore(store._settings, names=Names(store._settings.prefix, version))
    assert store._session.client.indices.get_alias(index=f"{store._settings.prefix}-*").body == before


def test_a_backup_is_the_servers_own_matter(store, tmp_path):
    with pytest.raises(StoreError, match="_snapshot"):
        store.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
