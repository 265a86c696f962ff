"""预警: the list of incidents, and the page of one."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from alerts import crisis
from dashboard import casework, charts, context, formats, labels, markup, parts, pulse, queries
from dashboard.filters import Filters
from index.models import Alert, AlertState, Level, Reason, Role

MUTE_HOURS = {1: "1 小时", 4: "4 小时", 12: "12 小时", 24: "1 天", 72: "3 天"}
FALSE_REASONS = ("活动带来的正常讨论", "同名或无关内容", "广告或灌水", "阈值太低")
OPEN, OVER = "未解除", "已解除"

viewer = context.viewer()
scope = viewer.scope
now = context.moment()
parts.head("预警", "发生了什么, 谁在处理")


def open_alert(alert_id: str) -> None:
    st.query_params["alert"] = alert_id


def back() -> None:
    st.query_params.pop("alert", None)


def title(alert: Alert) -> str:
    topic = queries.topics(scope).get(alert.topic)
    where = topic.name if topic else "来源"
    level = markup.badge(labels.LEVEL[alert.level], labels.LEVEL_COLOUR[alert.level], ":material/crisis_alert:")
    waiting = alert.state == AlertState.OPEN
    state = "" if waiting else markup.badge(labels.ALERT_STATE[alert.state], labels.ALERT_STATE_COLOUR[alert.state])
    return f"{level} {state} **{markup.escape(where)} · {labels.REASON[alert.reason]}**"


def value_line(alert: Alert) -> str:
    usual = f", 平时 {formats.usual(alert.expected)}" if alert.expected is not None else ""
    owner = f" · 负责人 {markup.escape(alert.owner)}" if alert.owner else " · 没有负责人"
    muted = f" · 静音到 {formats.when(alert.muted_until, now)}" if alert.muted_until and alert.muted_until > now else ""
    return f"始于 {formats.when(alert.opened_at, now)} · 数值 {formats.number(alert.value)}{usual}{owner}{muted}"


def clock(alert: Alert) -> str:
    """How long it waited to be acknowledged, or how long it took."""
    if alert.state == AlertState.OPEN:
        return f":red[未确认 {formats.span((now - alert.opened_at).total_seconds())}]"
    if alert.acknowledged_at:
        return f":gray[{formats.span((alert.acknowledged_at - alert.opened_at).total_seconds())}内确认]"
    return ":gray[未经确认即解除]"


def show_list() -> None:
    which = st.segmented_control(
        "状态",
        [OPEN, OVER],
        default=OPEN,
        required=True,
        key="alerts",
        bind="query-params",
        label_visibility="collapsed",
    )
    found = queries.alerts(scope, resolved=which == OVER)
    if not found:
        if which == OVER:
            parts.empty("还没有解除过的预警", "预警恢复正常或由人解除后, 会留在这里备查。")
        else:
            parts.empty("没有未解除的预警", "规则在后台持续检查; 触发时这里、通知渠道和总览会同时出现。")
    for alert in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            with st.container(gap="xxsmall", width="stretch"):
                st.markdown(f"{title(alert)} {clock(alert)}")
                st.markdown(markup.escape(alert.sentence))
                st.caption(value_line(alert))
            if alert.state == AlertState.OPEN and viewer.may(Role.PR):
                st.button("确认", key=f"ack_{alert.id}", on_click=parts.act, args=(casework.acknowledge, alert.id))
            st.button("查看", key=f"open_{alert.id}", type="tertiary", on_click=open_alert, args=(alert.id,))


def about(alert: Alert) -> Filters:
    """What the alert is about, as a view of mentions: from a day before it until it was over."""
    until = min(alert.resolved_at or now, now).replace(second=0, microsecond=0) + timedelta(minutes=1)
    return Filters(
        topic=alert.topic or None,
        since=alert.opened_at.replace(second=0, microsecond=0) - timedelta(days=1),
        until=until,
        story=alert.story_id,
        all_copies=bool(alert.story_id),
    )


def show_one(alert: Alert) -> None:
    st.button("返回列表", key="back", type="tertiary", icon=":material/arrow_back:", on_click=back)
    with st.container(border=True):
        st.markdown(f"{title(alert)} {clock(alert)}")
        st.markdown(markup.escape(alert.sentence))
        st.caption(value_line(alert), help=f"始于 {formats.full(alert.opened_at)}")
        if viewer.may(Role.PR):
            show_acts(alert)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        if alert.reason != Reason.SOURCE_QUIET:
            show_chart(alert)
            show_stories(alert)
    with right:
        if alert.reason != Reason.SOURCE_QUIET:
            show_spread(alert)
        with st.container(border=True):
            st.subheader("时间线", anchor=False)
            parts.timeline(alert.timeline, now)
            show_messages(alert)
            if viewer.may(Role.PR):
                key = f"note_{alert.id}_{alert.version}"
                st.text_input("备注", key=key, placeholder="写下进展, 同事都能看到", live=True)
                st.button(
                    "记入时间线",
                    key="note",
                    icon=":material/edit_note:",
                    on_click=parts.act,
                    args=(casework.note_alert, alert.id, parts.Typed(key)),
                )
    show_evidence(alert)


def show_acts(alert: Alert) -> None:
    with st.container(horizontal=True):
        if alert.state == AlertState.RESOLVED:
            return
        if alert.state == AlertState.OPEN:
            st.button(
                "确认, 由我负责",
                key="ack",
                type="primary",
                icon=":material/check:",
                on_click=parts.act,
                args=(casework.acknowledge, alert.id),
            )
        with st.popover("指派", icon=":material/person_add:"):
            owner = st.selectbox(
                "交给谁",
                queries.colleagues(casework.DECIDERS, alert.topic),
                index=None,
                placeholder="选择同事",
                key="assign_to",
            )
            st.button(
                "指派", key="assign", disabled=not owner, on_click=parts.act, args=(casework.assign, alert.id, owner)
            )
        with st.popover("调级", icon=":material/swap_vert:"):
            level = st.pills(
                "新的级别",
                list(Level),
                default=alert.level,
                required=True,
                format_func=labels.LEVEL.__getitem__,
                key="level",
            )
            st.text_input("原因", key="level_why", placeholder="必填, 会记入时间线", live=True)
            why = parts.Typed("level_why")
            st.button("调整", key="set_level", on_click=parts.act, args=(casework.set_level, alert.id, level, why))
        if alert.muted_until and alert.muted_until > now:
            st.button(
                "取消静音",
                key="unmute",
                icon=":material/notifications:",
                on_click=parts.act,
                args=(casework.unmute, alert.id),
            )
        else:
            with st.popover("静音", icon=":material/notifications_off:"):
                hours = st.pills(
                    "多久",
                    list(MUTE_HOURS),
                    default=4,
                    required=True,
                    format_func=MUTE_HOURS.__getitem__,
                    key="mute_for",
                )
                st.text_input("原因", key="mute_why", live=True)
                why = parts.Typed("mute_why")
                st.button("静音", key="mute", on_click=parts.act, args=(casework.mute, alert.id, hours, why))
        with st.popover("解除", icon=":material/task_alt:"):
            st.text_input("原因", key="resolve_why", placeholder="必填, 例如: 已发声明, 声量回落", live=True)
            why = parts.Typed("resolve_why")
            st.button("解除预警", key="resolve", on_click=parts.act, args=(casework.resolve, alert.id, why))
        with st.popover("是误报", icon=":material/thumb_down:"):
            false_why = st.radio("为什么", FALSE_REASONS, key="false_why")
            quiet = st.toggle("同一规则和主题静音 1 天", key="false_mute")
            st.caption("若是阈值太低, 请在 settings.toml 里提高这条规则的 at_least 或调低 probability。")
            st.button(
                "标为误报",
                key="false_alarm",
                on_click=parts.act,
                args=(casework.false_alarm, alert.id, false_why, 24 if quiet else 0),
            )


def show_chart(alert: Alert) -> None:
    chosen = about(alert)
    axis = charts.buckets(*chosen.period(now))
    along = pulse.by_time(scope, chosen, axis, now)
    with st.container(border=True):
        st.subheader("与平时相比", anchor=False, help="虚线是负面平时的上限: 此前 14 天同一时刻的中位数加两倍偏差。")
        normal = [] if alert.story_id else pulse.bands(scope, chosen, axis)
        st.echarts_chart(
            charts.trend(axis, along, normal, [alert]), height=260, key="alert_trend", alt=charts.trend_alt(axis, along)
        )
        parts.number(f"{formats.number(pulse.total(scope, chosen, now))} 条相关提及", chosen, key="alert_mentions")


def show_stories(alert: Alert) -> None:
    chosen = about(alert)
    with st.container(border=True):
        st.subheader("主要事件", anchor=False)
        stories = queries.stories(scope, chosen.query(now))
        if not stories:
            st.caption("没有被转载的内容。")
        for place, (first, n, platforms) in enumerate(stories, 1):
            st.markdown(f"**{place}.** {markup.snippet(first.title or first.text, limit=80)}")
            with st.container(horizontal=True, vertical_alignment="center"):
                places = " ".join(labels.platform(name) for name in platforms[:4])
                st.caption(f"{markup.escape(places)} · 首发 {formats.when(first.published_at, now)}", width="stretch")
                parts.number(f"转载 {n - 1}", chosen.but(story=first.id, all_copies=True), key=f"alert_story_{place}")


def show_evidence(alert: Alert) -> None:
    found = queries.mentions(scope, alert.evidence)
    with st.container(border=True):
        st.subheader("证据", anchor=False, help="触发预警的提及, 最说明问题的在前。")
        if not found:
            st.caption("这条预警没有附带提及。")
        added = crisis.added_evidence(alert)
        with st.grid(2, min_column_width=320, gap="small"):
            for mention_id in alert.evidence[: max(6, len(added))]:
                if mention_id in found:
                    note = "由人加入" if mention_id in added else ""
                    parts.quote(found[mention_id], now, key=f"evidence_{mention_id}", note=note)


def show_spread(alert: Alert) -> None:
    """Who said it first, where it is, who carries it on."""
    chosen = about(alert)
    with st.container(border=True):
        st.subheader("传播", anchor=False)
        query = chosen.query(now)
        first = queries.oldest(scope, query)
        if first is not None:
            st.markdown(f":gray[最早]  {parts.who_line(first, now)}")
        places = queries.group(scope, query, ("platform",))
        with st.grid(2, min_column_width=120, gap=None):
            for (name,), n in sorted(places.items(), key=lambda item: -item[1])[:6]:
                label = f"{labels.platform(name)} {formats.number(n)}"
                parts.number(label, chosen.but(platforms=(name,)), key=f"place_{name}")
        loud = queries.loudest(scope, query)
        if loud:
            st.markdown(":gray[粉丝最多的发言者]")
        with st.container(gap=None):
            for mention in loud:
                if mention.persona is not None:
                    label = f"{markup.escape(mention.persona.name)} {formats.number(mention.persona.followers)} 粉丝"
                    parts.number(label, chosen.but(persona=mention.persona.id), key=f"loud_{mention.persona.id}")


def show_messages(alert: Alert) -> None:
    sent = queries.notifications(alert.id)
    if sent:
        st.markdown(":gray[通知]")
    for message in sent:
        st.markdown(
            f":gray[{formats.when(message.sent_at or message.created_at, now)}]  "
            f"{markup.escape(labels.channel(message.channel))} "
            f"{markup.badge(labels.NOTIFICATION_STATE[message.state], labels.NOTIFICATION_COLOUR[message.state])} "
            f"{markup.escape(labels.silence(message.reason) or message.error)}"
        )


alert_id = st.query_params.get("alert")
if not alert_id:
    show_list()
else:
    opened = queries.alert(scope, alert_id)
    if opened is None:
        st.button("返回列表", key="back", type="tertiary", icon=":material/arrow_back:", on_click=back)
        parts.empty("这条预警不存在", "它可能已过保存期, 或不在您的监测范围内。")
    else:
        show_one(opened)
