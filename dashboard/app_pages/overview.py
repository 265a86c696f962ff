"""总览: is anything wrong, and why?"""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import streamlit as st

from dashboard import charts, context, failures, filters, formats, labels, last_known, markup, parts, pulse, queries
from dashboard.filters import Filters
from index.store import MentionQuery, StoreError

viewer = context.viewer()
scope = viewer.scope
parts.head("总览", "现在有没有异常, 为什么")
chosen = parts.filter_row()
now = context.moment()
st.session_state["loaded_at"] = now


@st.fragment(run_every=30)
def live(chosen: Filters) -> None:
    """The answer and the figures change in place every 30 s; nothing below them moves."""
    at = context.moment()
    try:
        show_live(chosen, at)
    except StoreError as error:
        if last_known.moment() or not last_known.is_loss(error):
            raise
        last_known.lose(failures.note(error), at)
        st.rerun(scope="app")


def show_live(chosen: Filters, at: datetime) -> None:
    n_new = pulse.n_since(scope, chosen, st.session_state["loaded_at"], at)
    show_state(pulse.state(scope, chosen, at))
    show_figures(pulse.figures(scope, chosen, at))
    label = f"有 {formats.number(n_new)} 条新提及, 点击载入" if n_new else "下面已是最新"
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(label, icon=":material/refresh:", key="load_new", type="tertiary", disabled=not n_new):
            queries.forget()
            st.rerun(scope="app")
        doubtful = chosen.but(unsure=True)
        n_doubtful = queries.count(scope, doubtful.query(at))
        if n_doubtful:
            parts.number(f"待复核 {formats.number(n_doubtful)} 条", doubtful, key="open_unsure")


def show_state(state: pulse.State) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if state.worst is None:
            if parts.freshness(queries.sources(), context.moment()).amber:
                warning = "有来源异常或没有启用, 这些数字可能偏少"
                st.markdown(f":orange[:material/warning:] {markup.escape(state.sentence)} :orange[{warning}]")
            else:
                st.markdown(f":green[:material/check_circle:] **{markup.escape(state.sentence)}**")
            return
        alert = state.worst
        with st.container(gap="xxsmall", width="stretch"):
            level = markup.badge(
                labels.LEVEL[alert.level] + "预警", labels.LEVEL_COLOUR[alert.level], ":material/crisis_alert:"
            )
            st.markdown(f"{level} **{markup.escape(state.clock)}** :gray[· 共 {state.n_open} 条未解除]")
            st.markdown(markup.escape(state.sentence))
        st.button(
            "查看预警", key="worst", type="primary", on_click=parts.goto, args=(parts.ALERTS_PAGE, {"alert": alert.id})
        )


def show_figures(figures: list[pulse.Figure]) -> None:
    with st.grid(5, min_column_width=150, gap="xsmall"):
        for figure in figures:
            with st.container(border=True, gap="xsmall", height="stretch"):
                st.metric(
                    figure.name,
                    figure.value,
                    figure.change,
                    delta_color=figure.colour,
                    delta_arrow="off" if figure.target is None else "auto",
                    delta_description=figure.against if figure.change else None,
                    help=figure.formula,
                    chart_data=list(figure.spark) or None,
                    chart_type="line" if figure.key == "net" else "bar",
                )
                if figure.target is not None:
                    parts.number(figure.link, figure.target, key=f"open_{figure.key}")
                else:
                    st.button(
                        figure.link,
                        key=f"open_{figure.key}",
                        type="tertiary",
                        icon=":material/arrow_outward:",
                        icon_position="right",
                        on_click=parts.goto,
                        args=(parts.TASKS_PAGE,),
                    )


def open_bar() -> None:
    """A bar of the trend opens the mentions it counts."""
    for picked in st.session_state["trend"].selection.selected:
        since, until = chosen.period(now)
        start = axis.starts[picked["data_indices"][0]]
        sentiment = charts.ORDER[picked["series_index"]]
        first, last = max(start, since), min(start + axis.length, until)
        filters.open_mentions(chosen.but(since=first, until=last, sentiments=(sentiment,)))


def open_aspect() -> None:
    for picked in st.session_state["aspects"].selection.selected:
        name = list(reversed(aspect_rows))[picked["data_indices"][0]][0]
        filters.open_mentions(chosen.but(aspects=(name,), polarity=charts.ORDER[picked["series_index"]]))


live(chosen)

axis = charts.buckets(*chosen.period(now))
along = pulse.by_time(scope, chosen, axis, now)
query: MentionQuery = chosen.query(now)
if not sum(along.values()):
    parts.empty("这段时间没有提及", "换一个更长的时间, 或到“来源”查看采集是否正常。")
    st.stop()

with st.container(border=True):
    st.subheader(
        "声量与情感",
        anchor=False,
        help="每根柱子可以点开。虚线是负面平时的上限: 此前 14 天同一时刻的中位数加两倍偏差。",
    )
    marked = [*queries.alerts(scope, since=axis.starts[0]), *queries.alerts(scope, resolved=True, since=axis.starts[0])]
    st.echarts_chart(
        charts.trend(
            axis, along, pulse.bands(scope, chosen, axis), [a for a in marked if chosen.topic in (None, a.topic)]
        ),
        height=290,
        key="trend",
        on_select=open_bar,
        alt=charts.trend_alt(axis, along),
    )

left, right = st.columns([3, 2], gap="medium")
with left:
    with st.container(border=True):
        st.subheader(
            "热点事件",
            anchor=False,
            help="内容相同的提及合为一件; 转载数 = 除首发外的条数。时间超过 7 天时看最近 7 天。",
        )
        stories = pulse.stories(scope, chosen, now)
        if not stories:
            st.caption("这段时间没有被转载的内容。")
        for place, (first, n, platforms) in enumerate(stories, 1):
            with st.container(gap="xxsmall"):
                st.markdown(f"**{place}.** {markup.snippet(first.title or first.text, limit=64)}")
                where = " ".join(labels.platform(name) for name in platforms[:4])
                since = formats.when(first.published_at, now)
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.caption(
                        " · ".join((parts.sentiment_word(first.sentiment), markup.escape(where), f"首发 {since}")),
                        width="stretch",
                    )
                    begin, end = chosen.period(now)
                    begin = max(begin, end - pulse.STORIES_SPAN)
                    target = chosen.but(story=first.id, all_copies=True, since=begin, until=end)
                    parts.number(f"转载 {formats.number(n - 1)}", target, key=f"story_{place}")

    with st.container(border=True):
        st.subheader("竞品声量", anchor=False, help="声量占比 = 该品牌提及 ÷ 全部品牌与竞品提及, 同样的时间与平台。")
        voices = pulse.voices(scope, chosen, now)
        if len(voices) < 2:
            st.caption("还没有竞品主题; 在 settings.toml 里添加 kind 为 competitor 的主题后, 这里显示声量对比。")
        else:
            st.dataframe(
                pd.DataFrame(
                    {
                        "品牌": [voice.name + (" (本品牌)" if voice.own else "") for voice in voices],
                        "提及": [voice.n for voice in voices],
                        "声量占比": [voice.share * 100 for voice in voices],
                        "净情感": [formats.signed(v.net) + parts.sample_note(v.n_read) for v in voices],
                    }
                ),
                hide_index=True,
                column_config={
                    "提及": st.column_config.NumberColumn(format="localized"),
                    "声量占比": st.column_config.ProgressColumn(format="%.1f%%", min_value=0, max_value=100),
                },
                alt=charts.share_alt([(v.name, v.share, v.n) for v in voices]),
            )
            with st.container(horizontal=True):
                for voice in voices:
                    parts.number(
                        f"{voice.name} {formats.number(voice.n)}",
                        chosen.but(topic=voice.topic),
                        key=f"voice_{voice.topic}",
                    )

with right:
    with st.container(border=True):
        st.subheader("说了什么", anchor=False, help="一条提及可以说到几个方面, 每个方面各算一次。点击条形查看。")
        aspect_rows = charts.aspect_rows(queries.group(scope, query, ("aspect_polarity",)))
        if aspect_rows:
            st.echarts_chart(
                charts.aspects(aspect_rows),
                height=90 + 26 * len(aspect_rows),
                key="aspects",
                on_select=open_aspect,
                alt=charts.aspects_alt(aspect_rows),
            )
        else:
            st.caption("这段时间的提及没有说到具体方面。")

    with st.container(border=True):
        st.subheader("新词", anchor=False, help="与前一时段相比, 出现在更大比例的提及里的词; × 是比例的倍数。")
        rising = pulse.rising(scope, chosen, now)
        if not rising:
            st.caption("没有明显上升的词; 前一时段没有数据时, 无法比较。")
        with st.grid(2, min_column_width=130, gap=None):
            for word in rising:
                parts.number(
                    f"{word.word} {word.n} 条 ×{word.lift:.1f}", chosen.but(text=word.word), key=f"word_{word.word}"
                )
