"""Which mentions of the list are ticked, and the bar of what can be done with them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import bulk, context, labels, parts
from dashboard.actions import Done
from index.models import Intent, Role, Sentiment


def key_of(mention_id: str) -> str:
    return f"tick_{mention_id}"


def ticked(ids: Sequence[str]) -> tuple[str, ...]:
    """Those of the shown ones that are ticked; the state of the boxes is known before they are drawn."""
    return tuple(key for key in ids if st.session_state.get(key_of(key)))


def tick_box(mention_id: str, line: str) -> None:
    """The line beside the box ticks it, too: a box alone is small for a finger."""
    st.checkbox(line, key=key_of(mention_id), width="stretch")


def tick(ids: Sequence[str], value: bool) -> None:
    for key in ids:
        st.session_state[key_of(key)] = value


def bar(ids: Sequence[str]) -> None:
    """Nothing while nothing is ticked."""
    chosen = ticked(ids)
    if not chosen:
        return
    viewer = context.viewer()
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key="bulk_bar"):
        st.markdown(f"**已选 {len(chosen)} 条**", width="content")
        with st.popover("标注", icon=":material/label:"):
            sentiment = st.segmented_control(
                "情感", list(Sentiment), format_func=labels.SENTIMENT.__getitem__, key="bulk_sentiment"
            )
            intent = st.pills("意图", list(Intent), format_func=labels.INTENT.__getitem__, key="bulk_intent")
            _button(f"更正这 {len(chosen)} 条", "bulk_correct", bulk.correct, chosen, sentiment, intent)
        if viewer.may(Role.PR, Role.SERVICE):
            with st.popover("隐藏", icon=":material/visibility_off:"):
                reason = st.radio("原因", [*labels.HIDE_REASONS, labels.OTHER_REASON], key="bulk_why")
                is_other = reason == labels.OTHER_REASON
                if is_other:
                    st.text_input("补充说明", key="bulk_note", live=True)
                why = parts.Typed("bulk_note") if is_other else reason
                _button(f"隐藏这 {len(chosen)} 条", "bulk_hide", bulk.hide, chosen, why)
            st.button(
                "建任务",
                key="bulk_tasks",
                icon=":material/add_task:",
                on_click=_do,
                args=(bulk.make_tasks, chosen),
                help="每条提及一个任务, 放进客服的待认领队列; 已有任务的跳过",
            )
        if len(chosen) < len(ids):
            st.button(f"全选这 {len(ids)} 条", key="tick_all", type="tertiary", on_click=tick, args=(ids, True))
        st.button("取消选择", key="tick_none", type="tertiary", on_click=tick, args=(ids, False))


def _button(label: str, key: str, action: Callable[..., Done], chosen: Sequence[str], *args: object) -> None:
    st.button(label, key=key, type="primary", on_click=_do, args=(action, chosen, *args))


def _do(action: Callable[..., Done], chosen: Sequence[str], *args: object) -> None:
    """Do it, and where it went well untick what it was done to."""
    parts.act(action, tuple(chosen), *args)
    if st.session_state["said"][1] != "error":
        tick(chosen, False)
