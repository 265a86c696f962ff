"""模型: which model reads, how far re-reading has come, what waits for review, how often people agree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pandas as pd
import streamlit as st

from dashboard import agreement, context, filters, formats, labels, markup, parts, queries
from dashboard.agreement import Judged, Share
from dashboard.filters import WINDOWS, Filters
from index import readers

PERIODS = {7: "近7天", 30: "近30天", 90: "近90天"}
CURRENT, ALL = "当前模型", "所有版本"

viewer = context.viewer()
scope = viewer.scope
now = context.moment()
parts.head("模型", "谁在读提及, 读得准不准")


def show_readers() -> None:
    if not states:
        st.caption("还没有工作进程报告过; 启动后几秒内会出现在这里。")
    for state in states:
        if not state.model_version:
            badge = markup.badge("没有可用的模型", "red", ":material/error:")
        elif state.fallback_reason:
            badge = markup.badge("备用模型", "orange", ":material/warning:")
        else:
            badge = markup.badge("正常", "green", ":material/check_circle:")
        st.markdown(
            f"**{markup.escape(state.model_version or formats.DASH)}** {badge} "
            f":gray[自 {formats.when(state.since_at, now)} · 机器 {markup.escape(state.id)} · "
            f"{formats.ago(state.checked_at, now)}检查过]"
        )
        if state.fallback_reason:
            st.text(state.fallback_reason)
    if version is None and is_any_sound:
        st.caption(":orange[各台机器的模型版本不同。升级到同一版本之后, 才会重读旧提及。]")


def show_progress() -> None:
    counts = queries.by_model()
    total, done = sum(counts.values()), counts.get(version or "", 0)
    if not total:
        st.caption("还没有提及。")
        return
    if version is None:
        said = "; ".join(f"{markup.escape(key or '未读')} {formats.number(n)} 条" for key, n in sorted(counts.items()))
        later = "主模型恢复后, 其余的在后台重读。" if states and not is_any_sound else ""
        st.caption(f"现有标注: {said}。{later}")
        return
    left = total - done
    if not left:
        st.caption(f"全部 {formats.number(total)} 条提及都由 {markup.escape(version)} 读过。")
        return
    st.progress(
        done / total,
        text=f"{formats.number(done)} / {formats.number(total)} 条由 {markup.escape(version)} 读过; "
        f"其余 {formats.number(left)} 条在后台重读, 新的先读。",
    )
    st.caption("人工标注保持不变; 旧提及不会重新触发预警, 只有仍在回复任务时限内的才会补建任务。")


def show_doubtful() -> None:
    least = context.settings().nlp.review_below
    st.caption(f"情感或意图的概率低于 {least:.0%} 的提及 (去重后)。判定过的不再列出。")
    with st.container(horizontal=True):
        for window in (filters.DAY, filters.WEEK, filters.MONTH):
            target = Filters(window=window, unsure=True)
            n = queries.count(scope, target.query(now))
            parts.number(f"{WINDOWS[window]} {formats.number(n)} 条", target, key=f"unsure_{window}")


def shown(share: Share) -> str:
    if share.value is None:
        return f"样本不足 (n={share.n})" if share.n else formats.DASH
    low, high = share.bounds
    return f"{share.value:.1%} ({low:.0%}–{high:.0%}, n={share.n})"


def per_head(judged: Sequence[Judged]) -> pd.DataFrame:
    columns = {"待复核的": agreement.doubtful(judged), "其他的": agreement.others(judged), "合计": judged}
    return pd.DataFrame(
        {
            "标注": list(labels.HEAD.values()),
            **{name: [shown(agreement.of_head(head, some)) for head in labels.HEAD] for name, some in columns.items()},
        }
    )


def per_topic(judged: Sequence[Judged]) -> pd.DataFrame:
    topics = queries.topics(scope)
    return pd.DataFrame(
        {
            "主题": [topic.name for topic in topics.values()],
            **{
                name: [shown(agreement.of_head(head, agreement.of_topic(topic, judged))) for topic in topics]
                for head, name in labels.HEAD.items()
            },
        }
    )


def show_agreement() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        days = st.segmented_control(
            "时间",
            list(PERIODS),
            default=30,
            required=True,
            format_func=PERIODS.__getitem__,
            key="agreement_days",
            label_visibility="collapsed",
        )
        which = st.segmented_control(
            "版本", [CURRENT, ALL], default=CURRENT, required=True, key="agreement_of", label_visibility="collapsed"
        )
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days or 30)
    judged = queries.reviewed(scope, since)
    if which == CURRENT:
        judged = agreement.of_versions(current, judged)
    st.caption(
        "人判定过的提及里, 模型当时的标注与人一致的比例。复核的多是模型没把握的, 所以这不是模型在全部提及上的准确率, "
        "多半偏低。"
    )
    if not judged:
        of_what = "当前模型的标注" if which == CURRENT else ""
        parts.empty(f"这段时间{of_what}还没有人复核过", "到“提及”的“待复核”里判定几条, 这里就有数字。")
        return
    of_what = "、".join(sorted(current)) if which == CURRENT else "各版本"
    st.caption(
        f"{markup.escape(of_what)} 读过而由人复核的 {formats.number(len(judged))} 条, "
        f"其中待复核里的 {len(agreement.doubtful(judged))} 条。"
    )
    st.dataframe(per_head(judged), hide_index=True, alt="每项标注的一致率")
    st.markdown("**按主题**")
    st.dataframe(per_topic(judged), hide_index=True, alt="每个主题的一致率")


states = queries.reader_states()
version, current = readers.best_version(states), readers.in_use(states)
is_any_sound = any(not state.fallback_reason for state in states)
left, right = st.columns([3, 2], gap="medium")
with left, st.container(border=True, height="stretch"):
    st.subheader("现在的模型", anchor=False)
    show_readers()
    show_progress()
with right, st.container(border=True, height="stretch"):
    st.subheader("待复核", anchor=False)
    show_doubtful()
with st.container(border=True):
    st.subheader(
        "与人的一致率",
        anchor=False,
        help=(
            "一致率 = 模型与人相同的条数 ÷ 人判定过的条数 (n), 括号里是 95% 的 Wilson 区间。没有判定的项不计。"
            f"方面用 Jaccard: 两边都说到且褒贬相同的方面 ÷ 任一边说到的方面, n 是方面的个数。少于 {agreement.ENOUGH} "
            "的只写样本不足。"
        ),
    )
    show_agreement()
