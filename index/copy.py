"""Moving house: everything of one store into another, as often as needed until both are the same.

A copy can be killed at any moment and run again: what is exactly so in the target already is passed over. The source
may be written to meanwhile; a run looks at every mention and record once, at what came in during the run once more,
and so the last run, with the services stopped, makes both equal. While a store is being filled nothing else may use
it (Copying, below), so the source's word counts and what the source lost goes from the target too. A store that was
ever used is only filled where it has gaps, and only if that is asked for: nothing there is overwritten or removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from index.models import RECORDS, Copying, CopyState, Lease, Mention, Record, WorkerState
from index.store import Between, MentionQuery, Store, StoreError, VersionConflict

R = TypeVar("R", bound=Record)

COPIED_RECORDS = tuple(kind for kind in RECORDS if kind not in (Lease, Copying, WorkerState))
"""A lease is the turn of a worker on the one store, a WorkerState its sign of life: they mean nothing in another."""
ALL = MentionQuery(hidden="with")

_MARK = "copy"
_AT_ONCE = 1_000
_CLOCKS_DIFFER = timedelta(minutes=5)
"""Other machines may say a little earlier when they indexed something."""


def unwatched(n: int) -> None:
    """Takes the progress that nobody wants to see."""


class CopyRefused(StoreError):
    """The target is not to be filled from this source; the text says why and what to do."""


@dataclass
class Copied:
    """What a run did. n_kept were in the target, different, and left as they are."""

    replaced: bool
    """Whether the source's word counted. False: the target was in use before, and only its gaps were filled."""
    n_mentions: int = 0
    n_new: int = 0
    n_changed: int = 0
    n_removed: int = 0
    n_kept: int = 0
    n_records: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """Mentions that the target can never take, with the reason."""


# ------------------------------------------------------------------------------------------------ the mark


def refuse_half_copied(store: Store) -> None:
    """Raises CopyRefused for a store that is being filled: what it shows would be a part of the truth."""
    _refuse_half_copied(store.get(Copying, _MARK))


def _refuse_half_copied(mark: Copying | None) -> None:
    if mark is not None and mark.state is CopyState.COPYING:
        raise CopyRefused(
            f"这个库正在由 store copy 从 {mark.source} 填充, 还没有核对一致: 请用原来的 [store] backend 再运行 "
            "manage.py store copy 直到显示一致; 若原来的库已经丢失, 运行 manage.py store use 就用现有的部分"
        )


def take_into_use(store: Store, *, as_it_is: bool = False) -> None:
    """From now on its word counts: no copy overwrites it any more. Raises CopyRefused as above, unless as_it_is."""
    mark = store.get(Copying, _MARK)
    if not as_it_is:
        _refuse_half_copied(mark)
    if mark is None or mark.state is CopyState.USED:
        return
    try:
        store.put(mark.but(state=CopyState.USED))
    except VersionConflict:  # a copy began, or another process was first
        take_into_use(store, as_it_is=as_it_is)


def mark_equal(target: Store) -> None:
    """Both were compared and are the same: the target may be used."""
    mark = target.get(Copying, _MARK)
    if mark is not None and mark.state is CopyState.COPYING:
        target.put(mark.but(state=CopyState.EQUAL))


def _may_replace(target: Store, origin: str, now: datetime, *, into_existing: bool) -> bool:
    """Marks a target that nobody uses as being filled; False for one that may only be completed."""
    mark = target.get(Copying, _MARK)
    if mark is None or mark.state is CopyState.USED:
        n_mentions, n_records = target.count(ALL), n_records_of(target)
        if n_mentions or n_records:
            if into_existing:
                return False
            raise CopyRefused(
                f"目标库里已有 {n_mentions:,} 条提及和 {n_records:,} 条记录, 不是由这次复制写入的: 请换一个空的目标 "
                "(Elasticsearch 改 [store] prefix; 嵌入式改 [store] file, 或移走旧文件), "
                "或加 --into-existing 只补上缺少的, 已有的一律不动"
            )
    elif mark.source != origin:
        raise CopyRefused(
            f"目标库正在由 {mark.source} 填充, 不是 {origin}: 请接着复制原来的库, 或换一个空的目标 "
            "(Elasticsearch 改 [store] prefix; 嵌入式改 [store] file, 或移走旧文件)"
        )
    version = mark.version if mark else 0
    target.put(Copying(id=_MARK, version=version, source=origin, began_at=now))
    return True


# ------------------------------------------------------------------------------------------------- copying


def copy(
    source: Store,
    target: Store,
    *,
    origin: str,
    now: datetime,
    into_existing: bool = False,
    advance: Callable[[int], object] = unwatched,
) -> Copied:
    """Bring the target to what the source is; safe to repeat. origin names the source for people.

    advance is told how many mentions and records were looked at. Raises CopyRefused before anything is written.
    """
    replace = _may_replace(target, origin, now, into_existing=into_existing)
    done = Copied(replaced=replace)
    _copy_mentions(source, target, ALL, done, advance=advance)
    for kind in COPIED_RECORDS:
        for records in record_pages(source, kind):
            n_different = target.restore_records(records, replace=replace)
            done.n_records += len(records)
            if not replace:
                done.n_kept += n_different
            advance(len(records))
    since_then = ALL.model_copy(update={"indexed_since": now - _CLOCKS_DIFFER})
    _copy_mentions(source, target, since_then, done, advance=advance)
    if replace:
        _remove_what_is_gone(source, target, done)
    return done


def _copy_mentions(
    source: Store, target: Store, query: MentionQuery, done: Copied, *, advance: Callable[[int], object]
) -> None:
    again = query is not ALL
    for mentions in mention_pages(source, query):
        told = target.restore_mentions(mentions, replace=done.replaced)
        done.n_new += len(told.new_ids)
        done.refused |= told.refused
        if done.replaced:
            done.n_changed += len(told.changed_ids)
        elif not again:
            done.n_kept += len(told.changed_ids)
        n = len(told.new_ids) if again else len(mentions)
        done.n_mentions += n
        advance(n)


def _remove_what_is_gone(source: Store, target: Store, done: Copied) -> None:
    """All of the source is in the target by now, so there is something more only if there are more."""
    if target.count(ALL) > source.count(ALL):
        for mentions in mention_pages(target, ALL):
            ids = {mention.id for mention in mentions}
            if gone := ids - source.mentions(ids).keys():
                done.n_removed += target.erase_mentions(gone)
    for kind in COPIED_RECORDS:
        if target.tally(kind) > source.tally(kind):
            for records in record_pages(target, kind):
                record_ids = {record.id for record in records}
                known = {record.id for record in source.find(kind, {"id": record_ids})}
                done.n_removed += sum(target.delete(kind, each) for each in record_ids - known)


# ------------------------------------------------------------------------------------------------- reading


def mention_pages(store: Store, query: MentionQuery) -> Iterator[tuple[Mention, ...]]:
    """All of them, whole, the oldest first; what is written meanwhile may or may not be among them."""
    after = None
    while True:
        page = store.search(query, limit=_AT_ONCE, after=after, oldest_first=True, whole=True)
        if page.mentions:
            yield page.mentions
        after = page.after
        if after is None:
            return


def record_pages(store: Store, kind: type[R]) -> Iterator[list[R]]:
    """All of a kind by id; neither new nor removed ones move the others from page to page."""
    last = None
    while True:
        where = None if last is None else {"id": Between(ge=last)}
        records = store.find(kind, where, limit=_AT_ONCE + 1)
        fresh = [record for record in records if record.id != last]
        if fresh:
            yield fresh
            last = fresh[-1].id
        if len(records) <= _AT_ONCE:
            return


def n_records_of(store: Store) -> int:
    """Of the kinds that are copied."""
    return sum(store.tally(kind) for kind in COPIED_RECORDS)
