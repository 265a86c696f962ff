"""Many mentions at once: checked as one is, repeatable, and given back only where nobody acted since."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dashboard import actions, bulk, casework, queries
from dashboard.access import Viewer
from dashboard.actions import ActionError, Done
from dashboard.fitting import fits
from index.models import Alert, Intent, LogEntry, Mention, Role, Sentiment, Task, TaskState
from index.store import MentionQuery, Store
from tests.dashboard.conftest import somebody, texts

OpenPage = Callable[..., AppTest]
SPIKE = "spike|shanlan-new|@1"


def some(store: Store, n: int = 3, **query: object) -> tuple[str, ...]:
    found = store.search(MentionQuery(**{"topics": ("shanlan",), **query}), limit=n).mentions  # type: ignore[arg-type]
    assert len(found) == n
    return tuple(mention.id for mention in found)


def undone(viewer: Viewer, done: Done) -> Done:
    assert done.undo is not None
    undo, *args = done.undo
    result: Done = undo(viewer, *args)
    return result


def read(store: Store, ids: tuple[str, ...]) -> list[Mention]:
    found = store.mentions(ids)
    return [found[key] for key in ids]


def test_one_reason_hides_all_of_them_and_undo_shows_them_again(lively: Store) -> None:
    viewer, ids = somebody(lively, Role.PR), some(lively)
    before = queries.count((), MentionQuery())
    done = bulk.hide(viewer, ids, "广告或灌水")
    assert queries.count((), MentionQuery()) == before - 3
    assert {mention.hidden for mention in read(lively, ids)} == {"广告或灌水 (pr0)"}
    assert "已取消隐藏 3 条" in undone(viewer, done).text
    assert queries.count((), MentionQuery()) == before
    assert len(lively.find(LogEntry, {"action": "hide"})) == 3


def test_hiding_again_keeps_the_first_reason_and_has_nothing_to_undo(lively: Store) -> None:
    viewer, ids = somebody(lively, Role.PR), some(lively)
    bulk.hide(viewer, ids[:2], "广告或灌水")
    done = bulk.hide(viewer, ids, "涉及个人隐私")
    assert "已隐藏 1 条" in done.text
    assert "2 条早已隐藏" in done.text
    undone(viewer, done)
    assert [mention.hidden is None for mention in read(lively, ids)] == [False, False, True]
    assert bulk.hide(viewer, ids[:2], "x").undo is None


def test_labels_are_corrected_together_and_other_heads_keep_what_was_said(lively: Store) -> None:
    viewer, ids = somebody(lively, Role.PRODUCT), some(lively)
    actions.correct(viewer, ids[0], "severity", 2)
    bulk.correct(viewer, ids, Sentiment.POSITIVE, Intent.PRAISE)
    found = read(lively, ids)
    assert {(each.sentiment, each.intent) for each in found} == {(Sentiment.POSITIVE, Intent.PRAISE)}
    assert found[0].severity == 2


def test_undo_spares_what_somebody_has_corrected_since(lively: Store) -> None:
    viewer, ids = somebody(lively), some(lively)
    done = bulk.correct(viewer, ids, Sentiment.POSITIVE, None)
    actions.correct(somebody(lively, Role.PR), ids[0], "sentiment", Sentiment.NEUTRAL)
    assert "1 条已有新的改动" in undone(viewer, done).text
    first, *others = read(lively, ids)
    assert first.sentiment == Sentiment.NEUTRAL
    assert [each.review for each in others] == [None, None]


def test_correcting_to_what_was_said_already_writes_nothing(lively: Store) -> None:
    viewer, ids = somebody(lively), some(lively)
    bulk.correct(viewer, ids, Sentiment.POSITIVE, None)
    again = bulk.correct(somebody(lively, Role.PR), ids, Sentiment.POSITIVE, None)
    assert again.undo is None
    assert {each.review.reviewer for each in read(lively, ids) if each.review} == {viewer.name}


def test_each_gets_one_task_and_undo_spares_what_was_claimed(lively: Store) -> None:
    viewer = somebody(lively)
    ids = tuple(key for key in some(lively, 12) if queries.task_of(key) is None)[:3]
    casework.make_task(viewer, ids[0])
    done = bulk.make_tasks(viewer, ids)
    assert "已建 2 个任务; 1 条早已有任务" in done.text
    task = queries.task_of(ids[1])
    assert task is not None
    casework.claim(viewer, task.id)
    assert "已撤销 1 个任务; 1 条已有新的改动" in undone(viewer, done).text
    assert [queries.task_of(key).state for key in ids] == [  # type: ignore[union-attr]
        TaskState.OPEN,
        TaskState.CLAIMED,
        TaskState.DISMISSED,
    ]


def test_role_scope_reason_and_choice_are_checked_for_many_too(lively: Store) -> None:
    ids = some(lively)
    with pytest.raises(ActionError, match="没有这个权限"):
        bulk.hide(somebody(lively, Role.PRODUCT), ids, "广告")
    with pytest.raises(ActionError, match="没有这个权限"):
        bulk.make_tasks(somebody(lively, Role.PRODUCT), ids)
    with pytest.raises(ActionError, match="监测范围"):
        bulk.hide(somebody(lively, Role.PR, topics=("qingyu",)), ids, "广告")
    with pytest.raises(ActionError, match="原因"):
        bulk.hide(somebody(lively, Role.PR), ids, " ")
    with pytest.raises(ActionError, match="情感或意图"):
        bulk.correct(somebody(lively), ids, None, None)
    with pytest.raises(ActionError, match="勾选"):
        bulk.make_tasks(somebody(lively), ())


def test_the_bar_stands_only_while_something_is_ticked(lively: Store, page: OpenPage) -> None:
    app = page("mentions", role=Role.PR)
    assert "已选" not in texts(app)
    app.checkbox[0].check().run()
    app.checkbox[1].check().run()
    assert "已选 2 条" in texts(app)
    ids = [box.key.removeprefix("tick_") for box in app.checkbox[:2]]
    app.button(key="bulk_hide").click().run()
    assert not app.exception
    assert all(mention.hidden for mention in read(lively, tuple(ids)))
    assert "已选" not in texts(app)
    app.button(key="undo_button").click().run()
    assert not any(mention.hidden for mention in read(lively, tuple(ids)))


def test_mine_is_what_i_took_or_corrected(lively: Store, page: OpenPage) -> None:
    viewer = somebody(lively)
    corrected = some(lively, 2)
    actions.correct(viewer, corrected[0], "sentiment", "positive")
    bulk.correct(viewer, (corrected[1],), Sentiment.POSITIVE, None)
    task = lively.find(Task, {"state": TaskState.OPEN})[0]
    casework.claim(viewer, task.id)
    found = queries.mine((), MentionQuery(), viewer.name)
    assert {mention.id for mention in found} == {*corrected, task.mention_id}
    assert not queries.mine((), MentionQuery(), "小周")
    assert not queries.mine(("qingyu",), MentionQuery(), viewer.name)
    app = page("mentions", role=Role.SERVICE, mine="1", time="30d")
    assert "**3** 条提及" in texts(app)


def test_a_mention_becomes_evidence_of_an_alert_and_can_be_taken_back(lively: Store) -> None:
    viewer = somebody(lively, Role.PR)
    mention_id = next(key for key in some(lively, 20) if key not in the_alert(lively).evidence)
    done = casework.add_evidence(viewer, SPIKE, mention_id)
    assert the_alert(lively).evidence[0] == mention_id
    with pytest.raises(ActionError, match="已经是"):
        casework.add_evidence(viewer, SPIKE, mention_id)
    undone(viewer, done)
    assert mention_id not in the_alert(lively).evidence
    assert [event.action for event in the_alert(lively).timeline][-2:] == ["evidence_added", "evidence_removed"]
    with pytest.raises(ActionError, match="没有这个权限"):
        casework.add_evidence(somebody(lively), SPIKE, mention_id)


def the_alert(store: Store) -> Alert:
    found = store.get(Alert, SPIKE)
    assert found is not None
    return found


@given(
    sentiment=st.sampled_from([None, *Sentiment]),
    platform=st.sampled_from(["weiyan", "tousu"]),
    text=st.sampled_from(["", "怪味", "咖啡 -加盟", "平台:微言"]),
)
def test_a_list_from_records_is_narrowed_as_a_search_is(
    full: Store, sentiment: Sentiment | None, platform: str, text: str
) -> None:
    query = MentionQuery(text=text, platforms=(platform,), sentiments=(sentiment,) if sentiment else ())
    everything = full.search(MentionQuery(), limit=2000).mentions
    searched = {mention.id for mention in full.search(query, limit=2000).mentions}
    assert {mention.id for mention in everything if fits(query, mention)} == searched


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from tests.dashboard.lively import a_lively_store

    return a_lively_store(tmp_path_factory.mktemp("fits") / "wensheng.db")
