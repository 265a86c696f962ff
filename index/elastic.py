"""The store on Elasticsearch 8 or 9: for more mentions, people or machines than one file can serve.

What is written is on the server's disk before a call returns. A search sees it after a refresh; this store asks
for one before a read where it wrote itself, where a job asks what is newly indexed, and before records are
searched. What other processes write shows in other searches within a second. Gets by id always see everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from index import elastic_check, elastic_schema
from index.elastic_bulk import BulkWriter
from index.elastic_connection import connect
from index.elastic_errors import errors
from index.elastic_mentions import MentionWriter, united
from index.elastic_reads import MentionReader
from index.elastic_records import RecordKeeper
from index.elastic_retention import erase_before
from index.elastic_schema import Names
from index.elastic_search import Freshness, Session
from index.models import Mention, MentionEdit, Record
from index.store import Added, Dimension, MentionQuery, Page, StoreError, Where
from settings import StoreSettings

R = TypeVar("R", bound=Record)


class ElasticStore:
    """Implements index.store.Store. Templates and indices are made if they are not there."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        client = connect(settings)
        self._session = Session(client, Names(settings.prefix), settings, BulkWriter(client, settings))
        self._fresh = Freshness()
        self._reader = MentionReader(self._session, self._fresh)
        self._writer = MentionWriter(self._session)
        self._records = RecordKeeper(self._session)
        try:
            with errors(settings):
                elastic_schema.prepare(client, self._session.names, settings)
        except StoreError:
            client.close()
            raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What failed may have written a part: the next read asks for a refresh either way."""
        with errors(self._settings):
            try:
                yield
            finally:
                self._fresh.written()

    # mentions

    def add_mentions(self, mentions: Sequence[Mention], *, now: datetime) -> Added:
        with self._writing():
            return self._writer.add(mentions, now)

    def mentions(self, ids: Collection[str], *, whole: bool = False) -> dict[str, Mention]:
        with errors(self._settings):
            stored = self._writer.lookup(set(ids))
        found = {name: united([each.mention for each in copies]) for name, copies in stored.items()}
        return found if whole else {name: _without_keys(mention) for name, mention in found.items()}

    def edit_mention(self, mention_id: str, edit: MentionEdit) -> Mention:
        found = self._edit({mention_id: edit})
        if mention_id not in found:
            raise StoreError(f"没有编号为 {mention_id} 的提及, 它可能已被删除")
        return _without_keys(found[mention_id])

    def edit_mentions(self, edits: Mapping[str, MentionEdit]) -> int:
        return len(self._edit(edits))

    def _edit(self, edits: Mapping[str, MentionEdit]) -> dict[str, Mention]:
        with self._writing():
            return self._writer.edit(edits)

    def search(
        self,
        query: MentionQuery,
        *,
        limit: int = 50,
        after: str | None = None,
        oldest_first: bool = False,
        whole: bool = False,
    ) -> Page:
        with errors(self._settings):
            return self._reader.search(query, limit=limit, after=after, oldest_first=oldest_first, whole=whole)

    def count(self, query: MentionQuery) -> int:
        with errors(self._settings):
            return self._reader.count(query)

    def group(self, query: MentionQuery, by: Sequence[Dimension]) -> dict[tuple[str, ...], int]:
        with errors(self._settings):
            return self._reader.group(query, by)

    def find_originals(self, keys: Collection[int], *, since: datetime) -> dict[int, tuple[str, ...]]:
        with errors(self._settings):
            return self._reader.find_originals(keys, since=since)

    def erase_mentions(self, ids: Collection[str]) -> int:
        with self._writing():
            return self._writer.erase(set(ids))

    def erase_before(self, published_before: datetime) -> int:
        with self._writing():
            return erase_before(self._session, self._writer, published_before)

    def restore_mentions(self, mentions: Sequence[Mention], *, replace: bool = True) -> Added:
        with self._writing():
            return self._writer.restore(mentions, replace=replace)

    # records

    def get(self, kind: type[R], record_id: str) -> R | None:
        with errors(self._settings):
            return self._records.get(kind, record_id)

    def find(
        self,
        kind: type[R],
        where: Where | None = None,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[R]:
        with errors(self._settings):
            return self._records.find(kind, where, order_by=order_by, descending=descending, limit=limit, offset=offset)

    def tally(self, kind: type[Record], where: Where | None = None) -> int:
        with errors(self._settings):
            return self._records.tally(kind, where)

    def put(self, record: R) -> R:
        with errors(self._settings):
            return self._records.put(record)

    def put_all(self, records: Sequence[Record]) -> None:
        with errors(self._settings):
            self._records.put_all(records)

    def restore_records(self, records: Sequence[Record], *, replace: bool = True) -> int:
        with errors(self._settings):
            return self._records.restore(records, replace=replace)

    def delete(self, kind: type[Record], record_id: str) -> bool:
        with errors(self._settings):
            return self._records.delete(kind, record_id)

    # upkeep

    def backup(self, target: Path) -> None:
        """A file on this machine cannot hold a cluster: the server makes its own snapshots."""
        names = self._session.names
        raise StoreError(
            f"Elasticsearch 的数据请用它的快照备份, 不能存成 {target}: 登记快照仓库后 PUT _snapshot/仓库/名字, "
            f"indices 写 {names.mentions}-*,{names.records}-*"
        )

    def check(self) -> dict[str, Any]:
        with errors(self._settings):
            return elastic_check.facts(self._session)

    def close(self) -> None:
        self._session.client.close()


def _without_keys(mention: Mention) -> Mention:
    return mention.model_copy(update={"story_keys": ()})
