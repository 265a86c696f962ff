"""Which models read now: what the records of all machines say together. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from index.models import ReaderState
from index.store import MentionQuery

STILL_THERE = timedelta(minutes=10)
"""A machine that was silent for longer than this while another one spoke reads no more."""


def present(states: Iterable[ReaderState]) -> list[ReaderState]:
    """Those that read now, the newest first. If all fell silent, those that read last."""
    known = sorted(states, key=_checked, reverse=True)
    return [state for state in known if known[0].checked_at - state.checked_at <= STILL_THERE]


def _checked(state: ReaderState) -> tuple[float, str]:
    return state.checked_at.timestamp(), state.id


def worst(states: Iterable[ReaderState]) -> ReaderState | None:
    """The machine that people should know of: one without any model, else one on the fallback, if any."""
    ill = [state for state in present(states) if state.fallback_reason]
    return next((state for state in ill if not state.model_version), ill[0] if ill else None)


def best_version(states: Iterable[ReaderState]) -> str | None:
    """The version that all labels should come from: that of the machines that read as they should, if they agree.

    None otherwise: machines of two versions would read the same mentions again in turn for ever.
    """
    versions = _sound(present(states))
    return versions.pop() if len(versions) == 1 else None


def in_use(states: Iterable[ReaderState]) -> set[str]:
    """The versions that read now: those of the machines that read as they should, else those they fell back on."""
    there = present(states)
    return _sound(there) or {state.model_version for state in there if state.model_version}


def _sound(states: Iterable[ReaderState]) -> set[str]:
    return {state.model_version for state in states if not state.fallback_reason}


def outdated(version: str) -> MentionQuery:
    """Every mention whose labels are another version's, or that nobody has read."""
    return MentionQuery(model_version_not=version, copies="all", hidden="with")
