"""Who the customer of a task is, in a few lines beside the reply."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from dashboard import context, formats, labels, markup, parts, queries
from index.models import Customer, LinkState, Mention
from index.store import MentionQuery


def badge(customer: Customer | None) -> str:
    if customer is None:
        return ""
    badges = [markup.badge(customer.name, "blue", ":material/person:")]
    badges += [markup.badge(word, "violet") for word in (customer.tier, *customer.tags) if word]
    return " ".join(badges)


def show(customer: Customer | None, mention: Mention | None, now: datetime) -> None:
    """The customer, or who it may be."""
    scope = context.viewer().scope
    with st.container(border=True):
        st.subheader("客户", anchor=False)
        if customer is None:
            st.caption("还不知道发言者是哪位客户。")
            if mention is not None and mention.persona is not None:
                suggested = queries.links({"persona_id": mention.persona.id, "state": LinkState.SUGGESTED})
                named = queries.customers_named([link.customer_id for link in suggested])
                for link in suggested:
                    name = named[link.customer_id].name if link.customer_id in named else link.customer_id
                    st.markdown(f":orange[可能是] {markup.escape(name)} :gray[{markup.escape(link.evidence)}]")
                    st.button(
                        "去确认",
                        key=f"suggest_{link.id}",
                        type="tertiary",
                        on_click=parts.goto,
                        args=(parts.CUSTOMERS_PAGE, {"customer": link.customer_id}),
                    )
            return
        st.markdown(badge(customer))
        if customer.group:
            st.caption(labels.GROUP[customer.group])
        total = sum(order.amount for order in customer.orders)
        st.text(f"订单 {len(customer.orders)} 笔, 合计 {formats.money(total)}")
        for order in sorted(customer.orders, key=lambda each: each.at, reverse=True)[:3]:
            st.caption(f"{formats.when(order.at, now)} · {formats.money(order.amount)} · {markup.escape(order.items)}")
        history = MentionQuery(customer_id=customer.id)
        earlier = queries.tasks(scope, {"customer_id": customer.id}, newest_first=True)
        lately = sum(task.replied_at is not None and task.replied_at > now - timedelta(days=30) for task in earlier)
        st.text(f"公开说过 {queries.count(scope, history)} 条, 任务 {len(earlier)} 个, 近 30 天已回复 {lately} 次")
        st.button(
            "查看客户",
            key="customer",
            type="tertiary",
            on_click=parts.goto,
            args=(parts.CUSTOMERS_PAGE, {"customer": customer.id}),
        )
