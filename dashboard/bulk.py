"""Writes of 提及 on many mentions at once: role and scope are checked as for one, what is done already is passed over.

Each can be repeated without harm. Undo gives back only what nobody has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dashboard import actions, casework, context, labels, queries
from dashboard.access import Viewer
from dashboard.actions import HANDLERS, ActionError, Done, allow
from index.models import CORRECTED, Intent, Mention, MentionEdit, Review, Role, Sentiment, TaskState
from index.store import StoreError

Ids = tuple[str, ...]


def correct(viewer: Viewer, ids: Ids, sentiment: Sentiment | None, intent: Intent | None) -> Done:
    """One person's word on the sentiment, the intent or both of many mentions."""
    if sentiment is None and intent is None:
        raise ActionError("请先选择情感或意图")
    said = {name: value for name, value in (("sentiment", sentiment), ("intent", intent)) if value is not None}
    found = _seen(viewer, ids, tuple(Role))
    now = context.clock()
    reviews, before = {}, {}
    fresh = []
    for mention in found:
        kept = actions.standing_review(mention)
        if kept is not None and all(getattr(kept, name) == said[name] for name in said):
            continue
        reviews[mention.id] = actions.reviewed_by(viewer, kept, said, now)
        before[mention.id] = mention.review
        if kept is None:
            fresh.append(mention)
    actions.keep_what_was_said(fresh, now)
    _edit({key: MentionEdit(review=review) for key, review in reviews.items()})
    actions.log(viewer, CORRECTED, *reviews)
    words = [labels.SENTIMENT[sentiment]] if sentiment is not None else []
    words += [labels.INTENT[intent]] if intent is not None else []
    text = f"已把 {len(reviews)} 条更正为{'、'.join(words)}{_rest(len(found) - len(reviews), '条本来就是', ids, found)}"
    return Done(text, (restore, reviews, before) if reviews else None)


def restore(viewer: Viewer, made: Mapping[str, Review], before: Mapping[str, Review | None]) -> Done:
    """Take a correction of many back, except where somebody has said something else since."""
    found = [each for each in _seen(viewer, tuple(made), tuple(Role)) if each.review == made[each.id]]
    _edit({mention.id: MentionEdit(review=before[mention.id]) for mention in found})
    return Done(f"已撤销 {len(found)} 条更正{_since(len(made) - len(found))}")


def hide(viewer: Viewer, ids: Ids, reason: str) -> Done:
    if not reason.strip():
        raise ActionError("请写明隐藏的原因")
    found = _seen(viewer, ids, HANDLERS)
    new = [mention.id for mention in found if mention.hidden is None]
    kept = f"{reason.strip()} ({viewer.name})"
    _edit({key: MentionEdit(hidden=kept) for key in new})
    actions.log(viewer, "hide", *(f"{key}: {reason.strip()}" for key in new))
    text = f"已隐藏 {len(new)} 条, 不再计入任何数字{_rest(len(found) - len(new), '条早已隐藏', ids, found)}"
    return Done(text, (unhide, tuple(new), kept) if new else None)


def unhide(viewer: Viewer, ids: Ids, reason: str) -> Done:
    """Show again those that are still hidden for this reason."""
    found = [mention.id for mention in _seen(viewer, ids, HANDLERS) if mention.hidden == reason]
    _edit({key: MentionEdit(hidden=None) for key in found})
    actions.log(viewer, "unhide", *found)
    return Done(f"已取消隐藏 {len(found)} 条{_since(len(ids) - len(found))}")


def make_tasks(viewer: Viewer, ids: Ids) -> Done:
    found = _seen(viewer, ids, HANDLERS)
    made = [task.id for task in (casework.new_task(viewer, mention) for mention in found) if task is not None]
    text = f"已建 {len(made)} 个任务{_rest(len(found) - len(made), '条早已有任务', ids, found)}"
    return Done(text, (dismiss, tuple(made)) if made else None)


def dismiss(viewer: Viewer, task_ids: Ids) -> Done:
    """Take new tasks back that nobody has taken up yet."""
    n = 0
    for task_id in task_ids:
        task = queries.task(viewer.scope, task_id)
        if task is not None and task.state == TaskState.OPEN:
            casework.dismiss(viewer, task_id, "误建")
            n += 1
    return Done(f"已撤销 {n} 个任务{_since(len(task_ids) - n)}")


# ------------------------------------------------------------------------------------------------ inside


def _seen(viewer: Viewer, ids: Iterable[str], roles: tuple[Role, ...]) -> list[Mention]:
    allow(viewer, roles)
    wanted = tuple(dict.fromkeys(ids))
    if not wanted:
        raise ActionError("请先勾选提及")
    known = queries.mentions(viewer.scope, wanted)
    found = [known[key] for key in wanted if key in known]
    if not found:
        raise ActionError("勾选的提及不存在, 或不在您的监测范围内")
    return found


def _edit(edits: Mapping[str, MentionEdit]) -> None:
    if not edits:
        return
    try:
        context.store().edit_mentions(edits)
    except StoreError as error:
        raise ActionError(f"没有保存: {error}") from error
    queries.forget()


def _rest(n_same: int, what: str, ids: Ids, found: list[Mention]) -> str:
    """What was not done and why, as the end of a sentence."""
    n_gone = len(set(ids)) - len(found)
    same = f"; {n_same} {what}" if n_same else ""
    return same + (f"; {n_gone} 条已不存在" if n_gone else "")


def _since(n: int) -> str:
    return f"; {n} 条已有新的改动, 保持不变" if n else ""
