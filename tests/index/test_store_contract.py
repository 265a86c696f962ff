"""What every store promises (index/store.py), on every backend."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.models import (
    RECORDS,
    Customer,
    Engagement,
    Lease,
    MentionEdit,
    Order,
    Source,
    Task,
)
from index.store import Between, MentionQuery, QueryError, StoreError, VersionConflict
from tests.builders import NOW, a_mention, a_persona, a_record, a_review, ago, some_labels
from tests.index.backends import BACKENDS
from tests.index.brute import fits, grouped
from tests.index.chinese import chinese_words, texts
from tests.index.crowd import DIMENSIONS, a_crowd, a_query


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    opened = BACKENDS[request.param](tmp_path)
    yield opened
    opened.close()


def added(store, *mentions):
    store.add_mentions(mentions, now=NOW)
    return mentions


def ids(page):
    return [mention.id for mention in page.mentions]


# ------------------------------------------------------------------------------------------ add and merge


def test_a_mention_comes_back_as_it_was_with_the_time_of_indexing(store):
    mention = a_mention(
        title="标题",
        url="https://example.com/%E5%B1%B1?a=1&b=<2>",
        persona=a_persona(region="上海", verified=True),
        engagement=Engagement(likes=0, views=12),
        parent_id="weibo:p",
        story_id="weibo:s",
        is_copy=True,
        labels=some_labels(aspects="taste:negative price:positive"),
        customer_id="c1",
        hidden="重复",
        review=a_review(),
        published_at=ago(hours=1, microseconds=-7),
    )
    added(store, mention)
    assert store.mentions([mention.id]) == {mention.id: mention.model_copy(update={"indexed_at": NOW})}


def test_adding_the_same_again_changes_nothing(store):
    mention = a_mention()
    assert store.add_mentions([mention], now=NOW).new_ids == (mention.id,)
    again = store.add_mentions([mention], now=NOW + timedelta(hours=1))
    assert (again.new_ids, again.changed_ids, again.n_same) == ((), (), 1)
    assert store.mentions([mention.id])[mention.id].indexed_at == NOW


def test_seen_again_later_is_no_change_but_is_remembered(store):
    mention = a_mention("旧")
    added(store, mention)
    later = mention.model_copy(update={"collected_at": NOW + timedelta(hours=3)})
    assert store.add_mentions([later], now=NOW).n_same == 1
    between = mention.model_copy(update={"text": "更旧的说法", "collected_at": NOW + timedelta(hours=1)})
    store.add_mentions([between], now=NOW)
    assert store.mentions([mention.id])[mention.id].text == "旧"


def test_of_the_same_id_twice_in_one_call_the_later_is_a_merge(store):
    mention = a_mention("先")
    later = mention.model_copy(update={"text": "后"})
    result = store.add_mentions([mention, later], now=NOW)
    assert (result.new_ids, result.changed_ids) == ((mention.id,), (mention.id,))
    assert store.mentions([mention.id])[mention.id].text == "后"
    assert store.count(MentionQuery()) == 1


def test_engagement_takes_the_larger_and_unknown_gives_way(store):
    mention = a_mention(engagement=Engagement(likes=5, comments=None, reposts=3))
    added(store, mention)
    newer = mention.model_copy(update={"engagement": Engagement(likes=4, comments=2, reposts=None)})
    store.add_mentions([newer], now=NOW)
    assert store.mentions([mention.id])[mention.id].engagement == Engagement(likes=5, comments=2, reposts=3)


@pytest.mark.parametrize(("hours", "winner"), [(1, "new"), (-1, "old")])
def test_text_title_url_persona_and_time_follow_the_newer_collection(store, hours, winner):
    old = a_mention("旧文", title="旧", url="https://example.com/old", persona=a_persona(1))
    new = old.model_copy(
        update={
            "text": "新文",
            "title": "新",
            "url": "https://example.com/new",
            "persona": a_persona(2),
            "published_at": ago(days=3),
            "collected_at": NOW + timedelta(hours=hours),
        }
    )
    added(store, old)
    store.add_mentions([new], now=NOW)
    expected = {"new": new, "old": old}[winner]
    stored = store.mentions([old.id])[old.id]
    for name in ("text", "title", "url", "persona", "published_at", "collected_at"):
        assert getattr(stored, name) == getattr(expected, name)
    assert ids(store.search(MentionQuery(text=expected.text))) == [old.id]
    assert store.count(MentionQuery(text="旧文" if winner == "new" else "新文")) == 0
    assert store.group(MentionQuery(), ["day"]) == grouped([stored], MentionQuery(), ["day"])


def test_topics_are_united_and_what_people_did_stays(store):
    old = a_mention(topics=("a",), story_id="weibo:s", is_copy=True)
    added(store, old)
    store.edit_mention(old.id, MentionEdit(review=a_review(), hidden="广告", customer_id="c1"))
    new = a_mention("变了", id=old.id, topics=("b", "a"), story_id="weibo:t", customer_id=None)
    store.add_mentions([new], now=NOW + timedelta(hours=1))
    stored = store.mentions([old.id])[old.id]
    assert stored.topics == ("a", "b")
    assert (stored.review, stored.hidden, stored.customer_id) == (a_review(), "广告", "c1")
    assert (stored.story_id, stored.is_copy, stored.indexed_at) == ("weibo:s", True, NOW)


def test_labels_follow_the_text_they_were_made_from(store):
    labelled = a_mention("旧文", labels=some_labels("negative"))
    added(store, labelled)
    unread = labelled.model_copy(update={"labels": None})
    store.add_mentions([unread], now=NOW)
    assert store.mentions([labelled.id])[labelled.id].labels == labelled.labels
    reread = labelled.model_copy(update={"labels": some_labels("positive")})
    store.add_mentions([reread], now=NOW)
    assert store.mentions([labelled.id])[labelled.id].labels == reread.labels
    rewritten = unread.model_copy(update={"text": "新文"})
    store.add_mentions([rewritten], now=NOW)
    assert store.mentions([labelled.id])[labelled.id].labels is None
    older = labelled.model_copy(update={"collected_at": ago(days=1)})
    store.add_mentions([older], now=NOW)
    assert store.mentions([labelled.id])[labelled.id].labels is None


@pytest.mark.parametrize("year", [1965, 1970, 2099, 9999])
def test_it_keeps_any_year_in_order(store, year):
    odd = a_mention(published_at=datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    usual = a_mention()
    added(store, odd, usual)
    expected = sorted([odd, usual], key=lambda mention: mention.published_at)
    assert ids(store.search(MentionQuery(), oldest_first=True)) == [mention.id for mention in expected]
    assert sum(store.group(MentionQuery(), ["hour"]).values()) == 2
    assert store.count(MentionQuery(since=odd.published_at, until=odd.published_at + timedelta(0))) == 0


def test_many_mentions_of_the_same_instant_are_all_kept(store):
    many = [a_mention() for _ in range(300)]
    for start in range(0, 300, 100):
        added(store, *many[start : start + 100])
    assert store.count(MentionQuery()) == 300
    assert set(ids(store.search(MentionQuery(), limit=1000))) == {mention.id for mention in many}


# -------------------------------------------------------------------------------------------------- edits


def test_an_edit_changes_only_what_it_names(store):
    (mention,) = added(store, a_mention(topics=("a",), labels=some_labels()))
    store.edit_mention(mention.id, MentionEdit(review=a_review(), topics=("b",)))
    stored = store.edit_mention(mention.id, MentionEdit(review=None, hidden="广告"))
    assert (stored.review, stored.hidden, stored.topics, stored.labels) == (None, "广告", ("b",), mention.labels)
    assert store.mentions([mention.id])[mention.id] == stored


def test_an_edit_shows_in_counts_and_searches_at_once(store):
    (mention,) = added(store, a_mention("咖啡", labels=some_labels("negative"), topics=("a",)))
    store.edit_mention(mention.id, MentionEdit(review=a_review(), topics=("b",)))
    assert store.group(MentionQuery(), ["topic", "sentiment"]) == {("b", "positive"): 1}
    assert store.count(MentionQuery(text="咖啡", topics=("a",))) == 0
    assert store.count(MentionQuery(text="咖啡", topics=("b",))) == 1
    store.edit_mention(mention.id, MentionEdit(hidden="广告"))
    assert store.count(MentionQuery()) == store.count(MentionQuery(text="咖啡")) == 0
    assert store.count(MentionQuery(text="咖啡", hidden="only")) == store.count(MentionQuery(hidden="with")) == 1


def test_editing_an_unknown_mention_is_an_error_and_in_many_is_passed_over(store):
    (mention,) = added(store, a_mention())
    with pytest.raises(StoreError, match="weibo:none"):
        store.edit_mention("weibo:none", MentionEdit(hidden="广告"))
    edit = MentionEdit(customer_id="c1")
    assert store.edit_mentions({"weibo:none": edit, mention.id: edit}) == 1
    assert store.count(MentionQuery(customer_id="c1")) == 1


# ----------------------------------------------------------------------------------------- search and count


def test_pages_follow_each_other_newest_first_and_back(store):
    mentions = added(store, *(a_mention(published_at=ago(minutes=number // 3)) for number in range(40)))
    for oldest_first in (False, True):
        seen, after = [], None
        while True:
            page = store.search(MentionQuery(), limit=7, after=after, oldest_first=oldest_first)
            seen += page.mentions
            after = page.after
            if after is None:
                break
        times = [mention.published_at for mention in seen]
        assert times == sorted(times, reverse=not oldest_first)
        assert sorted(mention.id for mention in seen) == sorted(mention.id for mention in mentions)


def test_a_page_goes_on_where_it_was_while_others_write(store):
    added(store, *(a_mention(published_at=ago(minutes=number)) for number in range(20)))
    first = store.search(MentionQuery(), limit=10)
    added(store, *(a_mention(published_at=ago(seconds=number)) for number in range(30)))
    second = store.search(MentionQuery(), limit=10, after=first.after)
    assert not set(ids(first)) & set(ids(second))
    assert [mention.published_at for mention in second.mentions] == [ago(minutes=number) for number in range(10, 20)]


def test_the_last_page_says_so(store):
    added(store, *(a_mention() for _ in range(10)))
    assert store.search(MentionQuery(), limit=10).after is None
    assert store.search(MentionQuery(), limit=9).after is not None
    assert store.search(MentionQuery(text="没有"), limit=9).after is None


def test_a_bad_cursor_and_a_bad_query_are_errors(store):
    with pytest.raises(StoreError):
        store.search(MentionQuery(), after="x")
    with pytest.raises(QueryError):
        store.search(MentionQuery(text="(咖啡"))
    with pytest.raises(QueryError):
        store.count(MentionQuery(text="ip*"))
    for by in ([], ["topic"] * 4):
        with pytest.raises(StoreError):
            store.group(MentionQuery(), by)


def test_bounds_are_inclusive_below_and_exclusive_above_to_the_microsecond(store):
    at = ago(hours=5, microseconds=500)
    crowd = [a_mention(published_at=at) for _ in range(5)]
    added(store, *crowd, a_mention(published_at=at + timedelta(microseconds=1)))
    one = timedelta(microseconds=1)
    assert store.count(MentionQuery(since=at)) == 6
    assert store.count(MentionQuery(since=at + one)) == 1
    assert store.count(MentionQuery(until=at)) == 0
    assert store.count(MentionQuery(until=at + one)) == 5
    assert store.count(MentionQuery(since=at, until=at + one)) == 5


def test_the_time_of_indexing_is_a_condition_too(store):
    early, late = a_mention(), a_mention()
    store.add_mentions([early], now=ago(hours=2))
    store.add_mentions([late], now=NOW)
    assert ids(store.search(MentionQuery(indexed_since=ago(hours=1)))) == [late.id]
    assert ids(store.search(MentionQuery(indexed_until=NOW))) == [early.id]


def test_thousands_of_words_are_one_query(store):
    (mention,) = added(store, a_mention("这里有词七七七"))
    words = " OR ".join(f"词{chr(0x4E00 + number)}" for number in range(3000))
    assert ids(store.search(MentionQuery(text=words))) == [mention.id]
    fields = " OR ".join(f"author:用户{number} OR 不{chr(0x4E00 + number)}" for number in range(1500))
    assert store.count(MentionQuery(text=fields)) == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(texts, min_size=1, max_size=6), words=st.lists(chinese_words, min_size=1, max_size=4))
def test_search_finds_exactly_the_texts_that_contain_the_word(store, said, words):
    """All examples share a store, since a new one is dear on a server; each has a topic of its own."""
    topic = f"example-{next(_examples)}"
    mentions = added(store, *(a_mention(text, title=text[2:5], topics=(topic,)) for text in said))
    own = {mention.id for mention in mentions}
    for word in words:
        expected = {mention.id for mention in mentions if fits(mention, MentionQuery(text=word))}
        assert set(ids(store.search(MentionQuery(text=word), limit=5_000))) & own == expected
        assert store.count(MentionQuery(text=word, topics=(topic,))) == len(expected)


_examples = count(1)


# ------------------------------------------------------------------------ any query is what brute force says


@pytest.mark.parametrize("seed", range(6))
def test_search_count_and_group_say_what_brute_force_says(store, seed):
    chance = random.Random(seed)
    crowd = added(store, *a_crowd(chance, 120))
    edits = {
        mention.id: chance.choice(
            (
                MentionEdit(hidden="广告"),
                MentionEdit(topics=("a", "c")),
                MentionEdit(labels=some_labels()),
                MentionEdit(),
            )
        )
        for mention in chance.sample(crowd, 20)
    }
    assert store.edit_mentions(edits) == 20
    store.erase_mentions([mention.id for mention in chance.sample(crowd, 10)])
    crowd = list(store.mentions([mention.id for mention in crowd]).values())
    assert len(crowd) == 110
    for _ in range(60):
        query = a_query(chance)
        expected = [mention for mention in crowd if fits(mention, query)]
        assert set(ids(store.search(query, limit=500))) == {mention.id for mention in expected}, query
        assert store.count(query) == len(expected), query
        by = chance.sample(DIMENSIONS, chance.randrange(1, 4))
        assert store.group(query, by) == grouped(crowd, query, by), (query, by)


def test_every_dimension_alone_says_what_brute_force_says(store):
    crowd = [
        mention.model_copy(update={"indexed_at": NOW}) for mention in added(store, *a_crowd(random.Random(99), 100))
    ]
    for dimension, topics, hours in product(DIMENSIONS, ((), ("a",), ("a", "b")), (None, 40)):
        query = MentionQuery(topics=topics, since=None if hours is None else ago(hours=hours))
        assert store.group(query, [dimension]) == grouped(crowd, query, [dimension]), (query, dimension)


# ---------------------------------------------------------------------------------------- originals, erasure


def test_the_largest_groups_are_told_when_only_those_are_asked_for(store):
    crowd = a_crowd(random.Random(6), 200)
    store.add_mentions(crowd, now=NOW)
    for copies, by in (("only", ["story"]), ("all", ["persona"]), ("fold", ["topic", "sentiment"])):
        query = MentionQuery(copies=copies)
        every = store.group(query, by)
        largest = store.group(query, by, top=3)
        assert sorted(largest.values()) == sorted(every.values())[-3:]
        assert largest.items() <= every.items()


def test_originals_are_found_by_any_of_their_keys_and_copies_never(store):
    low, high = -(2**63), 2**63 - 1
    first = a_mention(story_keys=(1, low))
    second = a_mention(story_keys=(1, high, high), published_at=ago(days=3))
    added(store, first, second, a_mention(story_keys=(1, low), is_copy=True), a_mention())
    found = store.find_originals([1, low, high, 7], since=ago(days=9))
    assert {key: set(names) for key, names in found.items()} == {
        1: {first.id, second.id},
        low: {first.id},
        high: {second.id},
    }
    assert store.find_originals([1], since=ago(days=2)) == {1: (first.id,)}
    assert store.find_originals([1], since=first.published_at) == {1: (first.id,)}
    assert store.find_originals([1], since=first.published_at + timedelta(microseconds=1)) == {}
    assert store.find_originals([], since=ago(days=9)) == {}


def test_keys_outlive_a_second_sighting_in_the_same_call(store):
    mention = a_mention(story_keys=(1,))
    again = mention.model_copy(update={"story_keys": (), "topics": ("b",)})
    added(store, mention, again)
    assert store.find_originals([1], since=ago(days=1)) == {1: (mention.id,)}


def test_keys_move_with_the_time_and_change_with_the_text(store):
    mention = a_mention("旧", story_keys=(1,))
    added(store, mention)
    moved = mention.model_copy(update={"published_at": ago(days=40), "story_keys": ()})
    store.add_mentions([moved], now=NOW)
    assert store.find_originals([1], since=ago(days=50)) == {1: (mention.id,)}
    assert store.find_originals([1], since=ago(days=30)) == {}
    rewritten = moved.model_copy(update={"text": "新", "story_keys": (2,)})
    store.add_mentions([rewritten], now=NOW)
    assert store.find_originals([1, 2], since=ago(days=50)) == {2: (mention.id,)}


def test_the_erased_leave_no_trace(store):
    keep, erase = a_mention("咖啡", story_keys=(1,)), a_mention("咖啡", story_keys=(1,), labels=some_labels())
    added(store, keep, erase)
    assert store.erase_mentions([erase.id, "weibo:none"]) == 1
    assert store.mentions([erase.id]) == {}
    assert ids(store.search(MentionQuery(text="咖啡"))) == [keep.id]
    assert store.group(MentionQuery(), ["sentiment"]) == {("",): 1}
    assert store.find_originals([1], since=ago(days=1)) == {1: (keep.id,)}
    added(store, erase)
    assert store.count(MentionQuery(text="咖啡")) == 2


def test_retention_removes_what_was_published_before(store):
    bound = ago(days=30, microseconds=1)
    old = [a_mention(published_at=bound - timedelta(microseconds=1)), a_mention(published_at=ago(days=300))]
    kept = [a_mention(published_at=bound), a_mention()]
    added(store, *old, *kept)
    assert store.erase_before(bound) == 2
    assert set(ids(store.search(MentionQuery()))) == {mention.id for mention in kept}
    assert store.erase_before(bound) == 0


# ------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.kind_name)
def test_every_kind_of_record_comes_back_as_it_was(store, kind):
    stored = store.put(a_record(kind))
    assert stored.version == 1
    assert store.get(kind, stored.id) == stored
    assert store.find(kind) == [stored]
    assert store.tally(kind) == 1
    for name in kind.searchable:
        value = getattr(stored, name)
        assert store.tally(kind, {name: None if value == () else value}) == 1, name


def test_put_compares_and_sets(store):
    lease = a_record(Lease)
    first = store.put(lease)
    second = store.put(first.but(holder="worker-2"))
    assert second.version == 2
    for stale in (lease, first, second.but(version=7), a_record(Lease, version=3)):
        with pytest.raises(VersionConflict):
            store.put(stale)
    assert store.get(Lease, lease.id) == second


def test_a_removed_record_is_gone_and_its_version_is_stale(store):
    stored = store.put(a_record(Task))
    assert store.delete(Task, stored.id) is True
    assert store.delete(Task, stored.id) is False
    assert store.get(Task, stored.id) is None
    assert store.find(Task, {"state": "open"}) == []
    with pytest.raises(VersionConflict):
        store.put(stored)
    assert store.put(stored.but(version=0)).version == 1


def test_put_all_writes_whatever_the_version(store):
    known = store.put(a_record(Task, title="旧"))
    store.put_all([known.but(title="新", version=9), a_record(Task)])
    assert store.get(Task, known.id).title == "新"
    assert store.get(Task, known.id).version > known.version
    assert store.tally(Task) == 2


def test_the_same_id_may_be_used_by_two_kinds(store):
    store.put(a_record(Task, id="x"))
    store.put(a_record(Customer, id="x"))
    assert store.delete(Task, "x")
    assert store.get(Customer, "x") is not None


@pytest.fixture
def tasks(store):
    made = [
        a_record(Task, id="t1", state="open", owner=None, due_at=ago(hours=3)),
        a_record(Task, id="t2", state="claimed", owner="lin", due_at=ago(hours=1)),
        a_record(Task, id="t3", state="closed", owner="lin", due_at=ago(hours=2), closed_at=NOW),
    ]
    store.put_all(made)
    return store


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"state": "open"}, "t1"),
        ({"state": ("open", "claimed")}, "t1 t2"),
        ({"state": {"open", "closed"}, "owner": "lin"}, "t3"),
        ({"owner": None}, "t1"),
        ({"owner": (None, "lin")}, "t1 t2 t3"),
        ({"closed_at": None}, "t1 t2"),
        ({"state": ()}, ""),
        ({"due_at": Between(ge=ago(hours=2))}, "t2 t3"),
        ({"due_at": Between(lt=ago(hours=2))}, "t1"),
        ({"due_at": Between(ge=ago(hours=3), lt=ago(hours=1))}, "t1 t3"),
        ({"due_at": ago(hours=2)}, "t3"),
        ({"closed_at": Between(lt=NOW + timedelta(days=1))}, "t3"),
        ({"id": ("t1", "t9")}, "t1"),
        ({}, "t1 t2 t3"),
    ],
)
def test_find_and_tally_by_conditions(tasks, where, expected):
    assert [task.id for task in tasks.find(Task, where)] == expected.split()
    assert tasks.tally(Task, where) == len(expected.split())


@pytest.mark.parametrize(
    ("order_by", "descending", "expected"),
    [
        (None, False, "t1 t2 t3"),
        ("id", True, "t3 t2 t1"),
        ("due_at", False, "t1 t3 t2"),
        ("due_at", True, "t2 t3 t1"),
        ("owner", False, "t2 t3 t1"),
        ("owner", True, "t2 t3 t1"),
    ],
)
def test_records_without_a_value_come_last_in_any_order(tasks, order_by, descending, expected):
    found = tasks.find(Task, order_by=order_by, descending=descending)
    assert [task.id for task in found] == expected.split()
    page = tasks.find(Task, order_by=order_by, descending=descending, limit=1, offset=1)
    assert [task.id for task in page] == expected.split()[1:2]


def test_a_field_with_several_values_matches_by_any(store):
    orders = tuple(Order(number=number, at=ago(days=day), amount=20) for number, day in (("N1", 9), ("N2", 1)))
    stored = store.put(a_record(Customer, handles=("weibo:a", "zhihu:b"), orders=orders))
    store.put(a_record(Customer))
    assert store.find(Customer, {"handles": "zhihu:b"}) == [stored]
    assert store.find(Customer, {"order_numbers": ("N2", "N7")}) == [stored]
    assert store.find(Customer, {"last_order_at": Between(ge=ago(days=2))}) == [stored]
    store.put(stored.but(handles=()))
    assert store.find(Customer, {"handles": "zhihu:b"}) == []


def test_truth_values_are_found(store):
    store.put(a_record(Source, id="on", enabled=True))
    store.put(a_record(Source, id="off", enabled=False))
    assert [source.id for source in store.find(Source, {"enabled": True})] == ["on"]


def test_a_field_that_cannot_be_searched_is_an_error_that_lists_the_others(store):
    for where, order_by in (({"title": "x"}, None), (None, "title")):
        with pytest.raises(StoreError, match=r"title.*due_at"):
            store.find(Task, where, order_by=order_by)


# -------------------------------------------------------------------------------------------- moving house


def whole(store, *names):
    return store.mentions(names, whole=True)


def a_full_mention(**changes):
    fields = {
        "indexed_at": ago(days=2),
        "story_keys": (-5, 7),
        "story_id": "weibo:s",
        "labels": some_labels(aspects="taste:negative"),
        "review": a_review(),
        "hidden": "广告",
        "customer_id": "c1",
        "engagement": Engagement(likes=9),
    }
    return a_mention("搬家", **{**fields, **changes})


def test_a_restored_mention_is_exactly_the_one_that_was_given(store):
    mention = a_full_mention()
    told = store.restore_mentions([mention])
    assert (told.new_ids, told.changed_ids, told.n_same) == ((mention.id,), (), 0)
    assert whole(store, mention.id) == {mention.id: mention}
    assert store.search(MentionQuery(hidden="with"), whole=True).mentions == (mention,)
    assert store.search(MentionQuery(hidden="with")).mentions[0].story_keys == ()
    assert store.find_originals([7], since=ago(days=1)) == {7: (mention.id,)}


def test_restoring_again_changes_nothing(store):
    mention = a_full_mention(story_keys=(7, -5, 7))
    store.restore_mentions([mention])
    told = store.restore_mentions([mention])
    assert (told.new_ids, told.changed_ids, told.n_same) == ((), (), 1)
    assert whole(store, mention.id)[mention.id].story_keys == (-5, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "另一句"},
        {"published_at": ago(days=70)},
        {"collected_at": ago(days=1)},
        {"engagement": Engagement(likes=1)},
        {"topics": ()},
        {"is_copy": True},
        {"story_keys": (8,)},
        {"story_keys": ()},
        {"labels": None, "review": None, "hidden": None, "customer_id": None},
        {"indexed_at": NOW},
    ],
    ids="-".join,
)
def test_restoring_replaces_what_is_there_whole(store, changes):
    """Also where a merge would keep the newer, the larger, or what a person said."""
    old = a_full_mention()
    new = old.model_copy(update=changes)
    store.restore_mentions([old])
    told = store.restore_mentions([new])
    assert (told.new_ids, told.changed_ids, told.n_same) == ((), (old.id,), 0)
    assert whole(store, old.id) == {old.id: new}
    everything = MentionQuery(hidden="with")
    assert store.search(everything, whole=True).mentions == (new,)
    for by in DIMENSIONS:
        assert store.group(everything, [by]) == grouped([new], everything, [by])
    keys = set(new.story_keys) if not new.is_copy else set()
    assert store.find_originals([-5, 7, 8], since=ago(days=365)) == dict.fromkeys(keys, (new.id,))


def test_restoring_without_replacing_adds_only_what_is_not_there(store):
    known, other = a_full_mention(), a_full_mention()
    store.restore_mentions([known])
    told = store.restore_mentions([known.model_copy(update={"text": "另一句"}), other], replace=False)
    assert (told.new_ids, told.changed_ids) == ((other.id,), (known.id,))
    assert whole(store, known.id, other.id) == {known.id: known, other.id: other}


def test_of_the_same_id_twice_in_one_restore_the_later_counts(store):
    first = a_full_mention()
    second = first.model_copy(update={"text": "后一句"})
    assert store.restore_mentions([first, second]).new_ids == (first.id,)
    assert whole(store, first.id) == {first.id: second}


def test_after_random_restores_counts_say_what_brute_force_says(store):
    chance = random.Random(7)
    crowd = {}
    for _ in range(4):
        some = [mention.model_copy(update={"indexed_at": NOW}) for mention in a_crowd(chance, 60)]
        store.restore_mentions(some)
        crowd |= {mention.id: mention for mention in some}
    for _ in range(40):
        query = a_query(chance)
        by = chance.sample(DIMENSIONS, 2)
        assert store.group(query, by) == grouped(crowd.values(), query, by), (query, by)
        assert store.count(query) == sum(fits(mention, query) for mention in crowd.values())


def test_restored_records_keep_their_version_and_are_found(store):
    task = a_record(Task, version=7, owner="lin")
    assert store.restore_records([task, a_record(Customer, version=1)]) == 0
    assert store.find(Task, {"owner": "lin"}) == [task]
    assert store.put(task.but(title="新")).version == 8


def test_restoring_records_replaces_what_is_there_or_leaves_it(store):
    known = store.put(a_record(Task, owner="lin"))
    older = known.but(version=5, owner="wang")
    assert store.restore_records([older, a_record(Task, version=1)], replace=False) == 1
    assert store.get(Task, known.id) == known
    assert store.restore_records([older]) == 1
    assert store.restore_records([older]) == 0
    assert store.find(Task, {"owner": "wang"}) == [older]
    assert store.find(Task, {"owner": "lin"}) == []
    with pytest.raises(VersionConflict):
        store.put(known)


# -------------------------------------------------------------------------------------------------- upkeep


def test_check_gives_the_facts(store):
    added(store, a_mention(), a_mention())
    facts = store.check()
    assert facts["n_mentions"] == 2
    assert facts["n_bytes"] > 0
    assert facts["problems"] == []
    assert {"backend", "schema"} <= facts.keys()


def test_brute_force_counts_something():
    """Guards the oracle itself."""
    crowd = a_crowd(random.Random(1), 50)
    assert sum(grouped(crowd, MentionQuery(), ["platform"]).values()) == Counter(m.hidden for m in crowd)[None]
