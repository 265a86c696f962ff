"""回复任务: what next, and by when?"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from alerts import replies
from alerts.clock import is_overdue
from dashboard import casework, context, customer_card, formats, labels, markup, parts, queries
from dashboard.actions import HANDLERS, ActionError
from index.models import BEIJING_OFFSET, Customer, Mention, Role, Task, TaskState
from index.store import StoreError

TABS = {"open": "待认领", "mine": "我的", "waiting": "等待中", "done": "已完成", "team": "全员"}
OVER = (TaskState.CLOSED, TaskState.DISMISSED)
AT_WORK = (TaskState.CLAIMED, TaskState.REPLIED)
SOON = timedelta(minutes=15)

viewer = context.viewer()
scope = viewer.scope
now = context.moment()
parts.head("回复任务", "下一个该回复谁, 还剩多少时间")


def wanted(tab: str) -> dict[str, Any]:
    conditions: dict[str, dict[str, Any]] = {
        "open": {"state": TaskState.OPEN},
        "mine": {"state": AT_WORK, "owner": viewer.name},
        "waiting": {"state": TaskState.WAITING},
        "done": {"state": OVER},
        "team": {"state": AT_WORK},
    }
    return conditions[tab]


def open_task(task_id: str) -> None:
    st.query_params["task"] = task_id


def back() -> None:
    st.query_params.pop("task", None)


def claim_and_open(task_id: str) -> None:
    """Take it and go to it; who was too late stays in the queue and is told who has it."""
    parts.act(casework.claim, task_id)
    if st.session_state["said"][1] != "error":
        open_task(task_id)


def clock(task: Task) -> str:
    """The time left for what is due next, as a coloured badge."""
    if task.state in OVER:
        return markup.badge(formats.when(task.closed_at, now), "gray", ":material/check:")
    if task.state == TaskState.WAITING:
        return markup.badge(f"{formats.when(task.waiting_until, now)} 跟进", "gray", ":material/pause:")
    due = task.due_at if task.replied_at is None else task.resolve_by
    if is_overdue(task, now):
        return markup.badge(formats.left(due, now), "red", ":material/alarm:")
    return markup.badge(formats.left(due, now), "red" if due - now < SOON else "gray", ":material/schedule:")


def show_queue() -> None:
    tabs = TABS if viewer.role == Role.ADMIN else {key: name for key, name in TABS.items() if key != "team"}
    counts = {key: queries.n_tasks(scope, wanted(key)) for key in tabs if key != "done"}
    names = {key: f"{name} {counts[key]}" if counts.get(key) else name for key, name in tabs.items()}
    tab = st.segmented_control(
        "队列",
        list(tabs),
        default="open",
        required=True,
        format_func=names.__getitem__,
        key="queue",
        label_visibility="collapsed",
        persist_state="session",
    )
    found = queries.tasks(scope, wanted(tab or "open"), newest_first=tab == "done", limit=50)
    if not found:
        say_empty(tab or "open")
    named = queries.customers_named([task.customer_id for task in found if task.customer_id])
    mentions = queries.mentions(scope, [task.mention_id for task in found])
    for task in found:
        show_row(task, named.get(task.customer_id or ""), mentions.get(task.mention_id))
    if len(found) == 50:
        st.caption("只列出最紧的 50 个。")


def say_empty(tab: str) -> None:
    what, then = {
        "open": ("没有待认领的任务", "投诉和咨询会自动进入这里; 也可以在“提及”里手动建任务。"),
        "mine": ("您手上没有任务", "到“待认领”里领取时间最紧的一个。"),
        "waiting": ("没有在等待的任务", "需要客户或同事先行动时, 在任务里选择“等待”, 计时会暂停。"),
        "done": ("还没有完成的任务", "关闭或忽略的任务会留在这里备查。"),
        "team": ("现在没有人在处理任务", "认领后的任务会显示在这里。"),
    }[tab]
    parts.empty(what, then)


def show_row(task: Task, customer: Customer | None, mention: Mention | None) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        with st.container(gap="xxsmall", width="stretch"):
            owner = f" :gray[{markup.escape(task.owner)}]" if task.owner else ""
            st.markdown(
                f"{clock(task)} {priority(task)} {customer_card.badge(customer)}{owner}",
                help="、".join(task.priority_reasons) or None,
            )
            said = f"{mention.title} {mention.text}" if mention else task.title
            st.markdown(markup.snippet(said, limit=90))
            intent = labels.INTENT[task.intent] if task.intent else "提及"
            waited = f"{formats.ago(task.created_at, now)}进入队列"
            st.caption(f"{markup.escape(labels.platform(task.platform))} · {intent} · {waited}")
        if task.state == TaskState.OPEN and viewer.may(Role.SERVICE, Role.PR):
            st.button("认领", key=f"claim_{task.id}", on_click=claim_and_open, args=(task.id,))
        st.button("查看", key=f"open_{task.id}", type="tertiary", on_click=open_task, args=(task.id,))


def priority(task: Task) -> str:
    return markup.badge(f"优先级 {labels.PRIORITY[task.priority]}", labels.PRIORITY_COLOUR[task.priority])


def show_one(task: Task) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("返回队列", key="back", type="tertiary", icon=":material/arrow_back:", on_click=back)
        st.markdown(
            f"{clock(task)} {priority(task)} {markup.badge(labels.TASK_STATE[task.state], 'gray')}", width="stretch"
        )
        show_next(task)
    mention = queries.mention(scope, task.mention_id)
    customer = queries.customer(task.customer_id) if task.customer_id else None
    left, middle, right = st.columns([4, 5, 4], gap="small")
    with left:
        show_mention(task, mention)
    with middle:
        show_work(task, mention, customer)
    with right:
        customer_card.show(customer, mention, now)
        with st.container(border=True):
            st.subheader("经过", anchor=False)
            parts.timeline(task.timeline, now)


def show_next(task: Task) -> None:
    """The most urgent one that nobody has yet."""
    waiting = queries.tasks(scope, {"state": TaskState.OPEN}, limit=2)
    following = next((other for other in waiting if other.id != task.id), None)
    if following is not None:
        st.button(
            "下一个",
            key="next",
            icon=":material/arrow_forward:",
            shortcut="j",
            on_click=open_task,
            args=(following.id,),
        )


def show_mention(task: Task, mention: Mention | None) -> None:
    with st.container(border=True):
        st.subheader("原帖", anchor=False)
        if mention is None:
            st.caption("原帖已删除或不在您的监测范围内。")
            st.text(task.title)
            return
        st.caption(parts.who_line(mention, now))
        parts.full_text(mention)
        st.markdown(parts.label_line(mention))
        with st.container(horizontal=True):
            parts.original(mention)
            st.button("在提及中查看", key="see", type="tertiary", on_click=parts.open_one, args=(mention.id,))
        if task.priority_reasons:
            st.caption(f"优先级依据: {markup.escape('、'.join(task.priority_reasons))}")
        parent = queries.mention(scope, mention.parent_id) if mention.parent_id else None
        if parent is not None:
            st.markdown("**回复的是**")
            parts.quote(parent, now, key="parent")


def show_work(task: Task, mention: Mention | None, customer: Customer | None) -> None:
    with st.container(border=True):
        st.subheader("回复", anchor=False)
        if not viewer.may(Role.SERVICE, Role.PR):
            st.caption("只有客服和公关可以处理任务。")
        elif task.state == TaskState.OPEN:
            st.caption("认领后开始回复; 认领只需点一下。")
            st.button(
                "认领",
                key="claim",
                type="primary",
                icon=":material/back_hand:",
                width="stretch",
                on_click=parts.act,
                args=(casework.claim, task.id),
            )
            show_ignore(task)
        elif task.state in OVER:
            show_result(task)
        elif task.owner != viewer.name and viewer.role != Role.ADMIN:
            st.caption(f"{markup.escape(task.owner or '同事')} 正在处理。")
            if task.draft:
                st.text(task.draft)
            show_hand_over(task)
        elif task.state == TaskState.WAITING:
            st.markdown(f"等到 **{formats.when(task.waiting_until, now)}** 再跟进, 期间不计时。")
            st.button("继续处理", key="resume", type="primary", on_click=parts.act, args=(casework.resume, task.id))
            show_hand_over(task)
        else:
            show_reply(task, mention, customer)


def show_reply(task: Task, mention: Mention | None, customer: Customer | None) -> None:
    """Write, post by hand, paste the link, close. What is typed is kept with the task."""
    key = f"draft_{task.id}"
    link_key = f"link_{task.id}"
    if key not in st.session_state:
        st.session_state[key] = task.draft or task.reply_text
    if link_key not in st.session_state:
        st.session_state[link_key] = task.reply_url
    if mention is not None:
        show_suggestions(task, mention, customer)
    st.text_area(
        "回复内容",
        key=key,
        height=170,
        placeholder="在这里写回复, 会自动保存; 写好后复制到原平台发布",
        on_change=keep,
        args=(task.id,),
    )
    if st.session_state[key]:
        with st.popover("复制", icon=":material/content_copy:", type="tertiary"):
            st.code(st.session_state[key], language=None, wrap_lines=True)
    st.text_input("回复链接", key=link_key, placeholder="发布后把链接粘贴到这里, 作为凭证", live=True)
    st.button(
        "登记回复" if task.state == TaskState.CLAIMED else "更新回复",
        key="reply",
        type="primary" if task.state == TaskState.CLAIMED else "secondary",
        icon=":material/send:",
        width="stretch",
        on_click=send,
        args=(task.id,),
    )
    if task.state == TaskState.REPLIED:
        outcome = st.selectbox(
            "处理结果", labels.OUTCOMES_OF_TASK, index=None, placeholder="选择结果", key=f"outcome_{task.id}"
        )
        st.button(
            "关闭任务",
            key="close",
            type="primary",
            icon=":material/check:",
            width="stretch",
            disabled=outcome is None,
            on_click=finish,
            args=(task.id, outcome),
        )
    with st.container(horizontal=True):
        show_wait(task)
        if task.state == TaskState.CLAIMED:
            st.button("退回", key="release", type="tertiary", on_click=parts.act, args=(casework.release, task.id))
        show_hand_over(task)
        if task.state == TaskState.CLAIMED:
            show_ignore(task)


def show_suggestions(task: Task, mention: Mention, customer: Customer | None) -> None:
    brand = queries.topics(scope).get(task.topic)
    found = replies.suggest(mention, customer, brand.name if brand else "我们")
    if not found:
        return
    with st.expander("建议的回复", icon=":material/lightbulb:", expanded=not st.session_state[f"draft_{task.id}"]):
        place = st.selectbox(
            "模板",
            range(len(found)),
            format_func=[each.source for each in found].__getitem__,
            key=f"suggestion_{task.id}",
            label_visibility="collapsed",
        )
        st.caption(f"来源: {markup.escape(found[place].source)}")
        st.text(found[place].text)
        st.button(
            "采用, 再按实际情况修改",
            key="use",
            icon=":material/content_paste:",
            on_click=use,
            args=(task.id, found[place].text),
        )


def use(task_id: str, text: str) -> None:
    st.session_state[f"draft_{task_id}"] = text
    keep(task_id)


def keep(task_id: str) -> None:
    try:
        casework.save_draft(viewer, task_id, st.session_state[f"draft_{task_id}"] or "")
    except (ActionError, StoreError) as error:
        st.session_state["said"] = (f"草稿没有保存: {error}", "error")


def send(task_id: str) -> None:
    state = st.session_state
    parts.act(casework.reply, task_id, state[f"link_{task_id}"] or "", state[f"draft_{task_id}"] or "")


def finish(task_id: str, outcome: str) -> None:
    """Close it and offer the next: first one's own that is due, then the most urgent that nobody has."""
    parts.act(casework.close, task_id, outcome)
    if st.session_state["said"][1] == "error":
        return
    own = queries.tasks(scope, {"owner": viewer.name, "state": TaskState.CLAIMED}, limit=1)
    following = own or queries.tasks(scope, {"state": TaskState.OPEN}, limit=1)
    if following:
        open_task(following[0].id)
    else:
        back()


def show_wait(task: Task) -> None:
    with st.popover("等待", icon=":material/pause:"):
        tomorrow = formats.beijing(now).date() + timedelta(days=1)
        day = st.date_input(
            "下次跟进", tomorrow, min_value=formats.beijing(now).date(), format="YYYY-MM-DD", key="wait_day"
        )
        hour = st.time_input("时间", time(10), key="wait_hour", step=1800)
        st.text_input("在等什么", key="wait_note", placeholder="例如: 等客户私信订单号", live=True)
        note = parts.Typed("wait_note")
        until = at_beijing(day if isinstance(day, date) else tomorrow, hour or time(10))
        st.button("转为等待", key="wait", on_click=parts.act, args=(casework.wait, task.id, until, note))


def at_beijing(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, UTC) - BEIJING_OFFSET


def show_hand_over(task: Task) -> None:
    with st.popover("转交", icon=":material/swap_horiz:"):
        others = [name for name in queries.colleagues(HANDLERS, task.topic) if name != task.owner]
        owner = st.selectbox("交给谁", others, index=None, placeholder="选择同事", key="hand_to")
        st.button(
            "转交", key="hand_over", disabled=not owner, on_click=parts.act, args=(casework.assign_task, task.id, owner)
        )


def show_ignore(task: Task) -> None:
    with st.popover("忽略", icon=":material/do_not_disturb_on:", type="tertiary"):
        reason = st.radio("为什么不用回复", labels.DISMISS_REASONS, key="dismiss_why")
        st.button("忽略这个任务", key="dismiss", on_click=parts.act, args=(casework.dismiss, task.id, reason))


def show_result(task: Task) -> None:
    st.markdown(f"{labels.TASK_STATE[task.state]}: **{markup.escape(task.outcome)}**")
    if task.reply_text:
        st.text(task.reply_text)
    if task.reply_url.startswith(("https://", "http://")):
        st.link_button("打开回复", task.reply_url, icon=":material/open_in_new:")
    with st.popover("重新打开", icon=":material/replay:"):
        st.text_input("原因", key="reopen_why", live=True)
        reason = parts.Typed("reopen_why")
        st.button("重新打开", key="reopen", on_click=parts.act, args=(casework.reopen, task.id, reason))


task_id = st.query_params.get("task")
if not task_id:
    show_queue()
else:
    opened = queries.task(scope, task_id)
    if opened is None:
        st.button("返回队列", key="back", type="tertiary", icon=":material/arrow_back:", on_click=back)
        parts.empty("这个任务不存在", "它可能已过保存期, 或不在您的监测范围内。")
    else:
        show_one(opened)
