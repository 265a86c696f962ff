"""From the indices of one version to those of the next while the service writes; made to be killed and run again.

    carry     everything is copied into new indices that nobody sees yet, then what changed meanwhile, round by round,
              until little is left; reads and writes of the service go on
    fence     the server takes no more writes to the old indices (elastic_fence.py); writers wait, the spool holds
    settle    the last round, what was deleted goes from the copy, and both are proven equal
    flip      the new indices get the aliases, the old ones lose theirs, in one step

Up to the flip the old indices are the store, and a run that fails before lifts the fence again. A run that was killed
is gone on with by the next, which lifts it first. How far it is stands in the one document of PREFIX-migration, which
is also the lock: each run writes it again and again, only over its own last writing. After the flip the old indices
lie as they were until drop_old().

The old indices are asked for _source, _seq_no, published_at and published_us, and by index.compare for what that
counts and sorts by. A later version that changes one of these must ask the old ones in the old way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from elasticsearch import Elasticsearch, NotFoundError

from index import elastic_fence
from index.compare import Comparison, Difference, compare
from index.copy import unwatched
from index.elastic import ElasticStore
from index.elastic_bulk import BulkWriter
from index.elastic_carry import Carrier, record_versions
from index.elastic_connection import connect
from index.elastic_errors import errors
from index.elastic_migration_state import MigrationRefused, State, alone
from index.elastic_schema import Names, check_version, current_version, prepare, version_of
from index.elastic_search import Session
from settings import StoreSettings

LITTLE = 2_000
"""Documents of a round, after which the rest may be carried while writers wait."""
_MOST_ROUNDS = 10
_PATIENCE_S = 30.0
"""A run that has not written its state for so long is dead."""
_FLIP_TRIES = 5
_MOST_NAMED = 5


@dataclass
class Migrated:
    """What a run did. comparison is None where it ended before the fence."""

    from_version: int
    to_version: int
    switched: bool = False
    n_carried: int = 0
    n_late: int = 0
    """Of these while writers waited."""
    n_removed: int = 0
    """From the new indices, since they went from the old ones meanwhile."""
    held_s: float = 0.0
    """How long writers had to wait."""
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Dropped:
    """What was or would be deleted."""

    indices: tuple[str, ...]
    n_mentions: int
    n_bytes: int


# -------------------------------------------------------------------------------------------------- moving


def migrate(
    settings: StoreSettings,
    *,
    version: int | None = None,
    n_samples: int | None = 300,
    switch: bool = True,
    patience_s: float = _PATIENCE_S,
    advance: Callable[[int], object] = unwatched,
) -> Migrated:
    """Move the store to this program's version (or the given one). With switch=False only the copying is done, and
    the next run has little left to do.

    n_samples mentions are compared field by field while writers wait, all of them if None. advance is told
    how many documents were carried, by this run or one before. Raises MigrationRefused, or SchemaError for a newer
    store.
    """
    with _connected(settings) as client:
        old, new = _versions(client, settings, version)
        if old.version == new.version:
            return Migrated(old.version, new.version, switched=True)
        with alone(client, settings.prefix, new.version, patience_s=patience_s) as state:
            return _Move(client, settings, old, new, state, advance).run(n_samples, switch=switch)


@contextmanager
def _connected(settings: StoreSettings) -> Iterator[Elasticsearch]:
    client = connect(settings)
    try:
        with errors(settings):
            yield client
    finally:
        client.close()


def _versions(client: Elasticsearch, settings: StoreSettings, version: int | None) -> tuple[Names, Names]:
    there = current_version(client, settings.prefix)
    if there is None:
        raise MigrationRefused(f"Elasticsearch 里还没有以 {settings.prefix} 开头的库 ([store] prefix), 不需要迁移")
    current = Names(settings.prefix)
    new = Names(settings.prefix, current.version if version is None else version, staged=True)
    if there > new.version:
        check_version(client, new)
    return Names(settings.prefix, there), new


@dataclass
class _Move:
    client: Elasticsearch
    settings: StoreSettings
    old: Names
    new: Names
    state: State
    advance: Callable[[int], object]
    _done: Migrated = field(init=False)
    _carrier: Carrier = field(init=False)

    def __post_init__(self) -> None:
        self._done = Migrated(self.old.version, self.new.version)
        old, new = (
            Session(self.client, names, self.settings, BulkWriter(self.client, self.settings))
            for names in (self.old, self.new)
        )
        self._carrier = Carrier(old, new, self.state.units, self.state.keep, self.advance)

    def run(self, n_samples: int | None, *, switch: bool) -> Migrated:
        elastic_fence.lift_fence(self.client, self.old)
        elastic_fence.drop_template(self.client, self.new.mentions_template)  # its alias would show the copy too early
        self.advance(self.client.count(index=self.new.patterns, ignore_unavailable=True)["count"])
        for _ in range(_MOST_ROUNDS):
            n = self._carrier.carry()
            self._done.n_carried += n
            if n <= LITTLE:
                break
        self._refuse_if_refused()
        self._done.n_removed += self._carrier.remove_surplus()
        if switch:
            self._switch(n_samples)
        return self._done

    def _refuse_if_refused(self) -> None:
        if refused := self._carrier.refused:
            self.state.units.clear()  # whatever is done about it, the next run copies all anew
            named = "".join(f"\n{key}: {reason}" for key, reason in list(refused.items())[:_MOST_NAMED])
            raise MigrationRefused(
                f"新的索引结构不收 {len(refused)} 条 (下面是前 {_MOST_NAMED} 条), 没有切换, 服务照常使用原来的索引。"
                f"请删除它们或升级程序后再运行一次:{named}"
            )

    def _switch(self, n_samples: int | None) -> None:
        self.state.keep()
        began = time.monotonic()
        try:
            elastic_fence.raise_fence(self.client, self.old)
            self._settle()
            self._refuse_if_refused()
            self._done.comparison = found = self._compared(n_samples)
            if found.n_different:
                self.state.units.clear()  # the copy is damaged: the next run makes another
            else:
                self._flip()
        finally:
            self._done.switched = self._lift_unless_flipped()
            self._done.held_s = time.monotonic() - began
        if self._done.switched:
            prepare(self.client, Names(self.new.prefix, self.new.version), self.settings)
            self.state.over = True

    def _settle(self) -> None:
        n = self._carrier.carry(at_rest=True)
        self._done.n_late += n
        self._done.n_carried += n
        self._done.n_removed += self._carrier.remove_surplus()

    def _flip(self) -> None:
        for left in reversed(range(_FLIP_TRIES)):
            self.state.keep()
            try:
                elastic_fence.flip(self.client, self.old, self.new)
            except NotFoundError:  # retention has just dropped an old month, which the fence does not keep it from
                if self._is_flipped():
                    return
                if not left:
                    raise
                self._settle()
            else:
                return

    def _is_flipped(self) -> bool:
        """Asked of the server, since an answer that got lost may have been that of the flip."""
        return current_version(self.client, self.new.prefix) == self.new.version

    def _lift_unless_flipped(self) -> bool:
        """Whether the new version counts."""
        if self._is_flipped():
            return True
        self.state.keep()  # only who holds the lock may lift
        elastic_fence.lift_fence(self.client, self.old)
        return False

    def _compared(self, n_samples: int | None) -> Comparison:
        """All records by the number of their last write; of mentions the counts, and samples field by field."""
        self._carrier.new.refresh(self.new.mentions)
        old, new = (ElasticStore(self.settings, names=names, as_it_is=True) for names in (self.old, self.new))
        try:
            found = compare(old, new, n_samples=n_samples, kinds=(), advance=self.state.keep_sometimes)
        finally:
            old.close()
            new.close()
        ours, theirs = record_versions(self._carrier.old), record_versions(self._carrier.new)
        outdated = [
            Difference(
                what=f"记录 {key}", field="写入序号", source=str(ours.get(key, "")), target=str(theirs.get(key, ""))
            )
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
        ]
        return Comparison(
            n_mentions=found.n_mentions,
            n_records=len(ours),
            n_sampled=found.n_sampled,
            n_different=found.n_different + len(outdated),
            differences=(*found.differences, *outdated[:_MOST_NAMED]),
        )


# --------------------------------------------------------------------------------------------- giving up, dropping


def abandon(settings: StoreSettings, *, version: int | None = None, patience_s: float = _PATIENCE_S) -> tuple[str, ...]:
    """Undo what migrate() has begun: the fence is lifted and the new indices are deleted; returns their names.

    Raises MigrationRefused where the new version counts already.
    """
    with _connected(settings) as client:
        old, new = _versions(client, settings, version)
        if old.version == new.version:
            raise MigrationRefused("没有进行中的迁移: 库已经是这个程序的版本")
        with alone(client, settings.prefix, new.version, patience_s=patience_s) as state:
            elastic_fence.lift_fence(client, old)
            indices = sorted(client.indices.get_alias(index=new.patterns, ignore_unavailable=True))
            elastic_fence.drop_indices(client, indices)
            state.over = True
        return tuple(indices)


def n_documents(settings: StoreSettings) -> int:
    """How many mentions and records a move has to carry."""
    with _connected(settings) as client:
        old, _ = _versions(client, settings, None)
        client.indices.refresh(index=[old.mentions, old.records])
        n: int = client.count(index=[old.mentions, old.records])["count"]
        return n


def old_versions(settings: StoreSettings) -> Dropped:
    """What drop_old() would delete."""
    with _connected(settings) as client:
        return _old_versions(client, settings)


def drop_old(settings: StoreSettings) -> Dropped:
    """Delete the indices of all versions before the one that counts. The barriers against their programs stay."""
    with _connected(settings) as client:
        found = _old_versions(client, settings)
        elastic_fence.drop_indices(client, found.indices)
        for version in {version_of(index, settings.prefix) for index in found.indices} - {None}:
            elastic_fence.drop_template(client, f"{settings.prefix}-mentions-v{version}")
        return found


def _old_versions(client: Elasticsearch, settings: StoreSettings) -> Dropped:
    there = current_version(client, settings.prefix)
    names = client.indices.get_alias(index=[f"{settings.prefix}-{each}-v*" for each in ("mentions", "records")])
    old = [name for name in names if there is not None and (version_of(name, settings.prefix) or 0) < there]
    stats = client.indices.stats(index=f"{settings.prefix}-*", metric=["docs", "store"], level="indices")["indices"]
    return Dropped(
        indices=tuple(sorted(old)),
        n_mentions=sum(stats[name]["primaries"]["docs"]["count"] for name in old if _is_of_mentions(name, settings)),
        n_bytes=sum(stats[name]["total"]["store"]["size_in_bytes"] for name in old),
    )


def _is_of_mentions(index: str, settings: StoreSettings) -> bool:
    return index.startswith(f"{settings.prefix}-mentions-")
