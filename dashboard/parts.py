"""Pieces that several pages draw: freshness, the filter row, a mention, what was done and how to undo it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import context, failures, filters, fitting, formats, labels, last_known, markup, queries
from dashboard.actions import ActionError, Done
from dashboard.filters import Filters
from dashboard.last_known import Loss
from index import readers, workers
from index.models import Event, Mention, Sentiment, Source, Task
from index.query import parse
from index.store import QueryError, StoreError

MODEL_PAGE = "app_pages/model.py"
SOURCES_PAGE = "app_pages/sources.py"
TASKS_PAGE = "app_pages/tasks.py"
ALERTS_PAGE = "app_pages/alerts.py"
CUSTOMERS_PAGE = "app_pages/customers.py"
SEARCH_AFTER = "1500ms"
"""A search box searches by itself after this pause; Enter searches at once."""
QUERY_HELP = """
| 写法 | 找到 |
|---|---|
| 咖啡 拉肚子 | 两个词都有 |
| 咖啡 OR 奶茶 | 有一个就行 |
| "换季 新品" | 连在一起的短语 |
| 咖啡 -加盟 | 不要第二个词 |
| (A OR B) AND C | 括号分组 |
| NEAR/5(咖啡 异味) | 相隔不超过 5 个字 |
| 平台:微博 情感:负面 方面:口味 | 按字段 |
"""


# ------------------------------------------------------------------------------------- doing and undoing


@dataclass(frozen=True)
class Typed:
    """As an argument of act: what stands in this input at the click; the button was drawn before it was typed."""

    key: str


def act(action: Callable[..., Done], *args: Any) -> None:
    """A callback: do it as the person signed in, then say what was done or why not."""
    state = st.session_state
    state.pop("undo", None)
    given = [(state.get(each.key) or "") if isinstance(each, Typed) else each for each in args]
    try:
        done = action(context.viewer(), *given)
    except ActionError as error:
        state["said"] = (str(error), "error")
        return
    except StoreError as error:
        error_id = failures.note(error)
        state["said"] = (f"没有执行: 数据库现在用不了, 请稍后再试 (编号 {error_id})", "error")
        return
    state["said"] = (done.text, "check_circle")
    if done.undo:
        state["undo"] = (done.text, done.undo)


def said() -> None:
    """Show what the last action said; offer to undo it while that is the last thing done."""
    state = st.session_state
    if "said" in state:
        text, icon = state.pop("said")
        if icon == "error":
            st.error(markup.escape(text), icon=":material/error:")
        elif "undo" not in state:
            st.toast(markup.escape(text), icon=":material/check_circle:")
    if "undo" in state:
        text, (undo, *args) = state["undo"]
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.markdown(f":material/check_circle: {markup.escape(text)}", width="stretch")
            st.button("撤销", key="undo_button", icon=":material/undo:", on_click=act, args=(undo, *args))
            st.button("知道了", key="undo_close", type="tertiary", on_click=_forget_undo)


def _forget_undo() -> None:
    st.session_state.pop("undo", None)


def goto(page: str, params: Mapping[str, str] | None = None) -> None:
    """A callback: open a page, at one record if named."""
    st.switch_page(page, query_params=params or {})


# ------------------------------------------------------------------------------------------------- frame


@dataclass(frozen=True)
class Freshness:
    text: str
    amber: bool


def freshness(sources: Iterable[Source], now: datetime) -> Freshness:
    """数据更新于 10:32 · 12 个来源正常, 1 个异常; amber if any that is on is late or failed."""
    on = [source for source in sources if source.enabled]
    waiting = sum(queries.is_waiting(source) for source in on)
    sound = sum(queries.is_sound(source, now) for source in on)
    bad = len(on) - waiting - sound
    newest = max((source.last_success_at for source in on if source.last_success_at), default=None)
    if not on:
        return Freshness("没有启用的来源, 不会有新数据", amber=True)
    if newest is None:
        return Freshness(f"{len(on)} 个来源等待首次采集", amber=bad > 0)
    text = f"数据更新于 {formats.when(newest, now).removeprefix('今天 ')} · {sound} 个来源正常"
    text += f", {bad} 个异常" if bad else ""
    text += f", {waiting} 个待首次采集" if waiting else ""
    return Freshness(text, amber=bad > 0)


def head(title: str, question: str) -> None:
    """The title of a page, the question it answers, and at the right how fresh the data are."""
    found = freshness(queries.sources(), context.moment())
    colour = "orange" if found.amber else "gray"
    if last_known.is_old():
        found, colour = Freshness(f"旧数据, 读于 {formats.ago(context.moment(), context.clock())}", amber=True), "gray"
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        with st.container(gap="xxsmall", width="content"):
            st.title(title, anchor=False)
            st.caption(question)
        st.page_link(
            SOURCES_PAGE,
            label=f":{colour}[{found.text}]",
            icon=":material/warning:" if found.amber else ":material/update:",
            help="来源超过两个采集周期没有成功, 或最近一次采集失败, 就算异常。点击查看来源。",
        )


def frame_counts(scope: tuple[str, ...], now: datetime, loss: Loss | None) -> tuple[int, int]:
    """Alerts that nobody has acknowledged and tasks that are late, for the navigation."""
    try:
        with last_known.run(("frame", scope), now, loss):
            at = context.moment()
            return queries.n_unacknowledged(scope), queries.n_overdue(scope, at)
    except last_known.NotKnown:
        return 0, 0


def model_banner(now: datetime, loss: Loss | None) -> None:
    """On every page while not the best model reads: which one, since when, why, what to do."""
    try:
        with last_known.run(("model",), now, loss):
            ill = readers.worst(queries.reader_states())
    except last_known.NotKnown:
        return
    if ill is None:
        return
    since, why = formats.when(ill.since_at, now), markup.escape(ill.fallback_reason)
    if not ill.model_version:
        st.error(
            f"{since} 起没有模型可用, 新采集的内容等在收件夹里, 不会丢失。{why}",
            title="新提及暂时读不了",
            icon=":material/model_training:",
        )
        return
    st.info(
        f"{since} 起由 {markup.escape(ill.model_version)} 代读, 标注会粗一些。{why}。"
        "恢复后自动换回, 并重读这段时间的提及。",
        title="备用模型在读",
        icon=":material/model_training:",
    )


def roles_banner(now: datetime, loss: Loss | None) -> None:
    """On every page while workers are known and something is done by none of them."""
    try:
        with last_known.run(("workers",), now, loss):
            states = queries.worker_states()
    except last_known.NotKnown:
        return
    if not states or loss is not None:
        return
    missing = workers.unfilled(states, now)
    if missing:
        st.warning(
            f"没有一个运行中的工作进程担任: {'; '.join(labels.WORKER_ROLE[role] for role in missing)}。"
            f"请启动担任它的机器, 或在 [worker] roles 里加上 {', '.join(missing)}。",
            title="有事没人做",
            icon=":material/engineering:",
        )


@st.fragment(run_every=5)
def lost(loss: Loss) -> None:
    """The banner of a lost store; as soon as it answers again, the page is drawn anew."""
    now = context.clock()
    if not last_known.resting(now):
        try:
            context.signed_in()
        except StoreError:
            last_known.lose(loss.error_id, now)
        else:
            last_known.found_again()
            st.rerun(scope="app")
    st.warning(
        f"{formats.when(loss.at, now)} 起读不到数据。下面是断开之前看到的数据, 会变旧; 现在所做的操作都不会保存。"
        f"恢复后本页自动刷新; 若持续出现, 请把编号 {loss.error_id} 发给管理员。",
        title="数据库连不上",
        icon=":material/cloud_off:",
    )


def filter_row(*, searchable: bool = False) -> Filters:
    """The row of every page with figures; a list of mentions also has the search box and more filters."""
    scope = context.viewer().scope
    topics = {key: topic.name for key, topic in queries.topics(scope).items()}
    found = queries.sources()
    platforms = {source.platform: labels.platform(source.platform) for source in found}
    sources = {source.id: source.name for source in found}
    filters.begin(topics, platforms, sources)
    chosen = filters.row(topics, dict(sorted(platforms.items(), key=_second)))
    if searchable:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            text = st.text_input(
                "检索",
                key="q",
                live=SEARCH_AFTER,
                placeholder="检索提及, 例如: 拉肚子 -加盟",
                icon=":material/search:",
                label_visibility="collapsed",
                help=QUERY_HELP,
            )
            chosen = filters.more(chosen.but(text=text or ""), sources)
    return filters.finish(chosen)


def _second(item: tuple[str, str]) -> str:
    return item[1]


def empty(what: str, next_step: str) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f":gray[:material/inbox: {what}]", text_alignment="center")
        st.caption(next_step, text_alignment="center")


def number(label: str, target: Filters, *, key: str) -> None:
    """A number that opens the mentions behind it."""
    st.button(
        label,
        key=key,
        type="tertiary",
        icon=":material/arrow_outward:",
        icon_position="right",
        on_click=filters.open_mentions,
        args=(target,),
    )


def sample_note(n: int) -> str:
    return " · 样本少" if n < formats.SMALL_SAMPLE else ""


# ---------------------------------------------------------------------------------------------- mentions


def words(text: str) -> tuple[str, ...]:
    """What a query looks for, to be marked; an unfinished query marks nothing."""
    if not text.strip():
        return ()
    try:
        return markup.words_of(parse(text))
    except QueryError:
        return ()


def label_line(mention: Mention) -> str:
    """The labels as badges; a person's word has a tick, the model's its probability."""
    if mention.sentiment is None:
        return markup.badge("未标注", "gray", ":material/hourglass_empty:")
    read, review = mention.labels, mention.review
    sentiment_by_person = review is not None and review.sentiment is not None
    sure = f" {read.sentiment_probability * 100:.0f}%" if read and not sentiment_by_person else ""
    icon = ":material/how_to_reg:" if sentiment_by_person else labels.SENTIMENT_ICON[mention.sentiment]
    badges = [
        markup.badge(labels.SENTIMENT[mention.sentiment] + sure, labels.SENTIMENT_COLOUR[mention.sentiment], icon)
    ]
    if mention.intent is not None:
        doubt = f" {read.intent_probability * 100:.0f}%" if read and "intent" in doubts(mention) else ""
        colour = labels.INTENT_COLOUR.get(mention.intent, "gray")
        badges.append(markup.badge(labels.INTENT[mention.intent] + doubt, colour))
    if mention.severity:
        badges.append(markup.badge(labels.SEVERITY[mention.severity], "red"))
    badges += [
        markup.badge(
            labels.aspect(each.name) + labels.POLARITY_SIGN[each.polarity], labels.SENTIMENT_COLOUR[each.polarity]
        )
        for each in mention.aspects[:4]
    ]
    return " ".join(badges)


def doubts(mention: Mention) -> list[str]:
    """The heads of which the model is not sure."""
    return fitting.doubts(mention, context.settings().nlp.review_below)


def who_line(mention: Mention, now: datetime) -> str:
    """Platform, persona and time on one line of Markdown."""
    persona = mention.persona
    pieces = [f"{labels.KIND_ICON[mention.kind]} {markup.escape(labels.platform(mention.platform))}"]
    if persona is not None:
        mark = " :material/verified:" if persona.verified else ""
        fans = f" ({formats.number(persona.followers)} 粉丝)" if persona.followers else ""
        pieces.append(f"{markup.escape(persona.name)}{mark}{fans}")
    pieces.append(formats.when(mention.published_at, now))
    return " · ".join(pieces)


def row_badges(n_copies: int, task: Task | None, customer: str | None) -> str:
    badges = []
    if n_copies:
        badges.append(markup.badge(f"转载 {formats.number(n_copies)}", "violet"))
    if customer:
        badges.append(markup.badge(f"客户 {customer}", "blue", ":material/person:"))
    if task is not None:
        badges.append(markup.badge(f"任务 {labels.TASK_STATE[task.state]}", "gray", ":material/task_alt:"))
    return " ".join(badges)


def full_text(mention: Mention) -> None:
    """The whole text exactly as it was written (st.text renders nothing)."""
    if mention.title and not mention.text.startswith(mention.title):
        st.markdown(f"**{markup.escape(mention.title)}**")
    st.text(mention.text)


def original(mention: Mention) -> None:
    """A link to the original page; only http and https are offered."""
    if mention.url.startswith(("https://", "http://")):
        st.link_button("打开原文", mention.url, icon=":material/open_in_new:", help="在新页面打开原始链接")
    else:
        st.caption("来源没有给出原文链接")


def quote(mention: Mention, now: datetime, *, key: str, found: Sequence[str] = (), note: str = "") -> None:
    """A short mention among others, with a button that opens it."""
    with st.container(border=True, gap="xsmall", height="stretch"):
        st.caption(who_line(mention, now) + (f" {markup.badge(note, 'violet')}" if note else ""))
        st.markdown(markup.snippet(mention.text, tuple(found), limit=110))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(label_line(mention), width="stretch")
            st.button(
                "查看", key=key, type="tertiary", icon=":material/open_in_full:", on_click=open_one, args=(mention.id,)
            )


def open_one(mention_id: str) -> None:
    goto(filters.MENTIONS_PAGE, {"mention": mention_id})


# ---------------------------------------------------------------------------------------------- timeline


def timeline(events: Sequence[Event], now: datetime) -> None:
    """Who did what when, newest first."""
    if not events:
        st.caption("还没有记录。")
    for event in reversed(events):
        actor = labels.actor(event.actor)
        note = f" — {markup.escape(event.note)}" if event.note else ""
        done = f"**{markup.escape(actor)}** {markup.escape(labels.action(event.action))}{note}"
        st.markdown(f":gray[{formats.when(event.at, now)}]  {done}")


def sentiment_word(sentiment: Sentiment | None) -> str:
    return labels.SENTIMENT[sentiment] if sentiment else "未标注"
