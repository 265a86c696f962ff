"""Titles and bodies of notifications: what, value against normal, since when, who says it, where to act."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from alerts.messages.markup import inert, link
from index.models import BEIJING_OFFSET, Alert, Level, Mention, Notification, Priority, Task

LAMPS = {Level.BLUE: "🔵", Level.YELLOW: "🟡", Level.ORANGE: "🟠", Level.RED: "🔴"}
LEVEL_WORDS = {Level.BLUE: "蓝色", Level.YELLOW: "黄色", Level.ORANGE: "橙色", Level.RED: "红色"}
PRIORITY_WORDS = {Priority.URGENT: "紧急", Priority.HIGH: "高", Priority.NORMAL: "普通", Priority.LOW: "低"}
N_QUOTES = 3


def when(at: datetime) -> str:
    """Beijing time for people."""
    return f"{at + BEIJING_OFFSET:%m-%d %H:%M}"


def page(base_url: str, name: str, record_id: str) -> str:
    """Address of one record in the dashboard: /alerts?alert=..."""
    return f"{base_url.rstrip('/')}/{name}s?{name}={quote(record_id, safe='')}"


def alert_title(alert: Alert, event: str, subject: str) -> str:
    if event == "resolved":
        return f"✅ 已解除 · {inert(subject, 40)}"
    verb = "升级为" if event in ("raised", "level_raised") else ""
    return f"{LAMPS[alert.level]} {verb}{LEVEL_WORDS[alert.level]}预警 · {inert(subject, 40)}"


def alert_body(alert: Alert, event: str, rule_name: str, mentions: Sequence[Mention], base_url: str) -> str:
    lines = [f"**{_trusted(alert.sentence)}**"]
    if event == "resolved":
        lines = [f"**{inert(alert.timeline[-1].note)}**", f"当时: {_trusted(alert.sentence)}"]
    lines.append(f"规则: {inert(rule_name, 40)} · 开始于 {when(alert.opened_at)}")
    if alert.owner:
        lines.append(f"负责人: {inert(alert.owner, 20)}")
    if event != "resolved":
        lines += [quote_line(mention) for mention in mentions[:N_QUOTES]]
    lines.append(link("打开预警", page(base_url, "alert", alert.id)))
    return "\n".join(lines)


def _trusted(sentence: str) -> str:
    """Our own sentence, which may hold names from settings; long enough not to be cut."""
    return inert(sentence, 300)


def quote_line(mention: Mention) -> str:
    """> 作者 (平台, 10:32): 原文 [原文]"""
    author = inert(mention.persona.name, 20) if mention.persona else "佚名"
    text = inert(mention.title or mention.text, 90)
    source = link("原文", mention.url)
    return (
        f"> {author} · {inert(mention.platform, 20)} · {when(mention.published_at)}: {text} "
        + (source if source != "原文" else "").strip()
    )


def folded_line(message: Notification) -> str:
    """One line for a message that travels inside another: its title and what it says first."""
    first, _, _ = message.body.partition("\n")
    return f"另: {message.title} · {first.replace('**', '')}"


def over_line(resolved_at: datetime) -> str:
    """For a message that was put off until the alert was over."""
    return f"此预警已于 {when(resolved_at)} 解除"


def task_title(task: Task, event: str) -> str:
    word = {"overdue": "回复超时"}.get(event, "回复任务")
    return f"⏰ {word} · {PRIORITY_WORDS[task.priority]}优先 · {inert(task.title, 40)}"


def task_body(task: Task, base_url: str) -> str:
    lines = [f"应于 {when(task.due_at)} 前首次回复, 负责人: {inert(task.owner or '无人认领', 20)}"]
    if task.priority_reasons:
        lines.append("原因: " + inert("、".join(task.priority_reasons)))
    lines.append(link("打开任务", page(base_url, "task", task.id)))
    return "\n".join(lines)
