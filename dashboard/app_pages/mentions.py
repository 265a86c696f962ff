"""提及: read, judge, hand on."""

from __future__ import annotations

import streamlit as st

from dashboard import actions, context, export, filters, formats, labels, markup, parts, queries, reader, selection
from dashboard.filters import Filters
from index.models import Intent, Mention, Sentiment
from index.store import QueryError

STEP = 20
LIST_HEIGHT = 760
NEWEST, OLDEST = "最新在前", "最早在前"
UNSURE = "待复核"
VIEWS = {
    "全部": Filters(),
    "严重负面": Filters(sentiments=(Sentiment.NEGATIVE,), severity=1),
    "投诉": Filters(intents=(Intent.COMPLAINT,)),
    UNSURE: Filters(unsure=True),
    "我的": Filters(mine=True),
    "已隐藏": Filters(hidden=True),
}
viewer = context.viewer()
scope = viewer.scope
parts.head("提及", "大家在说什么, 哪些要处理")


def view(name: str) -> Filters:
    """With the topic, the time and the platforms that are chosen."""
    return VIEWS[name].but(topic=chosen.topic, window=chosen.window, days=chosen.days, platforms=chosen.platforms)


def pick(mention_id: str) -> None:
    st.query_params["mention"] = mention_id


def show_chips(chosen: Filters) -> None:
    """What narrows the list and has no widget: each can be taken off."""
    now = context.moment()
    chips: dict[tuple[str, ...], str] = {}
    if chosen.since and chosen.until:
        chips["since", "until"] = f"{formats.when(chosen.since, now)} 至 {formats.when(chosen.until, now)}"
    if chosen.story:
        chips[("story",)] = "同一事件簇"
    if chosen.persona:
        chips[("persona",)] = "同一发言者"
    if chosen.customer:
        chips[("customer",)] = "同一客户"
    if chosen.polarity:
        chips[("polarity",)] = f"方面为{labels.SENTIMENT[chosen.polarity]}"
    if chosen.unsure:
        chips[("unsure",)] = f"模型把握不足 {context.settings().nlp.review_below:.0%}"
    if chosen.hidden:
        chips[("hidden",)] = "已隐藏的"
    if chosen.mine:
        chips[("mine",)] = "我负责任务的、我更正过的"
    if chips:
        with st.container(horizontal=True, gap="xsmall"):
            for names, text in chips.items():
                st.button(text, key=f"chip_{names[0]}", icon=":material/close:", on_click=filters.drop, args=names)


def show_query_error(error: QueryError, text: str) -> None:
    """The message, and the query with the place marked."""
    st.error(markup.escape(str(error)), icon=":material/search_off:", title="检索式有误")
    if error.position is not None:
        at = min(error.position, len(text))
        here = markup.escape_inner(text[at : at + 1]) or "此处"
        st.markdown(f"{markup.escape_inner(text[:at])}:red-background[**{here}**]{markup.escape_inner(text[at + 1 :])}")


def neighbours(ids: list[str], opened: str | None) -> tuple[str | None, str | None]:
    """The mentions before and after the opened one, also when it has just left the list because it was judged."""
    if opened in ids:
        place, gap = ids.index(opened), 1
        st.session_state["opened_at"] = (opened, place)
    else:
        known, place = st.session_state.get("opened_at", (None, 0))
        gap = 0
        if opened is None or known != opened:
            return None, None
    return (ids[place - 1] if 0 < place <= len(ids) else None, ids[place + gap] if place + gap < len(ids) else None)


def show_opened(mention_id: str | None, following: str | None = None) -> None:
    opened = queries.mention(scope, mention_id) if mention_id else None
    if opened is None:
        parts.empty("这条提及不存在", "它可能已被删除, 或不在您的监测范围内。")
    else:
        reader.show(opened, context.moment(), following=following)


def make_export(kind: str) -> bytes:
    found = mine if chosen.mine else queries.all_mentions(scope, query, at_most=export.AT_MOST)
    actions.export_logged(viewer, kind, len(found), query.model_dump_json(exclude_defaults=True))
    return export.to_csv(found) if kind == "CSV" else export.to_xlsx(found)


if context.on_phone() and st.query_params.get("mention"):
    st.session_state.pop("url", None)  # the filters are not drawn now: afterwards the URL sets them again
    st.button(
        "返回列表", key="back", type="tertiary", icon=":material/arrow_back:", on_click=filters.drop, args=("mention",)
    )
    show_opened(st.query_params["mention"])
    st.stop()

chosen = parts.filter_row(searchable=True)
now = context.moment()
with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
    st.caption("常用视图", width="content")
    for name in VIEWS:
        n_there = queries.count(scope, view(name).query(now)) if name == UNSURE else 0
        label = f"{name} ({formats.number(n_there)})" if n_there else name
        st.button(label, key=f"view_{name}", type="tertiary", on_click=filters.open_mentions, args=(view(name),))
show_chips(chosen)

query = chosen.query(now)
mine: list[Mention] = []
try:
    if chosen.mine:
        query = query.model_copy(update={"copies": "all"})
        mine = queries.mine(scope, query, viewer.name)
    n = len(mine) if chosen.mine else queries.count(scope, query)
except QueryError as error:
    show_query_error(error, chosen.text)
    st.stop()

shown = st.session_state.get("n_shown", STEP)
oldest_first = st.session_state.get("order") == OLDEST
if chosen.mine:
    found = tuple(reversed(mine) if oldest_first else mine)[:shown]
else:
    found = queries.page(scope, query, shown, oldest_first=oldest_first).mentions
opened_id = st.query_params.get("mention") or (found[0].id if found else None)
ids = [mention.id for mention in found]

with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown(
        f"**{formats.number(n)}** 条提及 :gray[{'含转载' if query.copies == 'all' else '去重后'}]",
        width="stretch",
        help="与打开这里的那个数字是同一个查询。",
    )
    st.segmented_control(
        "排序", [NEWEST, OLDEST], required=True, default=NEWEST, key="order", label_visibility="collapsed"
    )
    before, after = neighbours(ids, opened_id)
    st.button(
        "上一条",
        key="previous",
        type="tertiary",
        icon=":material/keyboard_arrow_up:",
        shortcut="k",
        disabled=before is None,
        on_click=pick,
        args=(before,),
    )
    st.button(
        "下一条",
        key="next",
        type="tertiary",
        icon=":material/keyboard_arrow_down:",
        shortcut="j",
        disabled=after is None,
        on_click=pick,
        args=(after,),
    )
    with st.popover("导出", icon=":material/download:", disabled=not n):
        st.caption(f"导出当前筛选的全部提及 (最多 {export.AT_MOST:,} 条), 导出会记入操作日志。")
        stamp = f"{formats.beijing(now):%Y%m%d-%H%M}"
        st.download_button(
            "CSV 文件", lambda: make_export("CSV"), f"闻声提及-{stamp}.csv", "text/csv", key="csv", on_click="ignore"
        )
        st.download_button(
            "Excel 文件",
            lambda: make_export("XLSX"),
            f"闻声提及-{stamp}.xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            key="xlsx",
            on_click="ignore",
        )

if not found and not st.query_params.get("mention"):
    parts.empty("没有符合条件的提及", "放宽时间或筛选条件; 若确定应该有, 请到“来源”查看采集是否正常。")
    st.stop()

words = parts.words(chosen.text)
tasks = queries.tasks_of(ids)
named = queries.customers_named([mention.customer_id for mention in found if mention.customer_id])
copies = queries.n_copies(scope, query, found)
selection.bar(ids)


def show_list() -> None:
    for mention in found:
        with st.container(border=True, gap="xsmall"):
            marker = ":primary[:material/chevron_right:] " if mention.id == opened_id else ""
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                selection.tick_box(mention.id, f"{marker}:gray[{parts.who_line(mention, now)}]")
                st.button("打开", key=f"open_{mention.id}", type="tertiary", on_click=pick, args=(mention.id,))
            st.markdown(markup.snippet(mention.text, words, limit=110))
            n_copies = copies.get(mention.story_id or "", 0)
            customer = named.get(mention.customer_id or "")
            badges = parts.row_badges(n_copies, tasks.get(mention.id), customer.name if customer else None)
            st.markdown(f"{parts.label_line(mention)} {badges}")
    if len(found) < n and st.button(f"再看 {STEP} 条", icon=":material/expand_more:", width="stretch"):
        st.session_state["n_shown"] = shown + STEP
        st.rerun()


if context.on_phone():
    show_list()
else:
    left, right = st.columns([1, 1], gap="medium")
    with left, st.container(height=LIST_HEIGHT, border=False, gap="xsmall", key="mention_list"):
        show_list()
    with right:
        show_opened(opened_id, after if chosen.unsure else None)
