"""Which workers run, and which role none of them has. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import get_args

from index.models import WorkerState
from settings import WorkerRole

STILL_THERE = timedelta(minutes=5)
"""A worker says every minute that it is there; one that was silent for longer than this is taken for gone."""


def running(states: Iterable[WorkerState], now: datetime) -> list[WorkerState]:
    """In the order of their names."""
    return sorted((state for state in states if now - state.checked_at <= STILL_THERE), key=_name)


def _name(state: WorkerState) -> str:
    return state.id


def unfilled(states: Iterable[WorkerState], now: datetime) -> tuple[str, ...]:
    """The roles that no running worker has; all of them where none runs."""
    filled = {role for state in running(states, now) for role in state.roles}
    return tuple(role for role in get_args(WorkerRole) if role not in filled)
