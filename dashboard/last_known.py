"""What pages showed last, for the time in which the store cannot be reached.

A run of a page collects the answers of the store. When it ends well they are kept under its view (what
may be seen, which page, which URL) with the moment for which it was drawn. While the store is lost, a run
of the same view is drawn again for that moment from those answers, and nothing is asked of the store.
All of this lives in the memory of the process and is bounded; nothing of it is ever written to.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from streamlit.runtime.scriptrunner import StopException

from dashboard.access import Viewer
from index.store import SchemaError, StoreError, StoreUnavailable

P = ParamSpec("P")
R = TypeVar("R")

MAX_VIEWS = 60
MAX_ANSWERS = 150
"""Of one view; the oldest go first."""
MAX_VIEWERS = 500
VIEWER_LASTS = timedelta(hours=12)
PAUSE = timedelta(seconds=5)
"""For so long a lost store is not asked again: each try may wait for its lock."""


class NotKnown(StoreUnavailable):
    """The store is lost and this was not read before."""


@dataclass(frozen=True)
class Loss:
    """Since when the store is lost, and the id under which the reason stands in the log."""

    at: datetime
    error_id: str


@dataclass(frozen=True)
class Snapshot:
    """The answers of one view, and the moment for which they were read."""

    at: datetime
    answers: dict[str, Any]


@dataclass
class _Run(threading.local):
    """What the run of this thread is doing: collecting answers or repeating them."""

    now: datetime | None = None
    answers: dict[str, Any] = field(default_factory=dict)
    lost: bool = False


_run = _Run()
_lock = threading.Lock()
_views: OrderedDict[Hashable, Snapshot] = OrderedDict()
_viewers: OrderedDict[str, tuple[Viewer, datetime]] = OrderedDict()
_loss: list[tuple[Loss, datetime]] = []
"""The present loss and when the store may be asked again; empty while all is well."""


def is_loss(error: StoreError) -> bool:
    """Whether the store itself is the trouble, not what was asked of it."""
    return isinstance(error, StoreUnavailable | SchemaError)


def remembered(read: Callable[P, R]) -> Callable[P, R]:
    """A read whose answer is kept with the run of the page, or comes from there while the store is lost."""

    @wraps(read)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        if _run.now is None:
            return read(*args, **kwargs)
        key = f"{read.__name__}{_key(args)}{_key(kwargs)}"
        if not _run.lost:
            _run.answers[key] = read(*args, **kwargs)
        elif key not in _run.answers:
            raise NotKnown("数据库连不上, 而这一部分在断开之前没有读过")
        found: R = copy.copy(_run.answers[key])
        return found

    return answer


@contextmanager
def run(
    view: Hashable, now: datetime, loss: Loss | None, *, also: Callable[[], Hashable] | None = None
) -> Iterator[None]:
    """One run of a view. With a loss it is drawn from memory; raises NotKnown where there is nothing.

    also: under which name it is kept besides; asked at the end, when the page has written its URL.
    """
    kept = _known(view)
    if loss is not None and kept is None:
        raise NotKnown("数据库连不上, 而这一页在断开之前没有打开过")
    _run.now, _run.lost = now, loss is not None
    _run.answers = dict(kept.answers) if loss is not None and kept is not None else {}
    if loss is not None and kept is not None:
        _run.now = kept.at
    try:
        yield
        _keep(view, now, also)
    except StopException:
        _keep(view, now, also)
        raise
    finally:
        _run.now, _run.answers, _run.lost = None, {}, False


def moment() -> datetime | None:
    """The moment for which this run is drawn; None outside of one."""
    return _run.now


def is_old() -> bool:
    """Whether this run is drawn from memory."""
    return _run.lost


def lose(error_id: str, now: datetime) -> Loss:
    """The store did not answer. A loss that goes on keeps its beginning and its id."""
    with _lock:
        loss = _loss[0][0] if _loss else Loss(now, error_id)
        _loss[:] = [(loss, now + PAUSE)]
    return loss


def found_again() -> None:
    with _lock:
        _loss.clear()


def present_loss() -> Loss | None:
    with _lock:
        return _loss[0][0] if _loss else None


def resting(now: datetime) -> bool:
    """Whether the store was lost so shortly ago that it is not asked."""
    with _lock:
        return bool(_loss) and now < _loss[0][1]


def keep_viewer(token: str | None, viewer: Viewer | None, now: datetime) -> None:
    if not token:
        return
    with _lock:
        if viewer is None:
            _viewers.pop(_digest(token), None)
            return
        _viewers[_digest(token)] = (viewer, now)
        _viewers.move_to_end(_digest(token))
        while len(_viewers) > MAX_VIEWERS:
            _viewers.popitem(last=False)


def viewer(token: str | None, now: datetime) -> Viewer | None:
    """Who this token stood for when the store last said so."""
    with _lock:
        found, at = _viewers.get(_digest(token or ""), (None, now))
    return found if now - at < VIEWER_LASTS else None


def forget() -> None:
    """All of it, as in a new process."""
    with _lock:
        _views.clear()
        _viewers.clear()
        _loss.clear()


def _known(view: Hashable) -> Snapshot | None:
    with _lock:
        return _views.get(view)


def _keep(view: Hashable, now: datetime, also: Callable[[], Hashable] | None) -> None:
    if _run.lost:
        return
    with _lock:
        earlier = _views[view].answers if view in _views else {}
        answers = {**{key: kept for key, kept in earlier.items() if key not in _run.answers}, **_run.answers}
        snapshot = Snapshot(now, dict(list(answers.items())[-MAX_ANSWERS:]))
        for name in {view, also() if also else view}:
            _views[name] = snapshot
            _views.move_to_end(name)
        while len(_views) > MAX_VIEWS:
            _views.popitem(last=False)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _key(value: Any) -> str:
    """A text that is the same for the same arguments, also where they have no order."""
    if isinstance(value, dict):
        return repr(sorted((name, _key(part)) for name, part in value.items()))
    if isinstance(value, set | frozenset):
        return repr(sorted(_key(part) for part in value))
    return repr(value)
