"""Writes of the dashboard: role, scope and state are checked again here, whatever a page showed.

Those of 预警 and 回复任务 are in casework.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from dashboard import context, fitting, formats, labels, queries
from dashboard.access import Viewer
from index import customers
from index.customer_file import CustomerFileError
from index.models import (
    CORRECTED,
    Account,
    Alert,
    Aspect,
    Intent,
    Labels,
    Link,
    LogEntry,
    Mention,
    MentionEdit,
    Review,
    Reviewed,
    Role,
    Sentiment,
    Source,
    Task,
)
from index.store import StoreError, VersionConflict

EVERYBODY = tuple(Role)
HANDLERS = (Role.PR, Role.SERVICE)
HEADS = ("sentiment", "intent", "severity", "aspects")
_TRIES = 3

R = TypeVar("R", Alert, Task, Source)


class ActionError(Exception):
    """It was not done; the text (Chinese) says why and what to do."""


@dataclass(frozen=True)
class Done:
    """What was done, for people, and how to take it back: an action with its arguments."""

    text: str
    undo: tuple[Any, ...] | None = None


# ---------------------------------------------------------------------------------------------- mentions


def correct(viewer: Viewer, mention_id: str, head: str, value: Any) -> Done:
    """A person's word on one head (sentiment, intent, severity, aspects) of a mention."""
    mention = seen_mention(viewer, mention_id, EVERYBODY)
    return _judged(viewer, mention, standing_review(mention), {head: value}, f"已更正为{_said(head, value)}")


def confirm(viewer: Viewer, mention_id: str, seen: Labels | None) -> Done:
    """The model is right about every head that no person has judged yet. seen: what the page showed of its word."""
    mention = seen_mention(viewer, mention_id, EVERYBODY)
    read, kept = mention.labels, standing_review(mention)
    if read is None:
        raise ActionError("模型还没有读到这一条, 请直接选择标注")
    open_heads = [head for head in HEADS if getattr(kept, head, None) is None]
    if not open_heads:
        raise ActionError("这一条的标注都已由人判定")
    if read != seen:
        raise ActionError("模型刚刚重读了这一条, 标注可能变了, 没有确认; 请再看一眼")
    confirmed = {head: getattr(read, head) for head in open_heads}
    if "aspects" in confirmed:  # without the model's probabilities: a person is not 60 % sure
        confirmed["aspects"] = tuple(Aspect(name=each.name, polarity=each.polarity) for each in read.aspects)
    return _judged(viewer, mention, kept, confirmed, "已确认标注无误")


def _judged(viewer: Viewer, mention: Mention, kept: Review | None, said: Mapping[str, Any], text: str) -> Done:
    """kept: the standing review."""
    review = reviewed_by(viewer, kept, said, context.clock())
    if kept is None:
        keep_what_was_said([mention], review.at)
    _edit(mention.id, MentionEdit(review=review))
    log(viewer, CORRECTED, mention.id)
    return Done(text, (restore_review, mention.id, review, mention.review))


def reviewed_by(viewer: Viewer, kept: Review | None, said: Mapping[str, Any], now: datetime) -> Review:
    """What people say of a mention once this person has spoken, too."""
    return Review(**{**(kept.model_dump() if kept else {}), "reviewer": viewer.name, "at": now, **said})


def standing_review(mention: Mention) -> Review | None:
    """What people said of the mention as it is now: none once its author edited what they judged."""
    if mention.review is None:
        return None
    record = context.store().get(Reviewed, mention.id)
    return mention.review if record is None or record.is_about(mention) else None


def keep_what_was_said(mentions: Sequence[Mention], now: datetime) -> None:
    """Before people judge mentions without a standing review: what the model says of them now, for the agreement
    figures and as training rows. A review that goes on keeps its beginning."""
    below = context.settings().nlp.review_below
    fresh = [
        Reviewed(id=each.id, at=now, labels=each.labels, doubtful=bool(fitting.doubts(each, below)), words=each.words)
        for each in mentions
    ]
    try:
        context.store().put_all(fresh)
    except StoreError as error:
        raise ActionError(f"没有保存: {error}") from error


def restore_review(viewer: Viewer, mention_id: str, made: Review, before: Review | None) -> Done:
    """Take a correction back to what people had said before it (None: to the model's word), unless somebody has said
    something else since."""
    if seen_mention(viewer, mention_id, EVERYBODY).review != made:
        raise ActionError("这一条已有新的更正, 保持不变")
    _edit(mention_id, MentionEdit(review=before))
    return Done("已撤销更正")


def correct_aspect(viewer: Viewer, mention_id: str, name: str, polarity: Sentiment | None) -> Done:
    """Set one aspect's polarity, or with None say that the text does not speak of it."""
    mention = seen_mention(viewer, mention_id, EVERYBODY)
    others = tuple(aspect for aspect in mention.aspects if aspect.name != name)
    new = others if polarity is None else (*others, Aspect(name=name, polarity=polarity))
    return correct(viewer, mention_id, "aspects", new)


def hide(viewer: Viewer, mention_id: str, reason: str) -> Done:
    seen_mention(viewer, mention_id, HANDLERS)
    if not reason.strip():
        raise ActionError("请写明隐藏的原因")
    _edit(mention_id, MentionEdit(hidden=f"{reason.strip()} ({viewer.name})"))
    log(viewer, "hide", f"{mention_id}: {reason.strip()}")
    return Done("已隐藏, 不再计入任何数字", (unhide, mention_id))


def unhide(viewer: Viewer, mention_id: str) -> Done:
    seen_mention(viewer, mention_id, HANDLERS)
    _edit(mention_id, MentionEdit(hidden=None))
    log(viewer, "unhide", mention_id)
    return Done("已取消隐藏")


def export_logged(viewer: Viewer, kind: str, n: int, what: str) -> Done:
    """Keep who took out how much; called before the file is handed over."""
    allow(viewer, EVERYBODY)
    log(viewer, "export", f"{kind} {n} 条: {what}", failed="操作日志写不进去, 没有执行")
    return Done(f"已导出 {formats.number(n)} 条, 并记入操作日志")


# --------------------------------------------------------------------------------------------- customers


def confirm_link(viewer: Viewer, link_id: str) -> Done:
    _link(viewer, customers.confirm, link_id)
    return Done("已关联", (undo_link, link_id))


def refuse_link(viewer: Viewer, link_id: str) -> Done:
    _link(viewer, customers.refuse, link_id)
    return Done("已拒绝, 不再建议", (confirm_link, link_id))


def undo_link(viewer: Viewer, link_id: str) -> Done:
    _link(viewer, customers.undo, link_id)
    return Done("已撤销关联, 历史保留", (confirm_link, link_id))


def link_by_hand(viewer: Viewer, mention_id: str, customer_id: str, evidence: str) -> Done:
    mention = seen_mention(viewer, mention_id, (Role.SERVICE,))
    if not evidence.strip():
        raise ActionError("请写明依据, 例如客户在私信中说明了账号")
    try:
        link = customers.link_by_hand(
            context.store(),
            mention,
            customer_id,
            by=viewer.name,
            now=context.clock(),
            evidence=evidence.strip(),
        )
    except (customers.LinkError, StoreError) as error:
        raise ActionError(str(error)) from error
    queries.forget()
    return Done("已关联客户", (undo_link, link.id))


def import_customers(viewer: Viewer, path: Path, *, dry_run: bool) -> customers.ImportReport:
    """Check a file, and unless dry_run write it. Raises ActionError where it is no table of customers."""
    allow(viewer, (Role.SERVICE,))
    try:
        report = customers.import_customers(context.store(), path, now=context.clock(), dry_run=dry_run)
    except (CustomerFileError, StoreError) as error:
        raise ActionError(str(error)) from error
    if report.applied:
        log(viewer, "import", f"客户 {len(report.changes)} 位, 新增 {report.n('new')}, 更新 {report.n('changed')}")
    return report


# ----------------------------------------------------------------------------------------------- sources


def crawl_now(viewer: Viewer, source_id: str) -> Done:
    """Make a source due at once; a worker takes it at its next tick."""
    allow(viewer, HANDLERS)

    def due(source: Source, now: datetime) -> Source:
        if not source.enabled:
            raise ActionError("这个来源没有启用, 请先补全合规依据再启用")
        if source.lease_until is not None and source.lease_until > now:
            raise ActionError("正在采集, 请稍候")
        changed: Source = source.but(next_at=now)
        return changed

    change(Source, source_id, due)
    return Done("已排到最前, 几秒内开始采集")


# ------------------------------------------------------------------------------------------------ inside


def allow(viewer: Viewer, roles: tuple[Role, ...]) -> None:
    """The account is read again: a person may have been locked out since the page was drawn."""
    account = context.store().get(Account, viewer.account_id)
    if account is None or account.disabled:
        raise ActionError("您的账号已停用")
    if account.role not in (*roles, Role.ADMIN):
        raise ActionError(f"{labels.ROLE[account.role]}没有这个权限")


def seen_mention(viewer: Viewer, mention_id: str, roles: tuple[Role, ...]) -> Mention:
    allow(viewer, roles)
    mention = queries.mention(viewer.scope, mention_id)
    if mention is None:
        raise ActionError("这条提及不存在, 或不在您的监测范围内")
    return mention


def _edit(mention_id: str, edit: MentionEdit) -> None:
    try:
        context.store().edit_mention(mention_id, edit)
    except StoreError as error:
        raise ActionError(f"没有保存: {error}") from error
    queries.forget()


def log(viewer: Viewer, action: str, *notes: str, failed: str = "已保存, 但没能记入操作日志") -> None:
    """Keep who did what: a line for each note. failed: what people are told if that cannot be written."""
    now = context.clock()
    entries = [
        LogEntry(id=secrets.token_hex(12), at=now, actor=viewer.name, action=action, note=note[:500]) for note in notes
    ]
    try:
        context.store().put_all(entries)
    except StoreError as error:
        raise ActionError(f"{failed}: {error}") from error


def change(kind: type[R], record_id: str, transition: Callable[[R, datetime], R]) -> R:
    """Read, change, compare and set; who loses a race looks again. Returns the record as it was."""
    for _ in range(_TRIES):
        record = context.store().get(kind, record_id)
        if record is None:
            raise ActionError("这条记录已不存在, 请刷新页面")
        changed = transition(record, context.clock())
        try:
            context.store().put(changed)
        except VersionConflict:
            continue
        except StoreError as error:
            raise ActionError(f"没有保存: {error}") from error
        return record
    raise ActionError("同时有人在改这条记录, 请刷新后再试")


def _link(viewer: Viewer, decide: Callable[..., Link], link_id: str) -> None:
    allow(viewer, (Role.SERVICE,))
    try:
        decide(context.store(), link_id, by=viewer.name, now=context.clock())
    except (customers.LinkError, StoreError) as error:
        raise ActionError(str(error)) from error
    queries.forget()


def _said(head: str, value: Any) -> str:
    words: Mapping[str, Callable[[Any], str]] = {
        "sentiment": lambda v: labels.SENTIMENT[Sentiment(v)],
        "intent": lambda v: labels.INTENT[Intent(v)],
        "severity": lambda v: labels.SEVERITY[v],
        "aspects": lambda v: "、".join(labels.aspect(a.name) + labels.POLARITY_SIGN[a.polarity] for a in v) or "无方面",
    }
    return words[head](value)
