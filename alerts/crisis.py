"""The life of an alert: opened by a breach, raised, acknowledged, resolved; every act is a line of its timeline.

apply and expire are for the watcher, the others for people. All are pure: an alert in, an alert out.
What must be told is what the timeline says (alerts/deliver.py), so a message cannot be lost between two writes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from index.models import Alert, AlertState, Breach, Event, Level, Reason, Rule

SYSTEM = "system"
OPENED, RAISED, RESOLVED = "opened", "raised", "resolved"
LEVEL_RAISED, LEVEL_LOWERED = "level_raised", "level_lowered"
EVIDENCE_ADDED, EVIDENCE_REMOVED = "evidence_added", "evidence_removed"
TOLD = (OPENED, RAISED, LEVEL_RAISED, RESOLVED)
"""Lines of the timeline that become messages. A person who lifts the level above the peak calls people, too."""
LEVEL_WORDS = {Level.BLUE: "蓝色", Level.YELLOW: "黄色", Level.ORANGE: "橙色", Level.RED: "红色"}
MIN_QUIET = timedelta(minutes=10)
MATCH_LIFE = timedelta(hours=24)
"""A match is a single event, not a state that ends: without a person it closes after a day, untold."""


class AlertError(Exception):
    """The act is not possible now; the text (Chinese) says why."""


def key_of(breach: Breach) -> str:
    return f"{breach.rule}|{breach.topic}|{breach.story_id or ''}"


def alert_id(breach: Breach) -> str:
    """Built from what it is about and the five minutes in which it began: a restart makes the same one."""
    begun = breach.at - timedelta(minutes=breach.at.minute % 5, seconds=breach.at.second)
    return f"{key_of(breach)}@{begun:%Y%m%dT%H%M}"


def apply(breach: Breach, alert: Alert | None, now: datetime, rule: Rule) -> tuple[Alert, tuple[str, ...]]:
    """The alert after the breach, and what is to be told of it.

    alert is the newest one with the breach's key, resolved or not. While it is open only a rise of the
    level above its peak is told. After it was resolved, the same episode (breaches less than the cool-down
    apart) does not open another one unless the level rises.
    """
    if alert is None:
        return _opened(breach, now)
    if alert.state == AlertState.RESOLVED and not _same_episode(breach, alert, rule):
        return _opened(breach, now)
    if alert.state == AlertState.RESOLVED:
        return alert.but(last_breach_at=max(alert.last_breach_at, breach.at)), ()
    facts = {
        "last_breach_at": max(alert.last_breach_at, breach.at),
        "value": breach.value,
        "expected": breach.expected,
        "probability": breach.probability,
        "sentence": breach.sentence,
        "evidence": _evidence(breach, alert),
    }
    if breach.level.rank <= alert.peak_level.rank:
        return alert.but(**facts), ()
    note = f"{LEVEL_WORDS[alert.level]} → {LEVEL_WORDS[breach.level]}: {breach.sentence}"
    raised = alert.but(
        **facts,
        level=breach.level,
        peak_level=breach.level,
        timeline=(*alert.timeline, Event(at=now, actor=SYSTEM, action=RAISED, note=note)),
    )
    return raised, (RAISED,)


def expire(alert: Alert, now: datetime, rule: Rule) -> tuple[Alert, tuple[str, ...]]:
    """Resolved once there was no breach for the cool-down; a match, being one event, closes silently after a day."""
    if alert.state == AlertState.RESOLVED:
        return alert, ()
    silent = alert.reason == Reason.RISK_WORD
    patience = MATCH_LIFE if silent else max(timedelta(minutes=rule.cool_down_m), MIN_QUIET)
    if now - alert.last_breach_at < patience:
        return alert, ()
    note = "24 小时内没有新的命中, 自动关闭" if silent else "已回到正常水平, 自动解除"
    over = alert.but(
        state=AlertState.RESOLVED,
        resolved_at=now,
        timeline=(*alert.timeline, Event(at=now, actor=SYSTEM, action=RESOLVED, note=note)),
    )
    return over, () if silent else (RESOLVED,)


def _opened(breach: Breach, now: datetime) -> tuple[Alert, tuple[str, ...]]:
    alert = Alert(
        id=alert_id(breach),
        key=key_of(breach),
        rule=breach.rule,
        topic=breach.topic,
        story_id=breach.story_id,
        level=breach.level,
        peak_level=breach.level,
        reason=breach.reason,
        sentence=breach.sentence,
        value=breach.value,
        expected=breach.expected,
        probability=breach.probability,
        evidence=breach.evidence,
        opened_at=breach.at,
        last_breach_at=breach.at,
        timeline=(Event(at=now, actor=SYSTEM, action=OPENED, note=breach.sentence),),
    )
    return alert, (OPENED,)


def _same_episode(breach: Breach, alert: Alert, rule: Rule) -> bool:
    if breach.level.rank > alert.peak_level.rank:
        return False
    if alert.reason == Reason.RISK_WORD and set(breach.evidence) <= set(alert.evidence):
        return True
    last = alert.last_breach_at
    if resolved_by_person(alert) and alert.resolved_at is not None:
        last = max(last, alert.resolved_at)
    return breach.at - last < max(timedelta(minutes=rule.cool_down_m), MIN_QUIET)


def resolved_by_person(alert: Alert) -> bool:
    for event in reversed(alert.timeline):
        if event.action in (RESOLVED, "false_alarm"):
            return event.actor != SYSTEM
    return False


# ------------------------------------------------------------------------------------------ acts of people


def acknowledge(alert: Alert, *, actor: str, now: datetime) -> Alert:
    """Somebody has seen it and takes it."""
    _must_be_alive(alert, "确认")
    if alert.state == AlertState.ACKNOWLEDGED:
        raise AlertError(f"这条预警已由 {alert.owner or '他人'} 确认")
    return alert.but(
        state=AlertState.ACKNOWLEDGED,
        owner=alert.owner or actor,
        acknowledged_at=now,
        timeline=_and(alert, now, actor, "acknowledged", ""),
    )


def assign(alert: Alert, *, owner: str, actor: str, now: datetime) -> Alert:
    _must_be_alive(alert, "指派")
    if not owner.strip():
        raise AlertError("请选择要指派给谁")
    if owner == alert.owner:
        raise AlertError(f"这条预警已经由 {owner} 负责")
    return alert.but(owner=owner, timeline=_and(alert, now, actor, "assigned", owner))


def set_level(alert: Alert, *, level: Level, reason: str, actor: str, now: datetime) -> Alert:
    """A person's word on the level. Lowering keeps the peak, so the same numbers do not raise it again."""
    _must_be_alive(alert, "调级")
    if level == alert.level:
        raise AlertError(f"级别已经是{LEVEL_WORDS[level]}")
    note = f"{LEVEL_WORDS[alert.level]} → {LEVEL_WORDS[level]}: {_needed(reason, '调级')}"
    peak = max(level, alert.peak_level, key=_rank)
    action = LEVEL_RAISED if level.rank > alert.peak_level.rank else LEVEL_LOWERED
    if action == LEVEL_LOWERED and level.rank > alert.level.rank:
        action = "level_restored"
    return alert.but(level=level, peak_level=peak, timeline=_and(alert, now, actor, action, note))


def mute(alert: Alert, *, until: datetime, reason: str = "", actor: str, now: datetime) -> Alert:
    _must_be_alive(alert, "静音")
    if until <= now:
        raise AlertError("静音的结束时间要晚于现在")
    return alert.but(muted_until=until, timeline=_and(alert, now, actor, "muted", reason.strip()))


def unmute(alert: Alert, *, actor: str, now: datetime) -> Alert:
    if alert.muted_until is None or alert.muted_until <= now:
        raise AlertError("这条预警没有静音")
    return alert.but(muted_until=None, timeline=_and(alert, now, actor, "unmuted", ""))


def resolve(alert: Alert, *, reason: str, actor: str, now: datetime) -> Alert:
    _must_be_alive(alert, "解除")
    return alert.but(
        state=AlertState.RESOLVED,
        resolved_at=now,
        timeline=_and(alert, now, actor, RESOLVED, _needed(reason, "解除")),
    )


def false_alarm(alert: Alert, *, reason: str, actor: str, now: datetime) -> Alert:
    """Resolved as not true; the reason is what later tuning of the rule is made from."""
    _must_be_alive(alert, "标为误报")
    return alert.but(
        state=AlertState.RESOLVED,
        resolved_at=now,
        timeline=_and(alert, now, actor, "false_alarm", _needed(reason, "标为误报")),
    )


def note(alert: Alert, *, text: str, actor: str, now: datetime) -> Alert:
    """A remark in the timeline; possible in every state."""
    return alert.but(timeline=_and(alert, now, actor, "note", _needed(text, "备注")))


def add_evidence(alert: Alert, *, mention_id: str, actor: str, now: datetime) -> Alert:
    """A person's own piece of evidence; it stands first and stays when the next breach brings others."""
    _must_be_alive(alert, "加入证据")
    if mention_id in alert.evidence:
        raise AlertError("这条提及已经是这个预警的证据")
    return alert.but(
        evidence=(mention_id, *alert.evidence), timeline=_and(alert, now, actor, EVIDENCE_ADDED, mention_id)
    )


def remove_evidence(alert: Alert, *, mention_id: str, actor: str, now: datetime) -> Alert:
    """Take back what a person added; what the rule found stays."""
    if mention_id not in added_evidence(alert):
        raise AlertError("只能撤下由人加入的证据")
    return alert.but(
        evidence=tuple(each for each in alert.evidence if each != mention_id),
        timeline=_and(alert, now, actor, EVIDENCE_REMOVED, mention_id),
    )


def added_evidence(alert: Alert) -> tuple[str, ...]:
    """The mentions that people added and did not take back, as the timeline says; the newest first."""
    added: list[str] = []
    for event in alert.timeline:
        if event.action == EVIDENCE_ADDED:
            added.insert(0, event.note)
        elif event.action == EVIDENCE_REMOVED:
            added.remove(event.note)
    return tuple(added)


def _evidence(breach: Breach, alert: Alert) -> tuple[str, ...]:
    if not breach.evidence:
        return alert.evidence
    added = added_evidence(alert)
    return (*added, *(each for each in breach.evidence if each not in added))


def _must_be_alive(alert: Alert, act: str) -> None:
    if alert.state == AlertState.RESOLVED:
        raise AlertError(f"这条预警已经解除, 不能再{act}")


def _needed(reason: str, act: str) -> str:
    if not reason.strip():
        raise AlertError(f"请写明{act}的原因" if act != "备注" else "备注不能为空")
    return reason.strip()


def _and(alert: Alert, now: datetime, actor: str, action: str, text: str) -> tuple[Event, ...]:
    return (*alert.timeline, Event(at=now, actor=actor, action=action, note=text))


def _rank(level: Level) -> int:
    return level.rank
