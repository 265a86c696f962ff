"""Business time: opening hours of Beijing, weekdays, Chinese public holidays with their make-up workdays."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from index.models import BEIJING_OFFSET, Priority, Task, TaskState
from settings import SlaSettings, SlaTarget

MAX_DAYS = 750
"""A search for open hours ends here: with no weekday open, targets count calendar time."""


@lru_cache(maxsize=8)
def _holidays(year: int) -> Any:
    import holidays

    return holidays.country_holidays("CN", years=year)


def is_open_day(day: date, sla: SlaSettings) -> bool:
    """Whether work is done on this day. With sla.holidays public holidays rest and make-up days work."""
    if sla.holidays:
        calendar = _holidays(day.year)
        if day in calendar:
            return False
        if day in calendar.weekend_workdays:
            return True
    return day.isoweekday() in sla.weekdays


def _hours(day: date, sla: SlaSettings) -> tuple[datetime, datetime]:
    return _utc(day, sla.opens), _utc(day, sla.closes)


def _utc(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, UTC) - BEIJING_OFFSET


def _day_of(at: datetime) -> date:
    return (at.astimezone(UTC) + BEIJING_OFFSET).date()


def add_business(start: datetime, minutes: float, sla: SlaSettings) -> datetime:
    """The moment at which so many minutes of business time have passed since start."""
    left = timedelta(minutes=minutes)
    day = _day_of(start)
    for _ in range(MAX_DAYS):
        if is_open_day(day, sla):
            opens, closes = _hours(day, sla)
            begin = max(start, opens)
            if begin + left <= closes:
                return begin + left
            left -= max(closes - begin, timedelta(0))
        day += timedelta(days=1)
    return start + timedelta(minutes=minutes)


def business_s(start: datetime, stop: datetime, sla: SlaSettings) -> float:
    """Seconds of business time in [start, stop); negative if stop comes first."""
    if stop < start:
        return -business_s(stop, start, sla)
    total = timedelta(0)
    day, last = _day_of(start), _day_of(stop)
    while day <= last:
        if is_open_day(day, sla):
            opens, closes = _hours(day, sla)
            total += max(min(stop, closes) - max(start, opens), timedelta(0))
        day += timedelta(days=1)
    return total.total_seconds()


def target_of(priority: Priority, sla: SlaSettings) -> SlaTarget:
    target: SlaTarget = getattr(sla, priority.value)
    return target


def deadlines(start: datetime, priority: Priority, sla: SlaSettings) -> tuple[datetime, datetime]:
    """(due_at, resolve_by) of a clock that starts now."""
    target = target_of(priority, sla)
    return _after(start, target.reply_m, target, sla), _after(start, target.resolve_m, target, sla)


def _after(start: datetime, minutes: float, target: SlaTarget, sla: SlaSettings) -> datetime:
    return start + timedelta(minutes=minutes) if target.calendar else add_business(start, minutes, sla)


def later(at: datetime, seconds: float, priority: Priority, sla: SlaSettings) -> datetime:
    """A deadline moved by seconds of its own kind of time."""
    return _after(at, seconds / 60, target_of(priority, sla), sla)


def elapsed_s(start: datetime, stop: datetime, priority: Priority, sla: SlaSettings) -> float:
    """Seconds between two moments as this priority's clock counts them."""
    if target_of(priority, sla).calendar:
        return (stop - start).total_seconds()
    return business_s(start, stop, sla)


def time_left_s(task: Task, sla: SlaSettings, now: datetime) -> float | None:
    """Seconds until the running deadline, negative once it has passed; None if no clock is running.

    The first reply is due first; after it the solution. While the task waits for the customer the clock
    stands still at what was left when the waiting began.
    """
    if task.state in (TaskState.CLOSED, TaskState.DISMISSED):
        return None
    at = now
    if task.state == TaskState.WAITING:
        at = waiting_since(task) or now
    deadline = task.due_at if task.replied_at is None else task.resolve_by
    return elapsed_s(at, deadline, task.priority, sla)


def waiting_since(task: Task) -> datetime | None:
    """When the present wait began, from the timeline."""
    for event in reversed(task.timeline):
        if event.action == "waiting":
            return event.at
    return None


def is_overdue(task: Task, now: datetime) -> bool:
    """Whether the running deadline has passed; a task that waits or is done is never overdue."""
    if task.state in (TaskState.OPEN, TaskState.CLAIMED):
        return (task.due_at if task.replied_at is None else task.resolve_by) <= now
    return task.state == TaskState.REPLIED and task.resolve_by <= now
