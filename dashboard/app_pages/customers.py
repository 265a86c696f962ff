"""客户: who is it, what have they said, which account is theirs and how is that known."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import actions, charts, context, filters, formats, labels, markup, parts, queries
from dashboard.filters import Filters
from index.customer_file import COLUMNS
from index.customers import ImportReport
from index.models import Customer, Link, LinkState, Role
from index.store import MentionQuery

CHANGES = {"new": "新增", "changed": "更新", "same": "不变"}
SHOWN = 200

viewer = context.viewer()
scope = viewer.scope
now = context.moment()
parts.head("客户", "是谁, 说过什么, 账号怎么对上的")


def open_customer(customer_id: str) -> None:
    st.query_params["customer"] = customer_id


def back() -> None:
    st.query_params.pop("customer", None)


def who(customer: Customer) -> str:
    group = markup.badge(labels.GROUP[customer.group], "blue") if customer.group else markup.badge("未分组", "gray")
    tier = markup.badge(customer.tier, "violet") if customer.tier else ""
    return f"**{markup.escape(customer.name)}** {group} {tier}"


def show_list() -> None:
    wanted = st.text_input(
        "搜索客户",
        key="customer_q",
        live=parts.SEARCH_AFTER,
        bind="query-params",
        placeholder="姓名、手机尾号、平台账号或订单号",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    if viewer.may(Role.SERVICE):
        show_suggestions()
        with st.expander("从文件导入客户", icon=":material/upload:"):
            show_import()
    found = queries.find_customers(wanted or "")
    if not found and wanted:
        parts.empty("没有找到这位客户", "检查有没有多余的空格, 或换用订单号、手机尾号再试。")
    elif not found:
        parts.empty("还没有客户", "用上面的“从文件导入客户”导入 CSV 或 Excel, 写入前会先给出预览。")
    elif not wanted:
        st.caption("最近下单的客户")
    for customer in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            with st.container(gap="xxsmall", width="stretch"):
                st.markdown(who(customer))
                total = sum(order.amount for order in customer.orders)
                tail = f"尾号 {markup.escape(customer.phone_tail)} · " if customer.phone_tail else ""
                st.caption(
                    f"{tail}订单 {len(customer.orders)} 笔, {formats.money(total)} · "
                    f"最近 {formats.when(customer.last_order_at, now)}"
                )
            st.button("查看", key=f"open_{customer.id}", type="tertiary", on_click=open_customer, args=(customer.id,))


def show_suggestions() -> None:
    found = queries.links({"state": LinkState.SUGGESTED})
    if not found:
        return
    named = queries.customers_named([link.customer_id for link in found[:SHOWN]])
    with st.expander(f"待确认的关联 ({len(found)})", icon=":material/help:"):
        st.caption("只有客户自己的行为 (留下账号、写出订单号) 才会自动关联; 其余由人判断。")
        for link in found[:20]:
            customer = named.get(link.customer_id)
            show_link(link, f"{link.persona_name} ↔ {customer.name if customer else link.customer_id}")


def show_link(link: Link, title: str) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            state = markup.badge(labels.LINK_STATE[link.state], labels.LINK_STATE_COLOUR[link.state])
            st.markdown(f"{state} **{markup.escape(title)}**", width="stretch")
            if viewer.may(Role.SERVICE):
                if link.state == LinkState.LINKED:
                    st.button("撤销关联", key=f"undo_{link.id}", on_click=parts.act, args=(actions.undo_link, link.id))
                else:
                    st.button("确认", key=f"yes_{link.id}", on_click=parts.act, args=(actions.confirm_link, link.id))
                if link.state == LinkState.SUGGESTED:
                    st.button("拒绝", key=f"no_{link.id}", on_click=parts.act, args=(actions.refuse_link, link.id))
        sure = f"{labels.LINK_BASIS[link.basis]} · 把握 {formats.percent(link.confidence)}"
        st.caption(f"{sure} · {markup.escape(link.evidence)}")
        with st.container(horizontal=True):
            if link.mention_id:
                st.button(
                    "看依据的提及",
                    key=f"seen_{link.id}",
                    type="tertiary",
                    on_click=parts.open_one,
                    args=(link.mention_id,),
                )
            if link.history:
                with st.popover("历史", type="tertiary"):
                    parts.timeline(link.history, now)


def show_one(customer: Customer) -> None:
    st.button("返回列表", key="back", type="tertiary", icon=":material/arrow_back:", on_click=back)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        with st.container(border=True):
            st.markdown(who(customer))
            total = sum(order.amount for order in customer.orders)
            st.caption(
                f"编号 {markup.escape(customer.id)} · 订单 {len(customer.orders)} 笔, 合计 {formats.money(total)}"
            )
            if customer.phone_tail:
                st.text(f"手机尾号 {customer.phone_tail}")
            for handle in customer.handles:
                platform, _, name = handle.partition(":")
                st.text(f"{labels.platform(platform)}: {name}")
            if customer.tags:
                st.markdown(" ".join(markup.badge(tag, "gray") for tag in customer.tags))
            if customer.note:
                st.text(customer.note)
            st.caption("A–E 分组只看订单金额和次数, 用于安排服务的先后, 不影响价格。")
        show_orders(customer)
        with st.container(border=True):
            st.subheader("账号关联", anchor=False)
            found = queries.links({"customer_id": customer.id})
            if not found:
                st.caption("还没有关联的平台账号。")
            for link in sorted(found, key=lambda each: each.state != LinkState.LINKED):
                show_link(link, link.persona_name)
    with right:
        show_mentions(customer)
        show_tasks(customer)


def show_orders(customer: Customer) -> None:
    with st.container(border=True):
        st.subheader("订单", anchor=False)
        if not customer.orders:
            st.caption("没有订单记录。")
            return
        orders = sorted(customer.orders, key=lambda order: order.at, reverse=True)
        st.dataframe(
            pd.DataFrame(
                {
                    "订单号": [order.number for order in orders],
                    "日期": [f"{formats.beijing(order.at):%Y-%m-%d}" for order in orders],
                    "金额": [order.amount for order in orders],
                    "商品": [order.items for order in orders],
                }
            ),
            hide_index=True,
            column_config={"金额": st.column_config.NumberColumn(format="¥%.2f")},
            alt=f"{customer.name} 的 {len(orders)} 笔订单",
        )


def show_mentions(customer: Customer) -> None:
    view = Filters(window=filters.MONTH, customer=customer.id, all_copies=True)
    query = MentionQuery(customer_id=customer.id)
    n = queries.count(scope, query)
    with st.container(border=True):
        st.subheader("说过的话", anchor=False)
        if not n:
            st.caption("没有找到这位客户公开说过的话。")
            return
        axis = charts.buckets(*view.period(now))
        along = pulse_of(view, axis)
        if sum(along.values()):
            st.echarts_chart(
                charts.trend(axis, along), height=180, key="customer_trend", alt=charts.trend_alt(axis, along)
            )
        parts.number(f"近 30 天 {queries.count(scope, view.query(now))} 条, 全部 {n} 条", view, key="customer_mentions")
        for mention in queries.page(scope, query, 8).mentions:
            parts.quote(mention, now, key=f"said_{mention.id}")


def pulse_of(view: Filters, axis: charts.Buckets) -> charts.Counts:
    return queries.group(scope, view.query(now), ("hour" if axis.unit == "hour" else "day", "sentiment"))


def show_tasks(customer: Customer) -> None:
    found = queries.tasks(scope, {"customer_id": customer.id}, newest_first=True, limit=10)
    with st.container(border=True):
        st.subheader("回复任务", anchor=False)
        if not found:
            st.caption("没有为这位客户建过任务。")
        for task in found:
            with st.container(horizontal=True, vertical_alignment="center"):
                state = markup.badge(labels.TASK_STATE[task.state], "gray")
                st.markdown(f"{state} {markup.snippet(task.title, limit=40)}", width="stretch")
                st.button(
                    "查看",
                    key=f"task_{task.id}",
                    type="tertiary",
                    on_click=parts.goto,
                    args=(parts.TASKS_PAGE, {"task": task.id}),
                )


def show_import() -> None:
    """Upload, preview, write: nothing is written before the preview was seen."""
    st.caption(f"每行一笔订单; 必填列: 客户编号、姓名。可用的列: {'、'.join(COLUMNS.values())}。")
    upload = st.file_uploader("客户文件", type=["csv", "xlsx"], key="customer_file", label_visibility="collapsed")
    if upload is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"customers{Path(upload.name).suffix.lower()}"
        path.write_bytes(upload.getvalue())
        try:
            report = actions.import_customers(viewer, path, dry_run=True)
            show_report(report)
            if report.bad_cells:
                return
            n = report.n("new") + report.n("changed")
            if n and st.button(f"确认导入 {n} 位客户", type="primary", key="import"):
                done = actions.import_customers(viewer, path, dry_run=False)
                st.session_state["said"] = (
                    f"已导入: 新增 {done.n('new')} 位, 更新 {done.n('changed')} 位",
                    "check_circle",
                )
                st.rerun()
        except actions.ActionError as error:
            st.error(markup.escape(str(error)), icon=":material/error:", title="没有导入")


def show_report(report: ImportReport) -> None:
    if report.bad_cells:
        bad = report.bad_cells[:SHOWN]
        st.error(f"有 {len(report.bad_cells)} 个单元格不对, 一行也没有写入。请改好后重新上传。", icon=":material/rule:")
        st.dataframe(
            pd.DataFrame(
                {
                    "行": [cell.row for cell in bad],
                    "列": [COLUMNS.get(cell.column, cell.column) for cell in bad],
                    "值": [cell.value for cell in bad],
                    "原因": [cell.reason for cell in bad],
                }
            ),
            hide_index=True,
        )
        return
    counts = " · ".join(f"{word} {report.n(change)} 位" for change, word in CHANGES.items())
    st.markdown(f"共 {report.n_rows} 行: {counts}")
    lines = [line for line in report.changes if line.change != "same"][:SHOWN]
    if lines:
        st.dataframe(
            pd.DataFrame(
                {
                    "客户": [line.name for line in lines],
                    "编号": [line.customer_id for line in lines],
                    "变化": [CHANGES[line.change] for line in lines],
                    "字段": ["、".join(COLUMN_NAMES.get(field, field) for field in line.fields) for line in lines],
                }
            ),
            hide_index=True,
        )


COLUMN_NAMES = {
    "name": "姓名",
    "phone_tail": "手机尾号",
    "handles": "平台账号",
    "orders": "订单",
    "tier": "等级",
    "tags": "标签",
    "note": "备注",
    "group": "分组",
}

customer_id = st.query_params.get("customer")
if not customer_id:
    show_list()
else:
    opened = queries.customer(customer_id)
    if opened is None:
        st.button("返回列表", key="back", type="tertiary", icon=":material/arrow_back:", on_click=back)
        parts.empty("没有这位客户", "可能已按本人要求删除。")
    else:
        show_one(opened)
