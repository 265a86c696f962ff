"""The jobs: claims are exclusive, every step may run again, and nothing is lost between them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Timer

import pysqlite3.dbapi2 as sqlite3
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobs
from crawlers.spool import SpoolWriter, pending
from index.embedded import EmbeddedStore
from index.models import (
    Customer,
    Engagement,
    Intent,
    LogEntry,
    Mention,
    MentionEdit,
    Notification,
    Order,
    Outcome,
    Review,
    Rule,
    Run,
    Sentiment,
    Session,
    Source,
    Task,
    TaskState,
    Topic,
)
from index.store import Added, MentionQuery
from settings import RetentionSettings, RuleSettings, SourceSettings, TopicSettings
from tests.builders import NOW, a_mention, a_persona, a_record, ago
from tests.services import OWN_NAME, Clock, Make, services

TOPICS = (
    TopicSettings(id="shanlan", name="山岚咖啡", kind="brand", query="山岚咖啡", exclude=("山岚缭绕",)),
    TopicSettings(id="scenery", name="风景", kind="industry", query="山岚"),
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    with services(tmp_path, clock, topics=TOPICS) as made:
        yield made


@pytest.fixture
def service(make: Make) -> jobs.Service:
    return make()


def a_source(source_id: str = "s", **changes: object) -> SourceSettings:
    fields = {"name": "S", "kind": "feed", "platform": "p", "url": "http://127.0.0.1:9/", "basis": "b"}
    return SourceSettings.model_validate(
        {"id": source_id, **fields, "reviewed": date(2026, 11, 1), "every_s": 600, **changes}
    )


def spooled(service: jobs.Service, mentions: list[Mention], run_id: str = "run-1") -> None:
    with SpoolWriter(service.settings.spool_dir, run_id) as writer:
        for mention in mentions:
            writer.write(mention)


# ---------------------------------------------------------------------------------------------- provision


def test_provisioning_twice_changes_nothing(make: Make) -> None:
    before = make(sources=(a_source(),)).store.get(Source, "s")
    after = make(sources=(a_source(),)).store.get(Source, "s")
    assert before == after


def test_new_settings_of_a_source_keep_its_state(make: Make) -> None:
    store = make(sources=(a_source(),)).store
    known = store.get(Source, "s")
    assert known is not None
    store.put(known.but(state={"etag": "x"}, last_outcome=Outcome.OK))
    changed = make(sources=(a_source(every_s=60),)).store.get(Source, "s")
    assert changed is not None
    assert (changed.every_s, changed.state, changed.last_outcome) == (60, {"etag": "x"}, Outcome.OK)


def test_another_url_of_a_source_forgets_what_was_learnt_of_the_old_one(make: Make) -> None:
    store = make(sources=(a_source(),)).store
    known = store.get(Source, "s")
    assert known is not None
    store.put(known.but(state={"cursor": "900"}, n_failures=5, next_at=NOW + timedelta(hours=6)))
    moved = make(sources=(a_source(url="http://127.0.0.1:9/other"),)).store.get(Source, "s")
    assert moved is not None
    assert (moved.state, moved.n_failures, moved.next_at) == ({}, 0, NOW)


def test_what_left_the_settings_leaves_the_store_and_what_people_made_stays(make: Make) -> None:
    store = make(sources=(a_source(),)).store
    store.put(Topic(id="own", name="自建", kind="crisis", query="异物"))
    make(sources=(), topics=TOPICS[:1])
    assert [source.id for source in store.find(Source)] == []
    assert [topic.id for topic in store.find(Topic)] == ["own", "shanlan"]


def test_changed_topics_make_the_sources_read_again_what_they_had_before(make: Make) -> None:
    store = make(sources=(a_source(),)).store
    known = store.get(Source, "s")
    assert known is not None
    store.put(known.but(state={"etag": "x"}, next_at=NOW + timedelta(hours=1)))
    same = make(sources=(a_source(),)).store.get(Source, "s")
    changed = make(sources=(a_source(),), topics=(TOPICS[0],)).store.get(Source, "s")
    other = TopicSettings(id="shanlan", name="山岚咖啡", kind="brand", query="山岚咖啡 OR 岚咖")
    again = make(sources=(a_source(),), topics=(other,)).store.get(Source, "s")
    assert same is not None
    assert changed is not None
    assert again is not None
    assert same.state == changed.state == {"etag": "x"}
    assert (again.state, again.next_at) == ({}, NOW)


# -------------------------------------------------------------------------------------------------- claims


def test_a_due_source_is_claimed_by_one_worker_only(make: Make) -> None:
    one, other = make("here:1", sources=(a_source(),)), make("here:2", sources=(a_source(),))
    claims = [jobs._claim_source(service) for service in (one, other)]
    assert [source and source.claimed_by for source in claims] == ["here:1", None]


def test_a_due_source_is_found_behind_many_that_others_crawl(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "DUE_AT_ONCE", 2)
    sources = tuple(a_source(f"s{number}") for number in range(6))
    one, other = make("here:1", sources=sources), make("here:2", sources=sources)
    claimed = [jobs._claim_source(one if number else other) for number in range(6)]
    assert {source.id for source in claimed if source} == {source.id for source in sources}
    assert jobs._claim_source(other) is None


def test_a_claim_whose_lease_ran_out_can_be_taken_over(make: Make, clock: Clock) -> None:
    one, other = make("here:1", sources=(a_source(),)), make("here:2", sources=(a_source(),))
    jobs._claim_source(one)
    clock.at += timedelta(seconds=one.settings.crawl.run_timeout_s) + jobs.LEASE_SLACK
    taken = jobs._claim_source(other)
    assert taken is not None
    assert taken.claimed_by == "here:2"


def test_the_claims_of_a_dead_process_of_this_host_are_given_back(make: Make, clock: Clock) -> None:
    jobs._claim_source(make("here:999999999:1", sources=(a_source(),)))
    assert jobs.release_dead(make(sources=(a_source(),))) == 1
    clock.at += timedelta(seconds=600) + jobs.CRAWL_STARTS_WITHIN
    assert jobs._claim_source(make("here:1", sources=(a_source(),))) is not None


def test_a_source_whose_crawl_died_is_not_asked_again_within_its_period(make: Make, clock: Clock) -> None:
    jobs._claim_source(make("here:999999999:1", sources=(a_source(every_s=60),)))
    clock.at += timedelta(seconds=60)
    service = make("here:1", sources=(a_source(every_s=60),))
    jobs.release_dead(service)
    assert jobs._claim_source(service) is None
    clock.at += jobs.CRAWL_STARTS_WITHIN
    assert jobs._claim_source(service) is not None


def test_a_daily_source_whose_crawl_died_waits_no_longer_than_a_claim_lasts(make: Make, clock: Clock) -> None:
    jobs._claim_source(make("here:999999999:1", sources=(a_source(every_s=86_400),)))
    service = make("here:1", sources=(a_source(every_s=86_400),))
    jobs.release_dead(service)
    clock.at += timedelta(seconds=service.settings.crawl.run_timeout_s) + jobs.LEASE_SLACK
    assert jobs._claim_source(service) is not None


def test_an_inbox_folder_whose_reading_died_is_read_at_once(make: Make, tmp_path: Path) -> None:
    folder = a_source(kind="file", url="", options={"folder": str(tmp_path)})
    jobs._claim_source(make("here:999999999:1", sources=(folder,)))
    service = make("here:1", sources=(folder,))
    jobs.release_dead(service)
    assert jobs._claim_source(service) is not None


def test_the_claim_of_a_dead_process_is_given_back_though_its_pid_lives_again(make: Make) -> None:
    jobs._claim_source(make(f"here:{os.getpid()}:1", sources=(a_source(),)))
    assert jobs.release_dead(make(sources=(a_source(),))) == 1


def test_the_claims_of_a_living_process_are_left_alone(make: Make) -> None:
    jobs._claim_source(make(sources=(a_source(),)))
    assert jobs.release_dead(make(sources=(a_source(),))) == 0


def test_the_claims_of_another_host_are_left_alone(make: Make) -> None:
    jobs._claim_source(make("there:999999999:1", sources=(a_source(),)))
    assert jobs.release_dead(make(sources=(a_source(),))) == 0


# --------------------------------------------------------------------------------------------------- crawl


def test_a_crawl_that_fails_is_kept_as_a_run_and_the_next_turn_comes_later(make: Make) -> None:
    service = make(sources=(a_source(allow_private=True, options={"delay_s": 0}),))
    run = jobs.crawl_due(service)
    source = service.store.get(Source, "s")
    assert run is not None
    assert source is not None
    assert run.outcome == Outcome.FAILED
    assert service.store.get(Run, run.id) == run.but(version=1)
    assert (source.last_outcome, source.n_failures, source.claimed_by) == (Outcome.FAILED, 1, None)
    assert source.next_at == NOW + timedelta(seconds=1200)


def test_crawl_now_asked_for_during_a_run_is_not_forgotten(make: Make, clock: Clock) -> None:
    service = make(sources=(a_source(),))
    claimed = jobs._claim_source(service)
    assert claimed is not None
    service.store.put(claimed.but(next_at=NOW + timedelta(seconds=5)))
    clock.at += timedelta(seconds=10)
    run = a_run(started_at=NOW, finished_at=clock.at)
    jobs._finish(service.store, claimed, run, {})
    source = service.store.get(Source, "s")
    assert source is not None
    assert source.next_at == clock.at


def test_what_a_crawl_learnt_outlives_a_store_that_is_busy_for_a_while(make: Make) -> None:
    service = make(sources=(a_source(kind="file", url=""),))
    busy = jobs.Service(
        settings=service.settings,
        store=EmbeddedStore(service.settings.store_path, busy_timeout_s=0.05),
        clock=service.clock,
        stop=service.stop,
    )
    source = jobs._claim_source(busy)
    assert source is not None
    other = sqlite3.connect(service.settings.store_path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    Timer(0.3, other.execute, ("ROLLBACK",)).start()
    run = jobs.crawl(busy, source)
    left = service.store.get(Source, "s")
    assert left is not None
    assert (left.last_run_id, left.claimed_by) == (run.id, None)
    other.close()
    busy.store.close()


def test_a_crawl_whose_claim_lapsed_does_not_bring_the_next_turn_forward(make: Make, clock: Clock) -> None:
    service = make(sources=(a_source(),))
    lapsed = jobs._claim_source(service)
    assert lapsed is not None
    first = a_run(started_at=NOW, finished_at=NOW + timedelta(seconds=5))
    clock.at += timedelta(hours=1)
    taken = jobs._claim_source(service)
    assert taken is not None
    second = a_run(id="run-2", started_at=clock.at, finished_at=clock.at + timedelta(seconds=5))
    jobs._finish(service.store, taken, second, {})
    jobs._finish(service.store, lapsed, first, {})
    source = service.store.get(Source, "s")
    assert source is not None
    assert (source.next_at, source.last_run_id) == (clock.at + timedelta(seconds=600), "run-2")


def test_a_crawl_whose_claim_lapsed_leaves_the_claim_that_followed(make: Make, clock: Clock) -> None:
    service = make(sources=(a_source(),))
    lapsed = jobs._claim_source(service)
    assert lapsed is not None
    clock.at += timedelta(hours=1)
    taken = jobs._claim_source(service)
    assert taken is not None
    jobs._finish(service.store, lapsed, a_run(started_at=NOW, finished_at=NOW), {})
    source = service.store.get(Source, "s")
    assert source is not None
    assert (source.claimed_by, source.lease_until) == (taken.claimed_by, taken.lease_until)


def test_a_broken_file_in_the_inbox_does_not_keep_the_next_one_waiting() -> None:
    source = Source.model_validate({**dict(a_source(kind="file", url="")), "version": 1})
    assert jobs.next_turn(source, a_run(Outcome.FAILED), n_failures=9) == NOW + timedelta(seconds=600)


def test_a_crawl_in_flight_does_not_undo_that_everything_is_to_be_read_again(make: Make) -> None:
    service = make(sources=(a_source(),))
    claimed = jobs._claim_source(service)
    assert claimed is not None
    claimed = service.store.put(claimed.but(state={"etag": "1"}))
    service.store.put(claimed.but(state={}))
    jobs._finish(service.store, claimed, a_run(), {"etag": "2"})
    source = service.store.get(Source, "s")
    assert source is not None
    assert source.state == {}


def a_run(outcome: Outcome = Outcome.OK, **changes: object) -> Run:
    fields = {"id": "r", "source": "s", "started_at": NOW, "finished_at": NOW, "outcome": outcome, "message": ""}
    return Run.model_validate({**fields, **changes})


@given(n_failures=st.integers(0, 500), every_s=st.integers(5, 10**6), retry_after=st.integers(0, 10**5))
def test_the_next_turn_is_never_before_the_period_nor_before_what_the_site_asked(
    n_failures: int, every_s: int, retry_after: int
) -> None:
    source = Source.model_validate({**dict(a_source(every_s=every_s)), "version": 1})
    at = jobs.next_turn(source, a_run(stats={"retry_after_s": retry_after}), n_failures=n_failures)
    assert at - NOW >= timedelta(seconds=max(every_s, retry_after))
    assert at - NOW <= max(jobs.LONGEST_BACK_OFF, timedelta(seconds=max(every_s, retry_after)))


def test_a_site_that_asks_to_wait_for_ever_is_asked_again_in_a_month() -> None:
    source = Source.model_validate({**dict(a_source()), "version": 1})
    at = jobs.next_turn(source, a_run(stats={"retry_after_s": 1e14}), n_failures=1)
    assert at == NOW + timedelta(days=30)


# -------------------------------------------------------------------------------------------------- ingest


def test_a_spooled_mention_is_cleaned_matched_read_and_stored(service: jobs.Service) -> None:
    spooled(service, [a_mention("山岚咖啡<b>太难喝了</b>，电话13812345678退我钱", topics=())])
    done = jobs.ingest_spool(service)
    (mention,) = service.store.search(MentionQuery()).mentions
    assert done.n_new == 1
    assert mention.topics == ("scenery", "shanlan")
    assert "13812345678" not in mention.text
    assert "<b>" not in mention.text
    assert mention.labels is not None
    assert mention.labels.model_version == service.classifier.version


def test_a_phone_number_in_a_nickname_is_masked_in_the_name_and_not_kept_in_the_id(service: jobs.Service) -> None:
    persona = a_persona(id="weibo:小李13812345678", name="小李13812345678")
    spooled(service, [a_mention("山岚咖啡好喝", topics=(), persona=persona)])
    jobs.ingest_spool(service)
    (mention,) = service.store.search(MentionQuery()).mentions
    assert mention.persona is not None
    assert "13812345678" not in mention.model_dump_json()


def test_an_exclusion_acts_on_its_own_topic_only(service: jobs.Service) -> None:
    spooled(service, [a_mention("山岚咖啡门口山岚缭绕", topics=())])
    jobs.ingest_spool(service)
    assert [mention.topics for mention in service.store.search(MentionQuery()).mentions] == [("scenery",)]


def test_what_belongs_to_no_topic_is_counted_and_left_out(service: jobs.Service) -> None:
    spooled(service, [a_mention("今天天气不错", topics=()), a_mention("  ", topics=())])
    done = jobs.ingest_spool(service)
    assert (done.n_read, done.n_unmatched, done.n_empty) == (2, 1, 1)
    assert service.store.count(MentionQuery()) == 0


def test_a_comment_belongs_to_what_its_thread_is_about(service: jobs.Service) -> None:
    thread = a_mention("山岚咖啡的豆子怎么样", topics=())
    early, late = (a_mention("多少钱一包？", topics=(), parent_id=thread.id, kind="comment") for _ in range(2))
    spooled(service, [early, thread])
    jobs.ingest_spool(service)
    spooled(service, [late], "run-2")
    jobs.ingest_spool(service)
    assert service.store.count(MentionQuery(topics=("shanlan",))) == 3


def test_everything_of_a_source_belongs_to_the_topics_fixed_for_it(make: Make) -> None:
    service = make(sources=(a_source(topics=("shanlan",)),))
    spooled(service, [a_mention("这个应用总闪退", source="s", topics=())])
    jobs.ingest_spool(service)
    assert service.store.count(MentionQuery(topics=("shanlan",))) == 1


def test_the_same_spool_twice_adds_nothing_and_makes_no_second_task(service: jobs.Service, clock: Clock) -> None:
    mentions = [a_mention(f"山岚咖啡第{n}家店的服务员骂人，投诉也没人管，要求退款", topics=()) for n in range(5)]
    spooled(service, mentions)
    jobs.ingest_spool(service)
    n_tasks = service.store.tally(Task)
    clock.at += timedelta(minutes=5)
    spooled(service, mentions, "run-2")
    done = jobs.ingest_spool(service)
    assert (done.n_new, done.n_known) == (0, 5)
    assert service.store.count(MentionQuery()) == 5
    assert service.store.tally(Task) == n_tasks > 0


def test_a_second_crawl_keeps_what_people_said_and_takes_the_new_counts(service: jobs.Service) -> None:
    mention = a_mention("山岚咖啡好喝", topics=(), engagement={"likes": 1})
    spooled(service, [mention])
    jobs.ingest_spool(service)
    review = Review(reviewer="小李", at=NOW, sentiment=Sentiment.NEGATIVE)
    service.store.edit_mention(mention.id, MentionEdit(review=review))
    spooled(service, [mention.model_copy(update={"engagement": Engagement(likes=9), "collected_at": NOW})], "run-2")
    jobs.ingest_spool(service)
    stored = service.store.mentions([mention.id])[mention.id]
    assert (stored.sentiment, stored.engagement.likes) == (Sentiment.NEGATIVE, 9)


def test_reposts_are_folded_over_batches_and_runs(service: jobs.Service) -> None:
    text = "山岚咖啡的桂花冷萃喝完全家拉肚子，门店说和他们没关系，气死我了"
    first = a_mention(text, topics=(), published_at=ago(hours=3))
    copies = [
        a_mention(f"转发微博 //@某人:{text}" if n else f"{text}！", topics=(), published_at=ago(hours=2))
        for n in (0, 1)
    ]
    spooled(service, [first])
    jobs.ingest_spool(service)
    spooled(service, copies, "run-2")
    jobs.ingest_spool(service)
    stored = service.store.search(MentionQuery(story_id=first.id)).mentions
    assert {mention.id: mention.is_copy for mention in stored} == {
        first.id: False,
        copies[0].id: True,
        copies[1].id: True,
    }


def test_a_forward_is_read_with_what_it_forwards(service: jobs.Service) -> None:
    chain = "//@某人:他们家的咖啡喝完拉肚子一整夜，门店说和他们没关系，电话也没人接"
    forward, alone = (a_mention(f"山岚咖啡还在宣传新品，心真大{more}", topics=()) for more in (chain, ""))
    spooled(service, [forward, alone])
    jobs.ingest_spool(service)
    stored = service.store.mentions([forward.id, alone.id])
    assert (stored[forward.id].sentiment, stored[forward.id].intent) == (Sentiment.NEGATIVE, Intent.COMPLAINT)
    assert stored[alone.id].intent != Intent.COMPLAINT


def test_two_people_who_say_a_few_same_words_are_not_folded(service: jobs.Service) -> None:
    spooled(service, [a_mention("山岚咖啡好喝", topics=()), a_mention("山岚咖啡好喝", topics=())])
    jobs.ingest_spool(service)
    assert service.store.count(MentionQuery(copies="fold")) == 2


def test_a_task_that_a_kill_kept_from_being_made_is_made_the_next_time(
    service: jobs.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled(service, [a_mention("山岚咖啡的店员骂人，投诉没人管，要求退款", topics=())])
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "make_tasks", _killed)
        with pytest.raises(KeyboardInterrupt):
            jobs.ingest_spool(service)
    assert service.store.count(MentionQuery()) == 1
    jobs.ingest_spool(service)
    assert service.store.tally(Task) == 1


def _killed(*_: object) -> int:
    raise KeyboardInterrupt


def test_a_mention_full_of_numbers_stops_neither_itself_nor_the_others(service: jobs.Service) -> None:
    numbers = " ".join(str(20_000_000 + n) for n in range(40_000))
    spooled(service, [a_mention(f"山岚咖啡 {numbers}", topics=())])
    spooled(service, [a_mention("山岚咖啡好喝", topics=())], "run-2")
    assert jobs.ingest_spool(service).n_new == 2


def test_the_same_words_outside_the_window_are_a_new_story(make: Make) -> None:
    service = make(retention=RetentionSettings(mentions_days=900))
    text = "山岚咖啡的桂花冷萃喝完全家拉肚子，门店说和他们没关系"
    spooled(service, [a_mention(text, topics=(), published_at=ago(days=n)) for n in (300, 1)])
    jobs.ingest_spool(service)
    assert service.store.count(MentionQuery(copies="fold")) == 2


def test_what_is_older_than_the_retention_is_counted_and_left_out(service: jobs.Service) -> None:
    spooled(service, [a_mention("山岚咖啡好喝", topics=(), published_at=ago(days=500))])
    done = jobs.ingest_spool(service)
    assert (done.n_new, done.n_expired) == (0, 1)


def test_a_persona_that_a_later_mention_of_the_batch_links_is_linked_in_the_earlier_one_too(
    service: jobs.Service,
) -> None:
    order = Order(number="SL202611180012", at=NOW, amount=20)
    service.store.put(Customer(id="C1", name="林", orders=(order,), created_at=NOW, updated_at=NOW))
    words = ("山岚咖啡等了半小时", "山岚咖啡订单 SL202611180012 没退")
    spooled(service, [a_mention(text, topics=(), persona=a_persona(7)) for text in words])
    jobs.ingest_spool(service)
    assert service.store.count(MentionQuery(customer_id="C1")) == 2


def test_customers_imported_on_screen_find_their_mentions(service: jobs.Service) -> None:
    spooled(service, [a_mention("山岚咖啡好喝", topics=(), persona=a_persona(7))])
    jobs.ingest_spool(service)
    service.store.put(Customer(id="C1", name="林", handles=("weibo:u7",), created_at=NOW, updated_at=NOW))
    service.store.put(LogEntry(id="x", at=NOW, actor="小李", action="import"))
    assert [jobs.relink_after_import(service) for _ in range(2)] == [True, False]
    assert service.store.count(MentionQuery(customer_id="C1")) == 1


def test_a_damaged_spool_line_is_kept_with_its_error_and_the_others_go_in(service: jobs.Service) -> None:
    spooled(service, [a_mention("山岚咖啡好喝", topics=())])
    (file,) = pending(service.settings.spool_dir)
    file.path.write_bytes(file.path.read_bytes() + b'{"id": "cut\n')
    done = jobs.ingest_spool(service)
    (bad,) = [json.loads(line) for line in file.bad_path.read_text(encoding="utf-8").splitlines()]
    assert done.n_new == 1
    assert bad["reason"]
    assert pending(service.settings.spool_dir) == []


class RefusingStore(EmbeddedStore):
    """Can never take a certain text, as a server's mapping may not."""

    def add_mentions(self, mentions: Sequence[Mention], *, now: datetime) -> Added:
        refused = {mention.id: "value too long" for mention in mentions if "太长" in mention.text}
        added = super().add_mentions([mention for mention in mentions if mention.id not in refused], now=now)
        return added.model_copy(update={"refused": refused})


def test_what_the_store_refuses_lies_whole_in_the_bad_pile_and_is_told_with_the_run(make: Make, tmp_path: Path) -> None:
    settings = make().settings
    store = RefusingStore(settings.store_path)
    service = jobs.Service(settings=settings, store=store, clock=Clock(), name=OWN_NAME)
    refused = a_mention("山岚咖啡太长, 喝完拉肚子, 要求退款", topics=())
    spooled(service, [refused, a_mention("山岚咖啡好喝", topics=())])
    store.put(a_run(id="run-1", n_bad=0))
    (file,) = pending(settings.spool_dir)
    file.path.write_bytes(file.path.read_bytes() + b'{"id": "cut\n')
    done = jobs.ingest_spool(service)
    assert (done.n_read, done.n_new, done.n_known, len(done.refused)) == (2, 1, 0, 1)
    cut, kept = (json.loads(line) for line in file.bad_path.read_text(encoding="utf-8").splitlines())
    assert (kept["where"], kept["reason"]) == (refused.id, "value too long")
    assert Mention.model_validate(kept["line"]).text == refused.text
    run = store.get(Run, "run-1")
    assert run is not None
    assert (run.n_new, run.n_bad) == (1, 2)
    assert run.bad_lines == (f"{cut['where']}: {cut['reason']}", f"{refused.id}: value too long")
    assert store.find(Task, {"mention_id": refused.id}) == []
    store.close()


def test_the_name_of_a_topic_is_no_part_of_what_is_read(make: Make) -> None:
    read = []
    for name in ("好想你", "坏小孩"):
        topic = TopicSettings(id="brand", name=name, kind="brand", query=name, names=(name,))
        service = make(topics=(topic,))
        mention = a_mention(f"{name}家的快递到了", topics=())
        spooled(service, [mention])
        jobs.ingest_spool(service)
        stored = service.store.mentions([mention.id])[mention.id]
        assert name in stored.text
        read.append(stored.labels)
    assert read[0] is not None
    assert read[0] == read[1]


def test_a_worker_that_is_asked_to_end_leaves_the_spool_for_the_next_one(make: Make) -> None:
    service = make()
    spooled(service, [a_mention("山岚咖啡好喝", topics=())])
    service.stop.set()
    assert jobs.ingest_spool(service).n_read == 0
    assert jobs.ingest_spool(make()).n_new == 1


def test_only_one_process_of_a_machine_ingests_at_a_time(service: jobs.Service) -> None:
    spooled(service, [a_mention("山岚咖啡好喝", topics=())])
    with jobs.alone(service.settings.spool_dir / "ingest.lock") as alone:
        assert alone
        assert jobs.ingest_spool(service) == jobs.Ingested()
    assert jobs.ingest_spool(service).n_new == 1


def test_a_mention_is_linked_to_the_customer_who_gave_the_handle(service: jobs.Service) -> None:
    service.store.put(Customer(id="C1", name="林", handles=("weibo:u7",), created_at=NOW, updated_at=NOW))
    spooled(service, [a_mention("山岚咖啡好喝", topics=(), persona=a_persona(7))])
    jobs.ingest_spool(service)
    assert service.store.count(MentionQuery(customer_id="C1")) == 1


def test_a_file_given_a_topic_goes_there_whole(service: jobs.Service) -> None:
    done = list(jobs.import_mentions(service, [a_mention("今天天气不错", topics=())], topic="shanlan"))
    assert [part.n_new for part in done] == [1]
    assert service.store.count(MentionQuery(topics=("shanlan",))) == 1


# ------------------------------------------------------------------------------------- watch and housekeep


def test_a_rule_that_is_due_is_evaluated_once_by_one_worker(make: Make) -> None:
    one, other = make("here:1"), make("here:2")
    one.store.put(Rule(id="r", name="R", kind="threshold", at_least=1, sentiment="any", next_at=NOW))
    assert [jobs.watch_due(one), jobs.watch_due(other)] == [True, False]


def test_rules_wait_for_the_first_harvest_of_new_sources_but_not_for_long(make: Make, clock: Clock) -> None:
    rule = RuleSettings(id="r", name="R", kind="threshold", at_least=1, sentiment="any")
    service = make(sources=(a_source(),), rules=(rule,))
    assert not jobs.watch_due(service)
    clock.at += jobs.FIRST_LOOK
    assert jobs.watch_due(service)


def test_a_waiting_task_comes_back_at_its_time_and_its_clock_runs_on_from_then(
    service: jobs.Service, clock: Clock
) -> None:
    task: Task = a_record(Task, state="waiting", owner="小李", due_at=NOW, waiting_until=NOW + timedelta(hours=1))
    service.store.put(task)
    jobs.watch_due(service)
    assert service.store.tally(Task, {"state": "waiting"}) == 1
    clock.at += timedelta(hours=5)
    jobs.watch_due(service)
    (back,) = service.store.find(Task)
    assert (back.state, back.waiting_until) == (TaskState.CLAIMED, None)
    assert back.timeline[-1].at == NOW + timedelta(hours=1)


def test_old_mentions_runs_and_sign_ins_go_and_newer_ones_stay(service: jobs.Service) -> None:
    store = service.store
    old, young = ago(days=500), ago(days=1)
    store.add_mentions([a_mention(published_at=old), a_mention(published_at=young)], now=NOW)
    store.put_all([a_run(id="old", started_at=old), a_run(id="young", started_at=young)])
    store.put_all([Session(id="x", account_id="a", created_at=old, expires_at=old)])
    jobs.housekeep(service)
    assert store.count(MentionQuery()) == 1
    assert [run.id for run in store.find(Run)] == ["young"]
    assert store.tally(Session) == 0
    assert store.tally(Notification) == 0
