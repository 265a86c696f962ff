"""One mention opened: the text, what is known of it, and everything a person can do with it."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard import actions, casework, context, filters, formats, labels, markup, parts, queries
from dashboard.filters import Filters
from index.customers import persona_key
from index.models import ASPECTS, Intent, Labels, LinkState, Mention, Role, Sentiment, Task
from index.store import MentionQuery

NOT_SAID = "未提到"


def show(mention: Mention, now: datetime, *, following: str | None = None) -> None:
    """following is the next one of the list, to go on with after a review."""
    viewer = context.viewer()
    with st.container(border=True, key="opened"):
        st.markdown(parts.who_line(mention, now), help=formats.full(mention.published_at))
        parts.full_text(mention)
        st.caption(_counts(mention))
        with st.container(horizontal=True, vertical_alignment="center"):
            parts.original(mention)
            with st.popover("复制链接", icon=":material/link:"):
                st.caption("发给同事, 对方登录后看到同一条提及。")
                st.code(f"{(st.context.url or '').split('?')[0]}?mention={mention.id}", language=None, wrap_lines=True)
        if mention.hidden:
            st.warning(f"已隐藏: {markup.escape(mention.hidden)}", icon=":material/visibility_off:")
        _labels(mention, following)
        if viewer.may(Role.PR, Role.SERVICE):
            _acts(mention)
        _customer(mention)
        _others(mention, now)


def _counts(mention: Mention) -> str:
    engagement = mention.engagement
    said = {
        "点赞": engagement.likes,
        "评论": engagement.comments,
        "转发": engagement.reposts,
        "阅读": engagement.views,
    }
    known = [f"{name} {formats.number(n)}" for name, n in said.items() if n is not None]
    region = mention.persona.region if mention.persona else None
    if region:
        known.append(f"地区 {markup.escape(region)}")
    return " · ".join(known) or "来源没有给出互动数"


def _labels(mention: Mention, following: str | None) -> None:
    """Each head with its probability; one click says what it really is, another that it is right."""
    read = mention.labels
    if doubts := [labels.HEAD[head] for head in parts.doubts(mention)]:
        st.markdown(markup.badge(f"待复核: 模型对{'和'.join(doubts)}没有把握", "orange", ":material/help:"))
    stamp = mention.review.at.isoformat() if mention.review else ""
    st.markdown("**标注** :gray[点一下即更正]")
    key = f"{mention.id}_{stamp}"
    st.segmented_control(
        _head("情感", read.sentiment_probability if read else None, mention, "sentiment"),
        list(Sentiment),
        default=mention.sentiment,
        required=mention.sentiment is not None,
        format_func=labels.SENTIMENT.__getitem__,
        key=f"fix_sentiment_{key}",
        on_change=_fix,
        args=(mention.id, "sentiment", f"fix_sentiment_{key}"),
    )
    st.segmented_control(
        _head("意图", read.intent_probability if read else None, mention, "intent"),
        list(Intent),
        default=mention.intent,
        required=mention.intent is not None,
        format_func=labels.INTENT.__getitem__,
        key=f"fix_intent_{key}",
        on_change=_fix,
        args=(mention.id, "intent", f"fix_intent_{key}"),
    )
    st.segmented_control(
        _head("严重程度", read.severity_probability if read else None, mention, "severity"),
        list(labels.SEVERITY),
        default=mention.severity,
        required=mention.severity is not None,
        format_func=labels.SEVERITY.__getitem__,
        key=f"fix_severity_{key}",
        on_change=_fix,
        args=(mention.id, "severity", f"fix_severity_{key}"),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        said = " ".join(
            markup.badge(labels.aspect(a.name) + labels.POLARITY_SIGN[a.polarity], labels.SENTIMENT_COLOUR[a.polarity])
            for a in mention.aspects
        )
        st.markdown(f"方面 {said}" if said else "方面 :gray[没有说到]", width="content")
        with st.popover("更正方面", icon=":material/edit:", type="tertiary"):
            _aspects(mention, key)
    _confirm(mention, following)
    if mention.review:
        by = markup.escape(mention.review.reviewer)
        st.caption(f"{by} 于 {formats.when(mention.review.at, context.moment())} 判定; 人工标注优先于模型。")
    if read:
        st.caption(f"模型版本 {markup.escape(read.model_version)}")
    else:
        st.caption("模型还没有读到这一条, 通常在采集后一分钟内完成。")


def _confirm(mention: Mention, following: str | None) -> None:
    """For what the model got right: a judgement, too. In a list to be reviewed it leads on."""
    review = mention.review
    is_done = review is not None and all(getattr(review, head) is not None for head in actions.HEADS)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "已全部判定" if is_done else "其余标注无误" if review is not None else "标注无误",
            key="confirm",
            icon=":material/done_all:",
            disabled=is_done or mention.labels is None,
            on_click=_do_confirm,
            args=(mention.id, mention.labels, following),
            help="把没有更正的标注记为人工确认, 计入一致率, 也用来训练模型。",
        )
        if following and review is not None:
            st.button(
                "看下一条",
                key="go_on",
                type="primary",
                icon=":material/arrow_downward:",
                on_click=_open,
                args=(following,),
            )


def _do_confirm(mention_id: str, seen: Labels | None, following: str | None) -> None:
    parts.act(actions.confirm, mention_id, seen)
    done = st.session_state["said"][1] != "error"
    _open(following if done and following else mention_id)


def _open(mention_id: str) -> None:
    st.query_params["mention"] = mention_id


def _head(name: str, probability: float | None, mention: Mention, head: str) -> str:
    if mention.review is not None and getattr(mention.review, head) is not None:
        return f"{name} :green[:material/how_to_reg: 人工]"
    return f"{name} :gray[模型 {probability * 100:.0f}%]" if probability is not None else name


def _fix(mention_id: str, head: str, key: str) -> None:
    value = st.session_state[key]
    if value is not None:
        parts.act(actions.correct, mention_id, head, value)
        _open(mention_id)  # it may leave the list now, but there may be more to say of it


def _aspects(mention: Mention, key: str) -> None:
    known = {aspect.name: aspect.polarity for aspect in mention.aspects}
    for name, polarity in known.items():
        widget = f"fix_aspect_{name}_{key}"
        st.segmented_control(
            labels.aspect(name),
            [*Sentiment, NOT_SAID],
            default=polarity,
            required=True,
            format_func=_polarity,
            key=widget,
            on_change=_fix_aspect,
            args=(mention.id, name, widget),
        )
    others = [name for name in ASPECTS if name not in known]
    chosen = st.selectbox(
        "补充方面", others, index=None, format_func=labels.aspect, placeholder="选择方面", key=f"more_aspect_{key}"
    )
    if chosen:
        widget = f"add_aspect_{chosen}_{key}"
        st.segmented_control(
            "怎么说的",
            list(Sentiment),
            format_func=labels.SENTIMENT.__getitem__,
            key=widget,
            on_change=_fix_aspect,
            args=(mention.id, chosen, widget),
        )


def _polarity(value: str) -> str:
    return NOT_SAID if value == NOT_SAID else labels.SENTIMENT[Sentiment(value)]


def _fix_aspect(mention_id: str, name: str, key: str) -> None:
    value = st.session_state[key]
    if value is not None:
        parts.act(actions.correct_aspect, mention_id, name, None if value == NOT_SAID else Sentiment(value))
        _open(mention_id)


def _acts(mention: Mention) -> None:
    viewer, task = context.viewer(), queries.task_of(mention.id)
    with st.container(horizontal=True):
        if task is None:
            st.button(
                "建任务",
                key="make_task",
                type="primary",
                icon=":material/add_task:",
                on_click=parts.act,
                args=(casework.make_task, mention.id),
                help="放进客服的待认领队列",
            )
        else:
            _open_task(task)
        if viewer.may(Role.PR):
            _to_alert(mention)
        if mention.hidden:
            st.button(
                "取消隐藏",
                key="unhide",
                icon=":material/visibility:",
                on_click=parts.act,
                args=(actions.unhide, mention.id),
            )
        else:
            with st.popover("隐藏", icon=":material/visibility_off:"):
                reason = st.radio("原因", [*labels.HIDE_REASONS, labels.OTHER_REASON], key=f"hide_why_{mention.id}")
                other = parts.Typed(f"hide_note_{mention.id}")
                if reason == labels.OTHER_REASON:
                    st.text_input("补充说明", key=other.key, live=True)
                st.button(
                    "隐藏这一条",
                    key="hide",
                    on_click=parts.act,
                    args=(actions.hide, mention.id, other if reason == labels.OTHER_REASON else reason),
                )


def _to_alert(mention: Mention) -> None:
    """Those about the mention's own topics first."""
    alive = [alert for alert in queries.alerts(context.viewer().scope) if mention.id not in alert.evidence]
    topics = queries.topics(context.viewer().scope)
    named = {
        alert.id: " · ".join(
            (
                labels.LEVEL[alert.level],
                topics[alert.topic].name if alert.topic in topics else "来源",
                alert.sentence[:24],
            )
        )
        for alert in sorted(alive, key=lambda alert: alert.topic not in mention.topics)
    }
    with st.popover("加入预警", icon=":material/crisis_alert:"):
        if not named:
            st.caption("没有可以加入的预警: 都已解除, 或者已经有这一条。")
            return
        picked = st.selectbox("作为证据加入", list(named), format_func=named.__getitem__, key=f"to_alert_{mention.id}")
        st.button("加入", key="add_evidence", on_click=parts.act, args=(casework.add_evidence, picked, mention.id))


def _open_task(task: Task) -> None:
    st.button(
        f"任务: {labels.TASK_STATE[task.state]}" + (f" · {task.owner}" if task.owner else ""),
        key="open_task",
        icon=":material/task_alt:",
        on_click=parts.goto,
        args=(parts.TASKS_PAGE, {"task": task.id}),
    )


def _customer(mention: Mention) -> None:
    viewer = context.viewer()
    links = queries.links({"persona_id": persona_key(mention), "state": (LinkState.LINKED, LinkState.SUGGESTED)})
    if not links and not viewer.may(Role.SERVICE):
        return
    st.markdown("**客户**")
    named = queries.customers_named([link.customer_id for link in links])
    for link in links:
        customer = named.get(link.customer_id)
        name = customer.name if customer else link.customer_id
        with st.container(horizontal=True, vertical_alignment="center"):
            state = markup.badge(labels.LINK_STATE[link.state], labels.LINK_STATE_COLOUR[link.state])
            st.markdown(f"{state} {markup.escape(name)} :gray[{markup.escape(link.evidence)}]", width="stretch")
            st.button(
                "查看客户",
                key=f"customer_{link.id}",
                type="tertiary",
                on_click=parts.goto,
                args=(parts.CUSTOMERS_PAGE, {"customer": link.customer_id}),
            )
    if not links:
        with st.popover("关联客户", icon=":material/person_add:", type="tertiary"):
            wanted = st.text_input("姓名、尾号、账号或订单号", key=f"find_customer_{mention.id}", live=True)
            found = queries.find_customers(wanted, limit=8) if wanted.strip() else []
            picked = st.selectbox(
                "客户",
                [customer.id for customer in found],
                index=None,
                format_func={customer.id: f"{customer.name} ({customer.id})" for customer in found}.__getitem__,
                placeholder="先在上面搜索" if not found else "选择客户",
                key=f"pick_customer_{mention.id}",
            )
            evidence = parts.Typed(f"link_why_{mention.id}")
            st.text_input("依据", key=evidence.key, placeholder="例如: 客户来电说明是本人发的", live=True)
            st.button(
                "关联",
                key="link_customer",
                disabled=not picked,
                on_click=parts.act,
                args=(actions.link_by_hand, mention.id, picked, evidence),
            )


def _others(mention: Mention, now: datetime) -> None:
    """Copies and the thread around it."""
    viewer = context.viewer()
    if mention.story_id:
        story = MentionQuery(story_id=mention.story_id, copies="all")
        n = queries.count(viewer.scope, story)
        if n > 1:
            target = Filters(window=filters.MONTH, story=mention.story_id, all_copies=True)
            parts.number(f"相同内容共 {formats.number(n)} 条", target, key="same_story")
    if mention.parent_id:
        parent = queries.mention(viewer.scope, mention.parent_id)
        if parent is not None:
            st.markdown("**回复的是**")
            parts.quote(parent, now, key="parent")
    if mention.persona is not None:
        target = Filters(window=filters.MONTH, persona=mention.persona.id)
        parts.number("这位发言者近 30 天的提及", target, key="persona")
