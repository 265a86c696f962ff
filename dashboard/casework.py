"""Writes of 预警 and 回复任务: each is a pure transition of alerts/, written by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from alerts import crisis, tasks
from dashboard import context, formats, labels, queries
from dashboard.access import Viewer
from dashboard.actions import HANDLERS, ActionError, Done, allow, change, seen_mention
from index.models import Alert, Level, Mention, Mute, Role, Task
from index.store import StoreError, VersionConflict

DECIDERS = (Role.PR,)
"""Who decides about alerts; an admin may everything."""

# ------------------------------------------------------------------------------------------------ alerts


def acknowledge(viewer: Viewer, alert_id: str) -> Done:
    _change_alert(viewer, alert_id, lambda alert, now: crisis.acknowledge(alert, actor=viewer.name, now=now))
    return Done("已确认, 由您负责")


def assign(viewer: Viewer, alert_id: str, owner: str) -> Done:
    found = queries.alert(viewer.scope, alert_id)
    if found is not None and owner not in queries.colleagues(DECIDERS, found.topic):
        raise ActionError(f"{owner} 不能处理这个主题的预警")
    before = _change_alert(
        viewer, alert_id, lambda alert, now: crisis.assign(alert, owner=owner, actor=viewer.name, now=now)
    )
    return Done(f"已指派给 {owner}", (assign, alert_id, before.owner) if before.owner else None)


def set_level(viewer: Viewer, alert_id: str, level: Level, reason: str) -> Done:
    _change_alert(
        viewer,
        alert_id,
        lambda alert, now: crisis.set_level(alert, level=level, reason=reason, actor=viewer.name, now=now),
    )
    return Done(f"级别已调为{labels.LEVEL[level]}")


def mute(viewer: Viewer, alert_id: str, hours: int, reason: str) -> Done:
    until = context.clock() + timedelta(hours=hours)
    _change_alert(
        viewer,
        alert_id,
        lambda alert, now: crisis.mute(alert, until=until, reason=reason, actor=viewer.name, now=now),
    )
    return Done(f"已静音到 {formats.when(until, context.clock())}, 期间不再发通知", (unmute, alert_id))


def unmute(viewer: Viewer, alert_id: str) -> Done:
    _change_alert(viewer, alert_id, lambda alert, now: crisis.unmute(alert, actor=viewer.name, now=now))
    return Done("已取消静音")


def resolve(viewer: Viewer, alert_id: str, reason: str) -> Done:
    _change_alert(viewer, alert_id, lambda alert, now: crisis.resolve(alert, reason=reason, actor=viewer.name, now=now))
    return Done("预警已解除")


def false_alarm(viewer: Viewer, alert_id: str, reason: str, mute_hours: int = 0) -> Done:
    """Resolve as not true; on wish silence the same rule on the same topic for a while."""
    before = _change_alert(
        viewer, alert_id, lambda alert, now: crisis.false_alarm(alert, reason=reason, actor=viewer.name, now=now)
    )
    if not mute_hours:
        return Done("已标为误报并解除")
    now = context.clock()
    silence = Mute(
        id=f"{alert_id}|mute",
        rule=before.rule,
        topic=before.topic,
        # Alerts about sources have no topic; without the source all of them would fall silent.
        story_id=before.story_id if before.topic == queries.NO_TOPIC_OF_SOURCE else None,
        until=now + timedelta(hours=mute_hours),
        reason=f"误报: {reason.strip()}",
        by=viewer.name,
        created_at=now,
    )
    try:
        context.store().put(silence)
    except StoreError as error:
        raise ActionError(f"已标为误报, 但静音没有设上: {error}") from error
    return Done(f"已标为误报; 同一规则和主题静音 {mute_hours} 小时")


def note_alert(viewer: Viewer, alert_id: str, text: str) -> Done:
    _change_alert(viewer, alert_id, lambda alert, now: crisis.note(alert, text=text, actor=viewer.name, now=now))
    return Done("备注已记入时间线")


def add_evidence(viewer: Viewer, alert_id: str, mention_id: str) -> Done:
    """Put a mention into an alert that is not over."""
    mention = seen_mention(viewer, mention_id, (Role.PR,))
    before = _change_alert(
        viewer,
        alert_id,
        lambda alert, now: crisis.add_evidence(alert, mention_id=mention.id, actor=viewer.name, now=now),
    )
    what = f"{labels.LEVEL[before.level]}预警: {before.sentence[:24]}"
    return Done(f"已作为证据加入{what}", (remove_evidence, alert_id, mention_id))


def remove_evidence(viewer: Viewer, alert_id: str, mention_id: str) -> Done:
    _change_alert(
        viewer,
        alert_id,
        lambda alert, now: crisis.remove_evidence(alert, mention_id=mention_id, actor=viewer.name, now=now),
    )
    return Done("已从预警撤下")


# ----------------------------------------------------------------------------------------------- tasks


def make_task(viewer: Viewer, mention_id: str) -> Done:
    task = new_task(viewer, seen_mention(viewer, mention_id, HANDLERS))
    if task is None:
        raise ActionError("这条提及已经有任务了")
    return Done(f"已建任务, 优先级{labels.PRIORITY[task.priority]}", (dismiss, task.id, "误建"))


def new_task(viewer: Viewer, mention: Mention) -> Task | None:
    """The stored task of a mention that the viewer may hand on; None where it has one already."""
    own_first = queries.topics(viewer.scope)
    topic = next((topic for topic in own_first if topic in mention.topics), "")
    task = tasks.make_task(
        mention,
        topic=topic,
        customer=queries.customer(mention.customer_id) if mention.customer_id else None,
        sla=context.settings().sla,
        actor=viewer.name,
        now=context.clock(),
    )
    try:
        return context.store().put(task)
    except VersionConflict:
        return None
    except StoreError as error:
        raise ActionError(f"没有保存: {error}") from error


def claim(viewer: Viewer, task_id: str) -> Done:
    _change_task(viewer, task_id, lambda task, now: tasks.claim(task, actor=viewer.name, now=now))
    return Done("已认领, 由您回复", (release, task_id))


def release(viewer: Viewer, task_id: str) -> Done:
    _change_task(viewer, task_id, lambda task, now: tasks.release(_own(viewer, task), actor=viewer.name, now=now))
    return Done("已退回队列", (claim, task_id))


def assign_task(viewer: Viewer, task_id: str, owner: str) -> Done:
    found = queries.task(viewer.scope, task_id)
    if found is not None and owner not in queries.colleagues(HANDLERS, found.topic):
        raise ActionError(f"{owner} 不能处理这个主题的任务")
    _change_task(viewer, task_id, lambda task, now: tasks.assign(task, owner=owner or "", actor=viewer.name, now=now))
    return Done(f"已交给 {owner}")


def save_draft(viewer: Viewer, task_id: str, text: str) -> None:
    """Keep what was typed. Raises ActionError; says nothing when it is well."""
    _change_task(viewer, task_id, lambda task, _: tasks.save_draft(_own(viewer, task), text=text))


def reply(viewer: Viewer, task_id: str, url: str, text: str) -> Done:
    sla = context.settings().sla
    _change_task(
        viewer,
        task_id,
        lambda task, now: tasks.reply(_own(viewer, task), url=url, text=text, sla=sla, actor=viewer.name, now=now),
    )
    return Done("回复已登记, 请选择处理结果后关闭任务")


def wait(viewer: Viewer, task_id: str, until: datetime, note: str) -> Done:
    _change_task(
        viewer,
        task_id,
        lambda task, now: tasks.wait(_own(viewer, task), until=until, note=note, actor=viewer.name, now=now),
    )
    return Done(f"已转为等待, {formats.when(until, context.clock())} 再跟进, 期间不计时", (resume, task_id))


def resume(viewer: Viewer, task_id: str) -> Done:
    sla = context.settings().sla
    _change_task(
        viewer, task_id, lambda task, now: tasks.resume(_own(viewer, task), sla=sla, actor=viewer.name, now=now)
    )
    return Done("继续处理, 时限已顺延")


def close(viewer: Viewer, task_id: str, outcome: str) -> Done:
    _change_task(
        viewer,
        task_id,
        lambda task, now: tasks.close(_own(viewer, task), outcome=outcome, actor=viewer.name, now=now),
    )
    return Done(f"任务已关闭: {outcome}", (reopen, task_id, "撤销关闭"))


def dismiss(viewer: Viewer, task_id: str, reason: str) -> Done:
    _change_task(
        viewer,
        task_id,
        lambda task, now: tasks.dismiss(_own(viewer, task), reason=reason, actor=viewer.name, now=now),
    )
    return Done("任务已忽略", (reopen, task_id, "撤销忽略"))


def reopen(viewer: Viewer, task_id: str, reason: str) -> Done:
    sla = context.settings().sla
    _change_task(
        viewer, task_id, lambda task, now: tasks.reopen(task, reason=reason, sla=sla, actor=viewer.name, now=now)
    )
    return Done("任务已重新打开, 回到待认领")


# ------------------------------------------------------------------------------------------------ inside


def _change_alert(viewer: Viewer, alert_id: str, transition: Callable[[Alert, datetime], Alert]) -> Alert:
    allow(viewer, DECIDERS)
    if queries.alert(viewer.scope, alert_id) is None:
        raise ActionError("这条预警不存在, 或不在您的监测范围内")
    try:
        return change(Alert, alert_id, transition)
    except crisis.AlertError as error:
        raise ActionError(str(error)) from error


def _change_task(viewer: Viewer, task_id: str, transition: Callable[[Task, datetime], Task]) -> Task:
    allow(viewer, HANDLERS)
    if queries.task(viewer.scope, task_id) is None:
        raise ActionError("这个任务不存在, 或不在您的监测范围内")
    try:
        return change(Task, task_id, transition)
    except tasks.TaskError as error:
        raise ActionError(str(error)) from error


def _own(viewer: Viewer, task: Task) -> Task:
    """What somebody else has taken, only they or an admin change."""
    if task.owner not in (None, viewer.name) and viewer.role != Role.ADMIN:
        raise ActionError(f"这个任务由 {task.owner} 负责; 需要接手请用“转交”")
    return task
