"""Another model comes: it is used and told of, and what the last one read is read again without harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

import jobs
import labelling
import rereading
from index.models import (
    Alert,
    Intent,
    Labels,
    Mention,
    ReaderState,
    Review,
    Reviewed,
    Rule,
    Sentiment,
    Task,
)
from index.readers import outdated
from index.store import MentionQuery
from nlp.classifier import Classifier, NlpError
from nlp.linear import LinearClassifier, load
from nlp.load import Loaded
from settings import Settings, TopicSettings
from tests.builders import NOW, a_mention, a_review, ago, some_labels
from tests.services import Clock, Make, services

COMPLAINT = "山岚咖啡的店员骂人，投诉没人管，要求退款"
OLD = some_labels("neutral", "other", model_version="old-1")


@dataclass
class Disk:
    """What the model files hold; the linear model reads, under the version they name."""

    version: str = "new-1"
    reason: str | None = None
    is_empty: bool = False

    def load(self, _: Settings) -> Loaded:
        if self.is_empty:
            raise NlpError("找不到模型文件")
        rank = 0 if self.reason is None else 2 if self.version.startswith("linear") else 1
        return Loaded(named(self.version), self.reason, rank)

    def fingerprint(self, _: Settings) -> str:
        return f"{self.version}{self.reason}{self.is_empty}"


def named(version: str) -> LinearClassifier:
    return LinearClassifier(replace(load()._weights, version=version))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(labelling, "load_classifier", disk.load)
    monkeypatch.setattr(labelling, "fingerprint", disk.fingerprint)
    monkeypatch.setattr(rereading, "GIVE_WAY_S", 0)
    return disk


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    topics = (TopicSettings(id="shanlan", name="山岚咖啡", kind="brand", query="山岚咖啡"),)
    with services(tmp_path, clock, topics=topics) as made:
        yield made


def filled(service: jobs.Service, *mentions: Mention) -> None:
    service.store.add_mentions(mentions, now=NOW)


def read_all_again(service: jobs.Service) -> int:
    rereading.check_model(service)
    n = 1
    while rereading.reread(service):
        n += 1
    return n


# ---------------------------------------------------------------------------------------------- the model


def test_a_damaged_model_file_lets_the_service_start_and_is_told_with_its_file(make: Make, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mentions.onnx").write_bytes(b"half a file")
    service = make()
    state = rereading.check_model(service)
    assert str(tmp_path / "model") in state.fallback_reason
    assert state.model_version == service.classifier.version
    assert service.store.get(ReaderState, "here") == state
    (mention,) = labelling.read_mentions(service.classifier, [a_mention()], service.listening().hidden)
    assert mention.labels is not None


def test_a_fallback_keeps_its_beginning_until_the_model_is_back(make: Make, disk: Disk, clock: Clock) -> None:
    disk.reason = "已损坏"
    rereading.check_model(make())
    clock.at += timedelta(minutes=5)
    later = rereading.check_model(make("here:2:2"))
    assert (later.since_at, later.checked_at) == (NOW, clock.at)
    disk.reason = None
    back = rereading.check_model(make("here:3:3"))
    assert (back.fallback_reason, back.since_at) == ("", clock.at)


def test_a_model_that_comes_back_is_used_without_a_restart(make: Make, disk: Disk) -> None:
    disk.version, disk.reason = "linear-1", "已损坏"
    service = make()
    rereading.check_model(service)
    disk.version, disk.reason = "new-1", None
    assert rereading.check_model(service).model_version == service.classifier.version == "new-1"


@pytest.mark.parametrize("harm", [{"reason": "已损坏", "version": "linear-1"}, {"is_empty": True}], ids=str)
def test_a_sound_model_in_memory_is_not_given_up_when_its_files_break(
    make: Make, disk: Disk, harm: dict[str, object]
) -> None:
    service = make()
    rereading.check_model(service)
    vars(disk).update(harm)
    state = rereading.check_model(service)
    assert (state.model_version, state.fallback_reason) == ("new-1", "")


def test_a_transformer_that_lacks_something_is_not_given_up_for_the_linear_model(make: Make, disk: Disk) -> None:
    disk.version, disk.reason = "new-1", "linear.npz 已损坏"
    service = make()
    rereading.check_model(service)
    disk.version, disk.reason = "linear-1", "mentions.json 不见了"
    assert rereading.check_model(service).model_version == service.classifier.version == "new-1"


def test_without_any_model_that_is_told_and_mended_as_soon_as_there_is_one(make: Make, disk: Disk) -> None:
    disk.is_empty = True
    service = make()
    state = rereading.check_model(service)
    assert (state.model_version, state.fallback_reason) == ("", "找不到模型文件")
    disk.is_empty = False
    assert rereading.check_model(service).model_version == "new-1"


# ------------------------------------------------------------------------------------------- reading again


@pytest.mark.usefixtures("disk")
def test_all_that_another_model_read_or_none_did_is_read_again_also_what_is_hidden(make: Make) -> None:
    service = make()
    filled(
        service,
        a_mention(labels=OLD),
        a_mention(labels=OLD, hidden="广告"),
        a_mention(labels=OLD, is_copy=True),
        a_mention(),
    )
    read_all_again(service)
    assert service.store.group(MentionQuery(hidden="with"), ["model_version"]) == {("new-1",): 4}


@pytest.mark.usefixtures("disk")
def test_the_newest_are_read_first_batch_by_batch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "BATCH", 2)
    service = make()
    mentions = [a_mention(labels=OLD, published_at=ago(hours=n)) for n in range(5)]
    filled(service, *mentions)
    rereading.check_model(service)
    assert rereading.reread(service)
    left = {mention.id for mention in service.store.search(outdated("new-1")).mentions}
    assert left == {mention.id for mention in mentions[2:]}


@pytest.mark.usefixtures("disk")
def test_a_process_that_takes_over_goes_on_where_the_killed_one_was(
    make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "BATCH", 2)
    killed = make("here:1:1")
    filled(killed, *(a_mention(labels=OLD, published_at=ago(hours=n)) for n in range(5)))
    rereading.check_model(killed)
    rereading.reread(killed)
    clock.at += rereading.TURN_LASTS
    assert read_all_again(make()) == 2
    assert killed.store.count(outdated("new-1")) == 0


@pytest.mark.usefixtures("disk")
def test_when_all_is_read_nothing_is_written(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make()
    filled(service, a_mention(labels=OLD))
    read_all_again(service)
    monkeypatch.setattr(rereading, "keep_labels", _killed)
    assert not rereading.reread(service)


@pytest.mark.usefixtures("disk")
def test_what_people_said_stays_and_what_the_model_had_said_then_is_kept(make: Make) -> None:
    service = make()
    review = Review(reviewer="小李", at=ago(days=1), sentiment=Sentiment.POSITIVE)
    mention = a_mention(COMPLAINT, labels=OLD, review=review)
    filled(service, mention)
    read_all_again(service)
    stored = service.store.mentions([mention.id])[mention.id]
    kept = service.store.get(Reviewed, mention.id)
    assert kept is not None
    assert (stored.review, stored.sentiment, kept.labels, kept.at) == (review, Sentiment.POSITIVE, OLD, review.at)


@pytest.mark.usefixtures("disk")
def test_a_recent_complaint_that_only_now_reads_as_one_gets_its_task_and_an_old_one_does_not(make: Make) -> None:
    service = make()
    recent, old = (a_mention(COMPLAINT, labels=OLD, published_at=ago(hours=hours)) for hours in (70, 74))
    filled(service, recent, old)
    read_all_again(service)
    assert [task.mention_id for task in service.store.find(Task)] == [recent.id]
    assert service.store.mentions([old.id])[old.id].intent == Intent.COMPLAINT


@pytest.mark.usefixtures("disk")
def test_a_risk_word_in_an_old_mention_that_now_reads_as_negative_is_no_new_alert(make: Make, clock: Clock) -> None:
    service = make()
    rule = Rule(id="r", name="风险词", kind="match", words=("骂人",), next_at=NOW, seen_until=ago(minutes=-59))
    service.store.put(rule)
    filled(service, a_mention(COMPLAINT, labels=OLD))
    clock.at += timedelta(hours=1)
    read_all_again(service)
    assert service.store.count(MentionQuery(sentiments=(Sentiment.NEGATIVE,))) == 1
    assert jobs.watch_due(service)
    assert service.store.tally(Alert) == 0


@pytest.mark.usefixtures("disk")
def test_a_kill_before_the_labels_are_written_loses_no_task(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make()
    filled(service, a_mention(COMPLAINT, labels=OLD))
    rereading.check_model(service)
    with monkeypatch.context() as patch:
        patch.setattr(rereading, "keep_labels", _killed)
        with pytest.raises(KeyboardInterrupt):
            rereading.reread(service)
    read_all_again(service)
    assert service.store.tally(Task) == 1
    assert service.store.count(outdated("new-1")) == 0


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@dataclass
class Interrupted:
    """Reads, but meanwhile something happens."""

    inner: Classifier
    meanwhile: Callable[[], object]

    @property
    def version(self) -> str:
        return self.inner.version

    def read(self, texts: Sequence[str]) -> list[Labels]:
        self.meanwhile()
        return self.inner.read(texts)


@pytest.mark.usefixtures("disk")
def test_a_text_that_changes_while_it_is_read_keeps_the_labels_of_its_new_words(make: Make) -> None:
    service = make()
    mention = a_mention("山岚咖啡好喝", labels=OLD)
    filled(service, mention)
    rereading.check_model(service)
    fresh = some_labels("negative", model_version="new-1")
    edited = mention.model_copy(update={"text": COMPLAINT, "labels": fresh, "collected_at": NOW + timedelta(minutes=1)})
    inner = service.reader.loaded.classifier
    service.reader.loaded = Loaded(Interrupted(inner, lambda: service.store.add_mentions([edited], now=NOW)), None)
    rereading.reread(service)
    assert service.store.mentions([mention.id])[mention.id].labels == fresh


@pytest.mark.usefixtures("disk")
def test_a_batch_that_cannot_be_read_stops_no_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "BATCH", 1)
    service = make()
    poison, sound = (a_mention(text, labels=OLD, published_at=ago(hours=n)) for n, text in enumerate(("毒", "好")))
    filled(service, poison, sound)
    rereading.check_model(service)
    inner = service.reader.loaded.classifier

    def fail_once() -> None:
        service.reader.loaded = Loaded(inner, None)
        raise RuntimeError("unreadable")

    service.reader.loaded = Loaded(Interrupted(inner, fail_once), None)
    with pytest.raises(RuntimeError):
        rereading.reread(service)
    rereading.reread(service)
    assert [mention.id for mention in service.store.search(outdated("new-1")).mentions] == [poison.id]
    read_all_again(service)
    assert service.store.count(outdated("new-1")) == 0


def test_a_fallback_reads_nothing_again(make: Make, disk: Disk) -> None:
    disk.version, disk.reason = "linear-1", "已损坏"
    service = make()
    filled(service, a_mention(labels=OLD))
    assert read_all_again(service) == 1
    assert service.store.count(outdated("linear-1")) == 1


def test_machines_of_two_versions_do_not_read_each_others_mentions_in_turn(make: Make, disk: Disk) -> None:
    one = make("one:1:1")
    filled(one, a_mention(labels=OLD))
    rereading.check_model(one)
    disk.version = "new-2"
    other = make("other:1:1")
    rereading.check_model(other)
    assert [rereading.reread(service) for service in (one, other)] == [False, False]
    assert one.store.count(outdated("old-1")) == 0


@pytest.mark.usefixtures("disk")
def test_one_worker_at_a_time_reads_again(make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "BATCH", 1)
    one, other = make("one:1:1"), make("other:1:1")
    filled(one, *(a_mention(labels=OLD) for _ in range(4)))
    for service in (one, other):
        rereading.check_model(service)
    assert [rereading.reread(service) for service in (one, other)] == [True, False]
    clock.at += rereading.TURN_LASTS
    assert rereading.reread(other)


@pytest.mark.usefixtures("disk")
def test_it_gives_way_while_fresh_mentions_come_in(make: Make) -> None:
    service = make()
    filled(service, a_mention(labels=OLD))
    rereading.check_model(service)
    with jobs.alone(service.settings.spool_dir / "ingest.lock"):
        assert rereading.reread(service)
        assert service.store.count(outdated("new-1")) == 1
    rereading.reread(service)
    assert service.store.count(outdated("new-1")) == 0


@pytest.mark.usefixtures("disk")
def test_a_machine_that_is_long_gone_is_forgotten(make: Make, clock: Clock) -> None:
    service = make()
    rereading.check_model(make("gone:1:1"))
    clock.at += timedelta(days=jobs.MACHINE_KNOWN_DAYS, hours=1)
    rereading.check_model(service)
    jobs.housekeep(service)
    assert [state.id for state in service.store.find(ReaderState)] == ["here"]


# ----------------------------------------------------------------------------------------- training rows


@pytest.mark.usefixtures("disk")
def test_a_training_row_holds_peoples_words_alone_and_the_models_beside(make: Make) -> None:
    store = make().store
    said = some_labels("negative", "complaint", aspects="taste:negative")
    mention = a_mention("电话13812345678，好喝", labels=said, review=a_review(intent=None))
    store.add_mentions([mention], now=NOW)
    store.put(Reviewed(id=mention.id, at=NOW, labels=said, doubtful=True))
    (row,) = labelling.training_rows(store, since=None)
    assert (row["sentiment"], row["intent"], row["severity"], row["aspects"], row["polarity"]) == (
        "positive",
        None,
        None,
        None,
        None,
    )
    assert (row["model"]["version"], row["model"]["sentiment"], row["model"]["aspects"]) == (
        "test-1",
        "negative",
        ["taste"],
    )
    assert (row["id"], row["source"], row["doubtful"]) == (mention.id, "weibo", True)
    assert "13812345678" not in str(row)


@pytest.mark.usefixtures("disk")
def test_training_rows_come_in_the_order_of_their_reviews_and_only_those_since(make: Make) -> None:
    store = make().store
    mentions = [a_mention(labels=OLD, review=a_review(at=ago(hours=n))) for n in (1, 3, 2)]
    store.add_mentions([*mentions, a_mention(labels=OLD)], now=NOW)
    store.put_all([Reviewed(id=each.id, at=each.review.at, labels=OLD) for each in mentions if each.review])
    rows = [row["id"] for row in labelling.training_rows(store, since=None)]
    assert rows == [mentions[1].id, mentions[2].id, mentions[0].id]
    assert [row["id"] for row in labelling.training_rows(store, since=ago(hours=2))] == rows[1:]


@pytest.mark.usefixtures("disk")
def test_what_people_said_of_a_text_that_its_author_changed_is_no_training_row(make: Make) -> None:
    store = make().store
    mention = a_mention("喝完拉肚子，客服不理人", labels=OLD, review=a_review())
    store.add_mentions([mention], now=NOW)
    store.put(Reviewed(id=mention.id, at=NOW, labels=OLD, words=mention.words))
    assert len(list(labelling.training_rows(store, since=None))) == 1
    store.add_mentions([mention.model_copy(update={"text": "已解决，客服很负责", "labels": None})], now=NOW)
    assert list(labelling.training_rows(store, since=None)) == []


@pytest.mark.usefixtures("disk")
def test_a_review_that_was_taken_back_is_no_training_row(make: Make) -> None:
    store = make().store
    mention = a_mention(labels=OLD)
    store.add_mentions([mention], now=NOW)
    store.put(Reviewed(id=mention.id, at=NOW, labels=OLD))
    assert list(labelling.training_rows(store, since=None)) == []
