"""What a person may do is checked where it is written, whatever the page showed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from dashboard import actions, bulk, casework, context, queries
from dashboard.actions import ActionError
from index.models import (
    Account,
    Alert,
    AlertState,
    Level,
    Link,
    LinkState,
    LogEntry,
    Mention,
    MentionEdit,
    Mute,
    Record,
    Reviewed,
    Role,
    Sentiment,
    Source,
    Task,
    TaskState,
)
from index.store import MentionQuery, Store, StoreUnavailable
from tests.builders import a_mention, a_record
from tests.dashboard.conftest import somebody

SPIKE = "spike|shanlan-new|@1"


def a_negative(store: Store) -> Mention:
    return store.search(MentionQuery(topics=("shanlan",), sentiments=("negative",)), limit=1).mentions[0]


def an_open_task(store: Store) -> Task:
    return store.find(Task, {"state": TaskState.OPEN})[0]


def test_a_correction_keeps_what_was_said_of_the_other_heads(lively: Store) -> None:
    viewer, mention = somebody(lively, Role.PRODUCT), a_negative(lively)
    actions.correct(viewer, mention.id, "sentiment", "positive")
    actions.correct(viewer, mention.id, "severity", 0)
    review = lively.mentions([mention.id])[mention.id].review
    assert review is not None
    assert (review.sentiment, review.severity, review.reviewer) == ("positive", 0, "product0")


def test_undoing_the_first_correction_gives_the_word_back_to_the_model(lively: Store) -> None:
    viewer, mention = somebody(lively), a_negative(lively)
    done = actions.correct(viewer, mention.id, "sentiment", "positive")
    assert done.undo is not None
    undo, *args = done.undo
    undo(viewer, *args)
    assert lively.mentions([mention.id])[mention.id].review is None


def test_an_aspect_can_be_taken_away(lively: Store) -> None:
    viewer = somebody(lively)
    mention = lively.search(MentionQuery(aspects=("taste",)), limit=1).mentions[0]
    name = mention.aspects[0].name
    actions.correct_aspect(viewer, mention.id, name, None)
    assert name not in [aspect.name for aspect in lively.mentions([mention.id])[mention.id].aspects]


def test_a_hidden_mention_counts_nowhere_until_it_is_shown_again(lively: Store) -> None:
    viewer, mention = somebody(lively), a_negative(lively)
    before = queries.count((), MentionQuery())
    actions.hide(viewer, mention.id, "广告或灌水")
    assert queries.count((), MentionQuery()) == before - 1
    actions.unhide(viewer, mention.id)
    assert queries.count((), MentionQuery()) == before
    assert [entry.action for entry in lively.find(LogEntry, order_by="at")] == ["hide", "unhide"]


def test_product_may_not_hide_and_nobody_hides_without_a_reason(lively: Store) -> None:
    mention = a_negative(lively)
    with pytest.raises(ActionError, match="没有这个权限"):
        actions.hide(somebody(lively, Role.PRODUCT), mention.id, "广告")
    with pytest.raises(ActionError, match="原因"):
        actions.hide(somebody(lively, Role.PR), mention.id, "  ")


def test_nothing_outside_the_scope_can_be_changed(lively: Store) -> None:
    viewer = somebody(lively, Role.ADMIN, topics=("qingyu",))
    for act in (
        lambda: actions.correct(viewer, a_negative(lively).id, "sentiment", "positive"),
        lambda: casework.acknowledge(viewer, SPIKE),
        lambda: casework.claim(viewer, an_open_task(lively).id),
    ):
        with pytest.raises(ActionError, match="监测范围"):
            act()


def test_who_was_locked_out_since_can_do_nothing(lively: Store) -> None:
    viewer = somebody(lively, Role.PR)
    account = lively.get(Account, viewer.account_id)
    assert account is not None
    lively.put(account.but(disabled=True))
    with pytest.raises(ActionError, match="停用"):
        casework.acknowledge(viewer, SPIKE)


def test_an_alert_goes_from_acknowledged_to_resolved_with_all_in_its_timeline(lively: Store) -> None:
    viewer = somebody(lively, Role.PR)
    casework.acknowledge(viewer, SPIKE)
    casework.set_level(viewer, SPIKE, Level.RED, "媒体已报道")
    casework.mute(viewer, SPIKE, 4, "正在处理")
    casework.resolve(viewer, SPIKE, "声量回落")
    alert = lively.get(Alert, SPIKE)
    assert alert is not None
    assert (alert.state, alert.level, alert.owner) == (AlertState.RESOLVED, Level.RED, "pr0")
    assert [event.action for event in alert.timeline][1:] == ["acknowledged", "level_raised", "muted", "resolved"]


def test_service_may_not_resolve_an_alert(lively: Store) -> None:
    with pytest.raises(ActionError, match="没有这个权限"):
        casework.resolve(somebody(lively, Role.SERVICE), SPIKE, "看过了")


def test_a_false_alarm_can_silence_its_rule_on_the_topic(lively: Store) -> None:
    casework.false_alarm(somebody(lively, Role.PR), SPIKE, "阈值太低", 24)
    (silence,) = lively.find(Mute)
    assert (silence.rule, silence.topic) == ("spike", "shanlan-new")


def test_a_false_alarm_about_one_source_leaves_the_other_sources_alone(lively: Store) -> None:
    spike = lively.get(Alert, SPIKE)
    assert spike is not None
    about = {"topic": "", "story_id": "source:feed", "key": "quiet||source:feed", "rule": "quiet"}
    quiet = lively.put(spike.but(id="quiet", version=0, **about))
    casework.false_alarm(somebody(lively, Role.PR), quiet.id, "站点改版", 24)
    (silence,) = lively.find(Mute)
    assert (silence.rule, silence.story_id) == ("quiet", "source:feed")


def test_a_task_by_hand_is_about_the_own_brand_where_the_mention_names_several(lively: Store) -> None:
    mention = a_mention("青屿不如山岚", topics=("qingyu", "shanlan"))
    lively.add_mentions([mention], now=context.clock())
    casework.make_task(somebody(lively), mention.id)
    (task,) = lively.find(Task, {"mention_id": mention.id})
    assert task.topic == "shanlan"


def test_a_task_is_handed_only_to_those_who_can_work_on_it(lively: Store) -> None:
    somebody(lively, Role.PRODUCT, name="程远")
    task = an_open_task(lively)
    with pytest.raises(ActionError, match="程远"):
        casework.assign_task(somebody(lively), task.id, "程远")


def test_the_second_to_claim_is_told_who_was_faster(lively: Store) -> None:
    task = an_open_task(lively)
    casework.claim(somebody(lively, name="小李"), task.id)
    with pytest.raises(ActionError, match=r"小李.*认领了"):
        casework.claim(somebody(lively, name="小周"), task.id)


def test_only_the_owner_or_an_admin_answers_a_claimed_task(lively: Store) -> None:
    task = an_open_task(lively)
    casework.claim(somebody(lively, name="小李"), task.id)
    with pytest.raises(ActionError, match="小李 负责"):
        casework.reply(somebody(lively, name="小周"), task.id, "https://example.com/1", "您好")
    casework.reply(somebody(lively, Role.ADMIN), task.id, "https://example.com/1", "您好")


def test_a_task_waits_goes_on_and_is_closed_with_its_proof(lively: Store) -> None:
    viewer, task = somebody(lively, name="小李"), an_open_task(lively)
    casework.claim(viewer, task.id)
    casework.wait(viewer, task.id, context.clock() + timedelta(hours=2), "等订单号")
    casework.resume(viewer, task.id)
    with pytest.raises(ActionError, match="链接"):
        casework.reply(viewer, task.id, "javascript:alert(1)", "您好")
    casework.reply(viewer, task.id, "https://example.com/1", "您好")
    casework.close(viewer, task.id, "已解决")
    closed = lively.get(Task, task.id)
    assert closed is not None
    assert (closed.state, closed.outcome, closed.reply_url) == (TaskState.CLOSED, "已解决", "https://example.com/1")


def test_a_mention_gets_one_task_only(lively: Store) -> None:
    viewer = somebody(lively)
    mention = lively.mentions(["weiyan:hostile"])["weiyan:hostile"]
    casework.make_task(viewer, mention.id)
    with pytest.raises(ActionError, match="已经有任务"):
        casework.make_task(viewer, mention.id)


def test_a_suggested_link_is_confirmed_and_undone_with_its_history(lively: Store) -> None:
    viewer = somebody(lively)
    link = lively.find(Link, {"state": LinkState.SUGGESTED})[0]
    actions.confirm_link(viewer, link.id)
    assert link.mention_id is not None
    assert lively.mentions([link.mention_id])[link.mention_id].customer_id == link.customer_id
    actions.undo_link(viewer, link.id)
    undone = lively.get(Link, link.id)
    assert undone is not None
    assert undone.state == LinkState.UNDONE
    assert [event.actor for event in undone.history][1:] == [viewer.name, viewer.name]


def test_an_import_writes_nothing_before_it_is_confirmed(store: Store, tmp_path: Path) -> None:
    viewer = somebody(store)
    file = tmp_path / "customers.csv"
    file.write_text("客户编号,姓名\nK1,陈一\n", encoding="utf-8")
    assert actions.import_customers(viewer, file, dry_run=True).n("new") == 1
    assert not queries.find_customers("")
    assert actions.import_customers(viewer, file, dry_run=False).applied
    assert [customer.name for customer in queries.find_customers("")] == ["陈一"]


def test_run_now_makes_a_source_due_and_refuses_one_that_is_off(store: Store) -> None:
    viewer = somebody(store, Role.PR)
    store.put(a_record(Source, id="on", next_at=context.clock() + timedelta(hours=1)))
    store.put(a_record(Source, id="off", enabled=False))
    actions.crawl_now(viewer, "on")
    on = store.get(Source, "on")
    assert on is not None
    assert on.next_at is not None
    assert on.next_at <= context.clock()
    with pytest.raises(ActionError, match="没有启用"):
        actions.crawl_now(viewer, "off")


def test_every_export_stands_in_the_log(lively: Store) -> None:
    actions.export_logged(somebody(lively), "CSV", 12, "拉肚子")
    (entry,) = lively.find(LogEntry, {"action": "export"})
    assert (entry.actor, entry.note) == ("service0", "CSV 12 条: 拉肚子")


# ---------------------------------------------------------------------------------------------- reviews


def test_a_confirmed_mention_has_a_persons_word_on_every_head_and_the_models_is_kept(lively: Store) -> None:
    mention = lively.search(MentionQuery(confidence_below=0.5), limit=1).mentions[0]
    assert mention.labels is not None
    done = actions.confirm(somebody(lively), mention.id, mention.labels)
    review = lively.mentions([mention.id])[mention.id].review
    kept = lively.get(Reviewed, mention.id)
    assert review is not None
    assert kept is not None
    assert (review.sentiment, review.intent, review.severity) == (
        mention.labels.sentiment,
        mention.labels.intent,
        mention.labels.severity,
    )
    assert (kept.labels, kept.doubtful) == (mention.labels, True)
    assert done.undo is not None
    undo, *args = done.undo
    undo(somebody(lively), *args)
    assert lively.mentions([mention.id])[mention.id].review is None


def test_confirming_leaves_what_a_person_has_corrected(lively: Store) -> None:
    mention = lively.search(MentionQuery(sentiments=(Sentiment.NEGATIVE,)), limit=1).mentions[0]
    viewer = somebody(lively)
    actions.correct(viewer, mention.id, "sentiment", Sentiment.POSITIVE)
    actions.confirm(viewer, mention.id, mention.labels)
    stored = lively.mentions([mention.id])[mention.id]
    assert (stored.sentiment, stored.review and stored.review.intent) == (Sentiment.POSITIVE, mention.intent)
    with pytest.raises(ActionError, match="都已由人判定"):
        actions.confirm(viewer, mention.id, mention.labels)


def test_a_review_that_goes_on_keeps_what_the_model_had_said_at_its_beginning(lively: Store) -> None:
    mention = lively.search(MentionQuery(sentiments=(Sentiment.NEGATIVE,)), limit=1).mentions[0]
    assert mention.labels is not None
    viewer = somebody(lively)
    actions.correct(viewer, mention.id, "sentiment", Sentiment.POSITIVE)
    lively.edit_mention(mention.id, MentionEdit(labels=mention.labels.model_copy(update={"model_version": "later"})))
    actions.correct(viewer, mention.id, "severity", 0)
    kept = lively.get(Reviewed, mention.id)
    assert kept is not None
    assert kept.labels == mention.labels


def test_labels_that_came_after_the_page_was_drawn_are_not_confirmed_unseen(lively: Store) -> None:
    mention = a_negative(lively)
    assert mention.labels is not None
    reread = mention.labels.model_copy(update={"sentiment": Sentiment.NEUTRAL, "model_version": "later"})
    lively.edit_mention(mention.id, MentionEdit(labels=reread))
    with pytest.raises(ActionError, match="重读"):
        actions.confirm(somebody(lively), mention.id, mention.labels)
    assert lively.mentions([mention.id])[mention.id].review is None


def test_undoing_a_correction_spares_what_somebody_has_said_since(lively: Store) -> None:
    viewer, mention = somebody(lively), a_negative(lively)
    done = actions.correct(viewer, mention.id, "sentiment", "positive")
    actions.correct(somebody(lively, Role.PR), mention.id, "severity", 2)
    assert done.undo is not None
    undo, *args = done.undo
    with pytest.raises(ActionError, match="新的更正"):
        undo(viewer, *args)
    assert lively.mentions([mention.id])[mention.id].severity == 2


def test_what_was_said_of_a_text_that_its_author_changed_is_judged_anew(lively: Store) -> None:
    viewer, mention = somebody(lively), a_negative(lively)
    actions.confirm(viewer, mention.id, mention.labels)
    assert mention.labels is not None
    solved = mention.labels.model_copy(update={"sentiment": Sentiment.POSITIVE, "model_version": "later"})
    later = mention.collected_at + timedelta(hours=1)
    edited = {"text": "山岚的客服很负责, 已经解决了", "labels": solved, "collected_at": later}
    lively.add_mentions([mention.model_copy(update=edited)], now=later)

    done = actions.correct(viewer, mention.id, "sentiment", Sentiment.POSITIVE)

    review, kept = lively.mentions([mention.id])[mention.id].review, lively.get(Reviewed, mention.id)
    assert review is not None
    assert kept is not None
    assert (review.sentiment, review.intent) == (Sentiment.POSITIVE, None)
    assert kept.labels == solved
    assert done.undo is not None
    undo, *args = done.undo
    undo(viewer, *args)
    assert actions.standing_review(lively.mentions([mention.id])[mention.id]) is None, "still of the former words"


def test_a_change_that_was_saved_is_never_called_undone_because_the_log_fails(
    lively: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mention = a_negative(lively)
    put_all = lively.put_all

    def without_log(records: Sequence[Record]) -> None:
        if any(isinstance(record, LogEntry) for record in records):
            raise StoreUnavailable("disk full")
        put_all(records)

    monkeypatch.setattr(lively, "put_all", without_log)
    with pytest.raises(ActionError, match="已保存"):
        actions.hide(somebody(lively), mention.id, "广告")
    assert lively.mentions([mention.id])[mention.id].hidden is not None


def test_what_nothing_has_read_cannot_be_confirmed(lively: Store) -> None:
    with pytest.raises(ActionError, match="还没有读到"):
        actions.confirm(somebody(lively), "weiyan:hostile", None)


def test_correcting_many_keeps_what_the_model_had_said_of_each(lively: Store) -> None:
    found = lively.search(MentionQuery(), limit=4).mentions
    bulk.correct(somebody(lively), tuple(each.id for each in found), Sentiment.NEUTRAL, None)
    kept = [lively.get(Reviewed, each.id) for each in found if each.sentiment != Sentiment.NEUTRAL]
    assert kept
    assert None not in kept
