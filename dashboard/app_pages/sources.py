"""来源: where the data come from, whether the crawls are well, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st

from dashboard import actions, charts, context, formats, labels, markup, parts, queries
from index import workers
from index.models import Outcome, Role, Run, Source
from index.store import MentionQuery

viewer = context.viewer()
scope = viewer.scope
now = context.moment()
parts.head("来源", "数据从哪里来, 采集是否正常")


def state_badge(source: Source) -> str:
    if not source.enabled:
        return markup.badge("未启用", "gray", ":material/toggle_off:")
    if source.last_outcome is None:
        return markup.badge("等待首次采集", "gray", ":material/schedule:")
    if queries.is_sound(source, now):
        return markup.badge(labels.OUTCOME[source.last_outcome], "green", ":material/check_circle:")
    if source.last_outcome in queries.SOUND:
        return markup.badge("超过两个周期没有采集", "orange", ":material/schedule:")
    colour = labels.OUTCOME_COLOUR[source.last_outcome]
    return markup.badge(labels.OUTCOME[source.last_outcome], colour, ":material/error:")


def why_off(source: Source) -> str:
    if not source.basis or source.reviewed is None:
        return "没有登记合规依据和复核日期, 登记后才能启用。"
    return "已在设置中关闭。"


def show_runs(runs: Sequence[Run]) -> None:
    """The log: each run with its outcome in words and the lines it could not read."""
    if not runs:
        st.caption("还没有采集过。")
    for run in runs:
        n_new = "待入库" if run.n_new is None else f"新增 {run.n_new}"
        took = formats.span((run.finished_at - run.started_at).total_seconds())
        outcome = markup.badge(labels.OUTCOME[run.outcome], labels.OUTCOME_COLOUR[run.outcome])
        st.markdown(
            f"{outcome} {formats.when(run.started_at, now)} :gray[用时 {took} · 请求 {run.n_requests} 次 · "
            f"读到 {run.n_items} 条 · {n_new}]"
        )
        if run.message:
            st.text(run.message)
        if run.n_bad:
            st.caption(f"{run.n_bad} 行读不懂, 已另存, 不影响其余:")
            st.code("\n".join(run.bad_lines) or "没有留下样本", language=None, wrap_lines=True)


def show(source: Source, per_day: Sequence[int]) -> None:
    with st.container(border=True):
        facts, chart = st.columns([3, 2], gap="medium")
        with facts:
            st.markdown(f"**{markup.escape(source.name)}** {state_badge(source)}")
            st.caption(
                f"{labels.SOURCE_KIND[source.kind]} · {markup.escape(labels.platform(source.platform))} · "
                f"{formats.every(source.every_s)} · 最近成功 {formats.when(source.last_success_at, now)} · "
                f"下次 {next_run(source)}"
            )
            if source.n_failures:
                st.caption(f":red[已连续 {source.n_failures} 次没有成功]")
            if last_messages.get(source.id):
                st.text(last_messages[source.id])
            if not source.enabled:
                st.caption(f":orange[{why_off(source)}]")
            reviewed = source.reviewed.isoformat() if source.reviewed else "未复核"
            st.caption(f"合规依据: {markup.escape(source.basis) or '未登记'} · 复核日期 {reviewed}")
        with chart:
            st.metric(
                "近 14 天新增",
                formats.number(sum(per_day)),
                chart_data=list(per_day) if any(per_day) else None,
                chart_type="bar",
                help="按发布日计; 只算命中监测主题, 并且不是先由别的来源收录的提及。",
            )
            if not any(per_day) and source.last_outcome == Outcome.OK:
                st.caption("读到的内容没有命中监测主题, 或已先由别的来源收录。")
        with st.container(horizontal=True, vertical_alignment="center"):
            if viewer.may(Role.PR, Role.SERVICE):
                st.button(
                    "立即采集",
                    key=f"crawl_{source.id}",
                    icon=":material/play_arrow:",
                    disabled=not source.enabled or source.kind == "file",
                    on_click=parts.act,
                    args=(actions.crawl_now, source.id),
                )
            log = st.popover("查看日志", icon=":material/receipt_long:", key=f"log_{source.id}", on_change="rerun")
            if log.open:
                with log:
                    show_runs(queries.runs(source.id, limit=10))
            if source.url.startswith(("http://", "https://")):
                st.link_button("打开网址", source.url, type="tertiary", icon=":material/open_in_new:")


def next_run(source: Source) -> str:
    if not source.enabled:
        return formats.DASH
    if source.lease_until is not None and source.lease_until > now:
        return "正在采集"
    if source.next_at is None or source.next_at <= now:
        return "马上"
    return f"{formats.span((source.next_at - now).total_seconds())}后"


def order(source: Source) -> tuple[bool, bool, str]:
    """What needs somebody comes first, what is off last."""
    return (not source.enabled, queries.is_sound(source, now) or queries.is_waiting(source), source.name)


def day_counts(at: datetime) -> tuple[charts.Buckets, dict[str, list[int]]]:
    axis = charts.buckets(at - timedelta(days=13, hours=1), at)
    query = MentionQuery(since=axis.starts[0], until=at.replace(second=0, microsecond=0) + timedelta(minutes=1))
    counts = queries.group(scope, query, ("source", "day"))
    return axis, {
        source_id: [counts.get((source_id, key), 0) for key in axis.keys] for source_id in {key[0] for key in counts}
    }


def show_workers() -> None:
    """Who crawls, reads again and decides, on which machine."""
    st.subheader("工作进程", anchor=False)
    running = workers.running(queries.worker_states(), now)
    if not running:
        st.caption("没有工作进程在运行。")
    for state in running:
        machine, _, process = state.id.partition(":")
        roles = " ".join(markup.badge(labels.WORKER_ROLE[role], "gray") for role in state.roles)
        st.markdown(
            f"{markup.escape(machine)} {roles} "
            f":gray[进程 {markup.escape(process.partition(':')[0])} · 自 {formats.when(state.started_at, now)}]"
        )


found = queries.sources()
if not found:
    parts.empty("还没有来源", "在 settings.toml 里添加 [[sources]], 写明网址和合规依据, 重启后即开始采集。")
    st.stop()

last_messages = queries.last_messages(found)
axis, per_source = day_counts(now)
n_on = sum(source.enabled for source in found)
st.caption(f"共 {len(found)} 个来源, 启用 {n_on} 个。需要处理的排在前面。")
for source in sorted(found, key=order):
    show(source, per_source.get(source.id, [0] * len(axis.keys)))
with st.container(border=True):
    show_workers()
