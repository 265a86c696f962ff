"""Reply tasks: which mentions become one, how urgent it is and why, and what people may do with it next.

open -> claimed -> replied -> closed        claimed | replied -> waiting -> (resume) -> claimed | replied
open | claimed | waiting | replied -> dismissed        closed | dismissed -> (reopen) -> open

Everything is pure: a task in, a task out; the caller writes it by compare-and-set, so of two people who
claim at once one gets the store's VersionConflict, reads again, and is told by claim() who was faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from alerts import clock
from index.models import Customer, Event, Intent, Mention, Priority, Task, TaskState
from settings import OWN_KINDS, SlaSettings, TaskSettings

SYSTEM = "system"
TITLE_CHARS = 60
VIP_WORDS = ("vip", "svip", "黑金", "钻石", "铂金", "白金", "金卡")
ALIVE = (TaskState.OPEN, TaskState.CLAIMED, TaskState.WAITING, TaskState.REPLIED)


class TaskError(Exception):
    """The act is not possible now; the text (Chinese) says why."""


def task_for(
    mention: Mention,
    *,
    customer: Customer | None,
    sla: SlaSettings,
    tasks: TaskSettings,
    topic_kinds: Mapping[str, str],
    now: datetime,
    n_earlier: int = 0,
) -> Task | None:
    """The task a mention gives rise to, or None; the same mention always gives the same id.

    topic_kinds maps topic ids to their kind: only one's own brand and products are answered. n_earlier is
    the number of earlier complaints by the same customer or persona.
    """
    topic = _own_topic(mention, tasks, topic_kinds)
    if topic is None or mention.is_copy or mention.hidden is not None:
        return None
    if mention.intent is None or mention.intent.value not in tasks.intents:
        return None
    if not _is_sure(mention, tasks.min_probability) or now - mention.published_at > timedelta(hours=tasks.max_age_h):
        return None
    return make_task(mention, topic=topic, customer=customer, sla=sla, actor=SYSTEM, now=now, n_earlier=n_earlier)


def make_task(
    mention: Mention,
    *,
    topic: str,
    customer: Customer | None,
    sla: SlaSettings,
    actor: str,
    now: datetime,
    n_earlier: int = 0,
) -> Task:
    """A task for this mention, asked for by a rule or by a person."""
    priority, reasons = priority_of(mention, customer=customer, n_earlier=n_earlier, now=now)
    due_at, resolve_by = clock.deadlines(now, priority, sla)
    return Task(
        id=task_id(mention.id),
        mention_id=mention.id,
        topic=topic,
        customer_id=customer.id if customer else mention.customer_id,
        intent=mention.intent,
        title=_title(mention),
        platform=mention.platform,
        priority=priority,
        priority_reasons=reasons,
        created_at=now,
        due_at=due_at,
        resolve_by=resolve_by,
        timeline=(Event(at=now, actor=actor, action="created", note="、".join(reasons)),),
    )


def task_id(mention_id: str) -> str:
    return f"task:{mention_id}"


def _own_topic(mention: Mention, tasks: TaskSettings, topic_kinds: Mapping[str, str]) -> str | None:
    for topic in mention.topics:
        wanted = topic in tasks.topics if tasks.topics else True
        if wanted and topic_kinds.get(topic) in OWN_KINDS:
            return topic
    return None


def _is_sure(mention: Mention, least: float) -> bool:
    if mention.review is not None and mention.review.intent is not None:
        return True
    return mention.labels is not None and mention.labels.intent_probability >= least


def _title(mention: Mention) -> str:
    words = " ".join((mention.title or mention.text).split())
    return words if len(words) <= TITLE_CHARS else words[: TITLE_CHARS - 1] + "…"


def priority_of(
    mention: Mention, *, customer: Customer | None, n_earlier: int, now: datetime
) -> tuple[Priority, tuple[str, ...]]:
    """Points for what is at stake; 5 is urgent, 3 high, 1 normal. Each point has its reason in Chinese."""
    points: list[tuple[int, str]] = []
    if mention.intent == Intent.COMPLAINT:
        points.append((1, "投诉"))
    elif mention.intent == Intent.QUESTION:
        points.append((1, "咨询"))
    if mention.severity == 2:
        points.append((4, "严重程度 2 (涉及安全、违法或重大损失)"))
    elif mention.severity == 1:
        points.append((1, "严重程度 1"))
    points += _reach(mention)
    points += _customer_value(customer)
    if n_earlier >= 2:
        points.append((2, f"此前已投诉 {n_earlier} 次"))
    elif n_earlier == 1:
        points.append((1, "此前投诉过 1 次"))
    hours = (now - mention.published_at).total_seconds() / 3600
    if hours >= 24:
        points.append((1, f"已发布 {hours:.0f} 小时"))
    total = sum(n for n, _ in points)
    return _by_points(total), tuple(reason for _, reason in points)


def _by_points(total: int) -> Priority:
    if total >= 5:
        return Priority.URGENT
    if total >= 3:
        return Priority.HIGH
    return Priority.NORMAL if total >= 1 else Priority.LOW


def _reach(mention: Mention) -> list[tuple[int, str]]:
    followers = (mention.persona.followers if mention.persona else None) or 0
    acts = mention.engagement
    moved = sum(n or 0 for n in (acts.likes, acts.comments, acts.reposts))
    points = []
    if followers >= 100_000:
        points.append((2, f"发言者粉丝 {_short(followers)}"))
    elif followers >= 10_000:
        points.append((1, f"发言者粉丝 {_short(followers)}"))
    if moved >= 500:
        points.append((2, f"互动 {_short(moved)}"))
    elif moved >= 50:
        points.append((1, f"互动 {_short(moved)}"))
    return points


def _short(n: int) -> str:
    return f"{n / 10_000:.1f} 万".replace(".0 ", " ") if n >= 10_000 else str(n)


def _customer_value(customer: Customer | None) -> list[tuple[int, str]]:
    if customer is None:
        return []
    points = []
    if any(word in customer.tier.lower() for word in VIP_WORDS):
        points.append((2, f"会员等级 {customer.tier}"))
    if customer.group == "A":
        points.append((2, "A 类客户"))
    elif customer.group == "B":
        points.append((1, "B 类客户"))
    return points


# ------------------------------------------------------------------------------------------ acts of people


def claim(task: Task, *, actor: str, now: datetime) -> Task:
    """Take it. Raises TaskError that says who was faster, and by how much."""
    if task.owner is not None and task.owner != actor and task.state in ALIVE:
        ago = f" {ago_words(now - task.claimed_at)}前" if task.claimed_at else ""
        raise TaskError(f"{task.owner}{ago}认领了这个任务")
    if task.owner == actor and task.state in ALIVE:
        raise TaskError("你已经认领了这个任务")
    _must_be(task, (TaskState.OPEN,), "认领")
    return _with(task, now, actor, "claimed", state=TaskState.CLAIMED, owner=actor, claimed_at=now)


def release(task: Task, *, actor: str, now: datetime, reason: str = "") -> Task:
    """Give it back to the queue; the clock runs on."""
    _must_be(task, (TaskState.CLAIMED,), "退回")
    return _with(task, now, actor, "released", reason, state=TaskState.OPEN, owner=None, claimed_at=None)


def assign(task: Task, *, owner: str, actor: str, now: datetime) -> Task:
    """Hand it to somebody, whoever has it now."""
    if task.state not in ALIVE:
        raise TaskError("任务已结束, 不能再指派")
    if not owner.strip() or owner == task.owner:
        raise TaskError("请选择另一位同事")
    state = TaskState.CLAIMED if task.state == TaskState.OPEN else task.state
    return _with(task, now, actor, "assigned", owner, state=state, owner=owner, claimed_at=now)


def save_draft(task: Task, *, text: str) -> Task:
    """What somebody has typed so far; no line in the timeline."""
    if task.state not in ALIVE:
        raise TaskError("任务已结束, 不能再修改草稿")
    return task.but(draft=text)


def reply(task: Task, *, url: str, text: str, sla: SlaSettings, actor: str, now: datetime) -> Task:
    """A person has posted the reply; its link is the proof. Raises TaskError for a link that is none."""
    _must_be(task, (TaskState.CLAIMED, TaskState.WAITING, TaskState.REPLIED), "登记回复")
    if not is_web_address(url):
        raise TaskError("请粘贴回复的网页链接, 以 http:// 或 https:// 开头")
    if not text.strip():
        raise TaskError("请填写回复的内容")
    if task.state == TaskState.WAITING:
        task = resume(task, sla=sla, actor=actor, now=now)
    return _with(
        task,
        now,
        actor,
        "replied",
        url.strip(),
        state=TaskState.REPLIED,
        owner=task.owner or actor,
        replied_at=task.replied_at or now,
        reply_url=url.strip(),
        reply_text=text.strip(),
        draft="",
        waiting_until=None,
    )


def is_web_address(url: str) -> bool:
    """http(s) with a host and no blanks; never javascript: or a path."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(c.isspace() for c in url.strip())


def wait(task: Task, *, until: datetime, note: str, actor: str, now: datetime) -> Task:
    """The customer or a colleague must act first; the clock stops until resume()."""
    _must_be(task, (TaskState.CLAIMED, TaskState.REPLIED), "转为等待")
    if until <= now:
        raise TaskError("下次跟进时间要晚于现在")
    return _with(task, now, actor, "waiting", note, state=TaskState.WAITING, waiting_until=until)


def resume(task: Task, *, sla: SlaSettings, actor: str, now: datetime) -> Task:
    """Go on; the deadlines move by the time that was waited, counted as the task's own clock counts."""
    _must_be(task, (TaskState.WAITING,), "继续")
    since = clock.waiting_since(task) or now
    waited_s = max(0.0, clock.elapsed_s(since, now, task.priority, sla))
    state = TaskState.CLAIMED if task.replied_at is None else TaskState.REPLIED
    return _with(
        task,
        now,
        actor,
        "resumed",
        state=state,
        waiting_until=None,
        waited_s=task.waited_s + waited_s,
        due_at=clock.later(task.due_at, waited_s, task.priority, sla),
        resolve_by=clock.later(task.resolve_by, waited_s, task.priority, sla),
    )


def close(task: Task, *, outcome: str, actor: str, now: datetime) -> Task:
    """Done, with a result. Only a task with a reply can be closed; without one it is dismissed."""
    if task.replied_at is None:
        raise TaskError("还没有登记回复; 不需要回复时请用「忽略」并写明原因")
    _must_be(task, (TaskState.REPLIED, TaskState.WAITING), "关闭")
    if not outcome.strip():
        raise TaskError("请选择处理结果")
    done = {"state": TaskState.CLOSED, "outcome": outcome.strip(), "closed_at": now, "waiting_until": None}
    return _with(task, now, actor, "closed", outcome, **done)


def dismiss(task: Task, *, reason: str, actor: str, now: datetime) -> Task:
    """Needs no reply (not ours, an advertisement, a double)."""
    if task.state not in ALIVE:
        raise TaskError("任务已结束, 不能再忽略")
    if not reason.strip():
        raise TaskError("请写明忽略的原因")
    done = {"state": TaskState.DISMISSED, "outcome": reason.strip(), "closed_at": now, "waiting_until": None}
    return _with(task, now, actor, "dismissed", reason, **done)


def reopen(task: Task, *, reason: str, sla: SlaSettings, actor: str, now: datetime) -> Task:
    """Back to the queue with a new clock; the reply that was given stays in the timeline."""
    _must_be(task, (TaskState.CLOSED, TaskState.DISMISSED), "重新打开")
    if not reason.strip():
        raise TaskError("请写明重新打开的原因")
    due_at, resolve_by = clock.deadlines(now, task.priority, sla)
    return _with(
        task,
        now,
        actor,
        "reopened",
        reason,
        state=TaskState.OPEN,
        owner=None,
        claimed_at=None,
        replied_at=None,
        closed_at=None,
        outcome="",
        waited_s=0.0,
        due_at=due_at,
        resolve_by=resolve_by,
    )


STATE_WORDS = {
    TaskState.OPEN: "待认领",
    TaskState.CLAIMED: "处理中",
    TaskState.WAITING: "等待中",
    TaskState.REPLIED: "已回复",
    TaskState.CLOSED: "已关闭",
    TaskState.DISMISSED: "已忽略",
}


def _must_be(task: Task, states: tuple[TaskState, ...], act: str) -> None:
    if task.state not in states:
        raise TaskError(f"任务现在是「{STATE_WORDS[task.state]}」, 不能{act}")


def _with(task: Task, now: datetime, actor: str, action: str, note: str = "", **changes: object) -> Task:
    event = Event(at=now, actor=actor, action=action, note=note.strip())
    changed: Task = task.but(**changes, timeline=(*task.timeline, event))
    return changed


def ago_words(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} 秒"
    if seconds < 3600:
        return f"{seconds // 60} 分钟"
    if seconds < 86_400:
        return f"{seconds // 3600} 小时"
    return f"{seconds // 86_400} 天"
