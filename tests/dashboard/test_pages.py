"""Every page as every role sees it: empty, full, hostile."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import actions, casework, context, queries
from index.models import Alert, Intent, Mention, MentionEdit, ReaderState, Review, Reviewed, Role, Sentiment, Task
from index.store import MentionQuery, Store
from tests.builders import a_record, ago
from tests.dashboard.conftest import APP, somebody, texts
from tests.dashboard.lively import HOSTILE

PAGES = ("overview", "mentions", "alerts", "tasks", "customers", "sources", "model")
OpenPage = Callable[..., AppTest]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_renders_on_an_empty_store(page: OpenPage, name: str) -> None:
    app = page(name)
    assert not app.exception
    assert not app.error
    assert app.title


@pytest.mark.parametrize("role", list(Role))
def test_every_role_reaches_every_page(lively: Store, page: OpenPage, role: Role) -> None:
    app = page("", role=role)
    for name in PAGES:
        app.switch_page(f"app_pages/{name}.py").run()
        assert not app.exception, name
        assert not app.error, name


def test_a_stranger_sees_only_the_sign_in(lively: Store) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert [box.label for box in app.text_input] == ["账号", "密码"]
    assert not app.metric


def test_the_sample_is_entered_with_one_click_and_service_lands_on_its_tasks(lively: Store) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    app.button(key="enter_小李").click().run()
    assert not app.exception
    assert app.title[0].value == "回复任务"


def test_pr_lands_on_the_overview(lively: Store) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    app.button(key="enter_林岚").click().run()
    assert app.title[0].value == "总览"


def test_a_wrong_password_is_told_without_saying_what_is_wrong(store: Store) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    app.text_input(key="login").set_value("nobody")
    app.text_input(key="password").set_value("wrong-password")
    app.button[-1].click().run()
    assert app.error[0].value == "账号或密码不对。"


def test_a_task_that_is_made_while_the_overview_is_drawn_does_not_break_it(store: Store, page: OpenPage) -> None:
    store.put(a_record(Task, created_at=datetime.now(UTC) + timedelta(minutes=1)))
    app = page("overview")
    assert not app.exception
    assert not app.error


def test_hostile_text_shows_as_it_was_written(lively: Store, page: OpenPage) -> None:
    app = page("mentions", mention="weiyan:hostile")
    assert not app.exception
    assert HOSTILE in [each.value for each in app.text]
    for each in app.markdown:
        assert "](javascript" not in each.value
        assert not re.search(r"(?<!\\)<", each.value)


def test_hostile_text_stands_no_chance_on_the_other_pages(lively: Store, page: OpenPage) -> None:
    poison = "]<b>:red[x]\n# =1+1 `a` $b$ |c| http://evil.example :smile:"
    for alert in lively.find(Alert):
        lively.put(alert.but(sentence=poison, owner=poison))
    for task in lively.find(Task):
        lively.put(task.but(title=poison, priority_reasons=(poison,)))
    for name in ("overview", "alerts", "tasks"):
        app = page(name)
        assert not app.exception
        assert not [each.value for each in app.markdown if re.search(r"(?<!\\)<", each.value)], name


def test_a_query_error_is_shown_at_its_place(lively: Store, page: OpenPage) -> None:
    app = page("mentions", q="咖啡 (拉肚子")
    assert not app.exception
    assert app.error
    assert any(":red-background[" in each.value for each in app.markdown)


def test_the_list_is_as_long_as_the_number_says(lively: Store, page: OpenPage) -> None:
    app = page("mentions", q="怪味", time="7d")
    n = context.store().count(MentionQuery(text="怪味", copies="fold"))
    assert f"**{n}** 条提及" in texts(app)
    assert len([button for button in app.button if button.label == "打开"]) == min(n, 20)


def test_the_overview_says_first_what_is_wrong(lively: Store, page: OpenPage) -> None:
    words = texts(page("overview"))
    assert "橙色预警" in words
    assert "同时段通常 3±2 条" in words


def test_the_overview_says_when_all_is_well(store: Store, page: OpenPage) -> None:
    assert "没有未解除的预警" in texts(page("overview"))


def test_a_viewer_sees_nothing_outside_the_scope(lively: Store, page: OpenPage) -> None:
    words = texts(page("mentions", role=Role.PRODUCT, topics=("qingyu",), time="7d"))
    assert "青屿咖啡" in words
    assert "山岚" not in words.replace("山岚咖啡\\|", "")


def test_a_foreign_mention_cannot_be_opened_by_its_link(lively: Store, page: OpenPage) -> None:
    app = page("mentions", role=Role.PRODUCT, topics=("qingyu",), mention="weiyan:hostile")
    assert "这条提及不存在" in texts(app)


def test_two_viewers_never_share_a_cache_entry(lively: Store) -> None:
    everything = MentionQuery()
    assert queries.count((), everything) > queries.count(("qingyu",), everything) > 0
    assert queries.count(("qingyu",), MentionQuery(topics=("shanlan",))) == 0
    assert not queries.page(("nothing",), everything, 10).mentions


def test_one_click_claims_a_task_and_opens_it(lively: Store, page: OpenPage) -> None:
    app = page("tasks", role=Role.SERVICE)
    claim = next(button for button in app.button if button.label == "认领")
    claim.click().run()
    assert not app.exception
    mine = lively.find(Task, {"owner": "service0"})
    assert len(mine) == 1
    assert app.query_params["task"] == mine[0].id


def test_who_is_too_late_is_told_who_has_it(lively: Store, page: OpenPage) -> None:
    app = page("tasks", role=Role.SERVICE)
    claim = next(button for button in app.button if button.label == "认领")
    task = lively.get(Task, claim.key.removeprefix("claim_"))
    assert task is not None
    casework.claim(somebody(lively, name="小周"), task.id)
    claim.click().run()
    assert "小周" in app.error[0].value
    assert "认领了" in app.error[0].value


def test_what_was_typed_is_kept_with_the_task(lively: Store, page: OpenPage) -> None:
    app = page("tasks", role=Role.SERVICE)
    next(button for button in app.button if button.label == "认领").click().run()
    task_id = app.query_params["task"]
    app.text_area(key=f"draft_{task_id}").set_value("您好, 我们正在核实").run()
    task = lively.get(Task, task_id)
    assert task is not None
    assert task.draft == "您好, 我们正在核实"
    again = page("tasks", role=Role.SERVICE, task=task_id)
    assert again.text_area(key=f"draft_{task_id}").value == "您好, 我们正在核实"


def test_a_corrected_label_is_counted_at_once_and_can_be_undone(lively: Store, page: OpenPage) -> None:
    mention = negative(lively)
    app = page("mentions", mention=mention.id)
    before = queries.count((), MentionQuery(sentiments=("negative",)))
    fix = next(each for each in app.get("segmented_control") if each.key.startswith("fix_sentiment"))
    fix.set_value("positive").run()
    assert queries.count((), MentionQuery(sentiments=("negative",))) == before - 1
    app.button(key="undo_button").click().run()
    assert queries.count((), MentionQuery(sentiments=("negative",))) == before


def test_product_sees_no_button_to_hide_or_make_a_task(lively: Store, page: OpenPage) -> None:
    app = page("mentions", role=Role.PRODUCT, mention=negative(lively).id)
    assert not {"隐藏这一条", "建任务"} & {button.label for button in app.button}


def test_on_a_phone_one_sees_the_list_or_the_opened_mention(
    lively: Store, page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "on_phone", lambda: True)
    app = page("mentions", time="7d", q="拉肚子")
    assert "**标注**" not in texts(app)
    next(button for button in app.button if button.label == "打开").click().run()
    assert "**标注**" in texts(app)
    assert not [button for button in app.button if button.label == "打开"]
    app.button(key="back").click().run()
    assert "**标注**" not in texts(app)
    assert app.text_input(key="q").value == "拉肚子"
    assert app.query_params["q"] in ("拉肚子", ["拉肚子"])


def test_after_closing_a_task_the_next_one_is_offered(lively: Store, page: OpenPage) -> None:
    app = page("tasks", role=Role.SERVICE)
    next(button for button in app.button if button.label == "认领").click().run()
    task_id = app.query_params["task"]
    casework.reply(somebody(lively), task_id, "https://example.com/1", "您好")
    app.run()
    app.selectbox(key=f"outcome_{task_id}").set_value("已解决").run()
    app.button(key="close").click().run()
    assert not app.exception
    assert app.query_params["task"] != task_id
    assert "任务已关闭" in texts(app)
    assert app.button(key="claim")


def test_what_was_typed_counts_even_if_the_button_was_drawn_before(lively: Store, page: OpenPage) -> None:
    alert = next(each for each in lively.find(Alert) if each.resolved_at is None)
    app = page("alerts", alert=alert.id)
    app.text_input(key="resolve_why").set_value("已发声明")
    app.button(key="resolve").click().run()
    assert not app.error
    resolved = lively.get(Alert, alert.id)
    assert resolved is not None
    assert resolved.timeline[-1].note == "已发声明"


# ------------------------------------------------------------------------------------- model and review


def a_reader(store: Store, reason: str = "", version: str = "linear-1") -> None:
    state = a_record(ReaderState, model_version=version, fallback_reason=reason, since_at=ago(hours=2))
    store.put(state.but(checked_at=datetime.now(UTC)))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_that_a_fallback_reads_and_how_to_mend_it(lively: Store, page: OpenPage, name: str) -> None:
    a_reader(lively, "模型文件 mentions.onnx 已损坏. 请从发布包恢复")
    app = page(name)
    (banner,) = [each.value for each in app.info]
    assert "linear" in banner
    assert "请从发布包恢复" in banner


def test_no_page_speaks_of_the_model_while_all_is_well(lively: Store, page: OpenPage) -> None:
    a_reader(lively)
    assert not page("overview").info


def test_without_any_model_every_page_says_that_nothing_is_lost(lively: Store, page: OpenPage) -> None:
    a_reader(lively, "找不到模型文件", version="")
    assert "不会丢失" in page("overview").error[0].value


def test_the_model_page_tells_how_far_reading_again_has_come(lively: Store, page: OpenPage) -> None:
    a_reader(lively, version="new-1")
    newest = lively.search(MentionQuery(), limit=10).mentions
    labels = {each.id: each.labels.model_copy(update={"model_version": "new-1"}) for each in newest if each.labels}
    lively.edit_mentions({key: MentionEdit(labels=each) for key, each in labels.items()})
    total = lively.count(MentionQuery(hidden="with"))
    app = page("model")
    assert f"{len(labels)} / {total} 条由 new" in app.get("progress")[0].proto.text


def test_too_few_reviews_are_called_so_and_never_a_hundred_percent(lively: Store, page: OpenPage) -> None:
    a_reader(lively)
    viewer = somebody(lively)
    for mention in lively.search(MentionQuery(sentiments=tuple(Sentiment)), limit=3).mentions:
        actions.confirm(viewer, mention.id, mention.labels)
    app = page("model")
    shown = app.dataframe[0].value
    assert set(shown["合计"]) <= {"样本不足 (n=3)", "–"} | {f"样本不足 (n={n})" for n in range(30)}
    assert "%" not in "".join(shown["合计"])


def test_agreement_is_told_by_head_by_topic_and_by_why_it_was_reviewed(lively: Store, page: OpenPage) -> None:
    a_reader(lively)
    judged(lively, "shanlan", 40, n_wrong=10)
    judged(lively, "qingyu", 30, n_wrong=0, doubtful=True)
    of_head, of_topic = (table.value for table in page("model").dataframe)
    (sentiment,) = of_head[of_head["标注"] == "情感"].to_dict("records")
    assert sentiment == {
        "标注": "情感",
        "待复核的": "100.0% (89%–100%, n=30)",
        "其他的": "75.0% (60%–86%, n=40)",
        "合计": "85.7% (76%–92%, n=70)",
    }
    assert set(of_head[of_head["标注"] == "意图"]["合计"]) == {"–"}
    shown = {name: of_topic[of_topic["主题"] == queries.topics(())[name].name]["情感"].item() for name in TOPICS}
    assert shown == {"shanlan": "75.0% (60%–86%, n=40)", "qingyu": "100.0% (89%–100%, n=30)"}


@pytest.mark.parametrize("reads", ["linear-2", "", None])
def test_the_present_models_agreement_is_never_that_of_another_one(
    lively: Store, page: OpenPage, reads: str | None
) -> None:
    if reads is not None:
        a_reader(lively, version=reads, reason="" if reads else "没有可用的模型")
    judged(lively, "shanlan", 3)
    app = page("model")
    assert not app.dataframe
    next(each for each in app.get("segmented_control") if each.key == "agreement_of").set_value("所有版本").run()
    assert app.dataframe


TOPICS = ("shanlan", "qingyu")


def judged(store: Store, topic: str, n: int, *, n_wrong: int = 0, doubtful: bool = False) -> None:
    """n mentions of one topic alone whose sentiment people judged; linear-1 had read n_wrong of them wrongly."""
    found = store.search(MentionQuery(topics=(topic,), copies="all"), limit=1000).mentions
    found = [each for each in found if each.labels and not set(each.topics) & ({*TOPICS} - {topic})][:n]
    assert len(found) == n
    for place, mention in enumerate(found):
        said = mention.labels.model_copy(update={"model_version": "linear-1"}) if mention.labels else None
        assert said is not None
        other = Sentiment.NEUTRAL if said.sentiment != Sentiment.NEUTRAL else Sentiment.POSITIVE
        review = Review(reviewer="小林", at=context.clock(), sentiment=other if place < n_wrong else said.sentiment)
        store.put(Reviewed(id=mention.id, at=review.at, labels=said, doubtful=doubtful))
        store.edit_mention(mention.id, MentionEdit(labels=said, review=review))


def test_reviews_out_of_sight_are_not_counted(lively: Store, page: OpenPage) -> None:
    a_reader(lively)
    mention = negative(lively)
    assert "shanlan" in mention.topics
    actions.confirm(somebody(lively), mention.id, mention.labels)
    assert page("model").dataframe
    assert not page("model", topics=("qingyu",)).dataframe


def test_who_reviews_stays_on_a_mention_until_all_is_said_and_is_led_to_the_next(lively: Store, page: OpenPage) -> None:
    app = page("mentions", unsure="1", time="7d")
    ids = [button.key.removeprefix("open_") for button in app.button if button.label == "打开"]
    n = context.store().count(MentionQuery(confidence_below=0.5, copies="fold"))
    assert app.button(key="view_待复核").label == f"待复核 ({n})"
    fix = next(each for each in app.get("segmented_control") if each.key.startswith("fix_sentiment"))
    was = lively.mentions([ids[0]])[ids[0]].sentiment
    fix.set_value(next(each for each in Sentiment if each != was)).run()
    assert app.query_params["mention"] in (ids[0], [ids[0]])
    assert app.button(key="view_待复核").label == f"待复核 ({n - 1})"
    app.button(key="confirm").click().run()
    assert app.query_params["mention"] in (ids[1], [ids[1]])
    review = lively.mentions([ids[0]])[ids[0]].review
    assert review is not None
    assert None not in (review.sentiment, review.intent, review.severity, review.aspects)


def test_the_next_one_is_at_hand_after_the_opened_one_left_the_list(lively: Store, page: OpenPage) -> None:
    app = page("mentions", unsure="1", time="7d")
    ids = [button.key.removeprefix("open_") for button in app.button if button.label == "打开"]
    app.button(key="next").click().run()
    fix = next(each for each in app.get("segmented_control") if each.key.startswith("fix_intent"))
    was = lively.mentions([ids[1]])[ids[1]].intent
    fix.set_value(Intent.OTHER if was != Intent.OTHER else Intent.PRAISE).run()
    app.button(key="next").click().run()
    assert app.query_params["mention"] in (ids[2], [ids[2]])


def negative(store: Store) -> Mention:
    return store.search(MentionQuery(sentiments=("negative",)), limit=1).mentions[0]


def test_a_store_that_cannot_be_read_is_told_with_an_id_that_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script() -> None:
        from dashboard import failures
        from index.store import StoreUnavailable

        failures.show(StoreUnavailable("database is locked"))

    app = AppTest.from_function(script).run()
    error_id = re.search(r"编号 (\w{8})", app.error[0].value)
    assert error_id is not None
    assert f"id={error_id.group(1)}" in caplog.text
    assert "database is locked" not in app.error[0].value
