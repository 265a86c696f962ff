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

from elastic_transport import TransportError

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
from index.store import Added, Dimension, MentionQuery, Page, SchemaError, StoreError, StoreUnavailable, Where
from settings import StoreSettings

R = TypeVar("R", bound=Record)


class ElasticStore:
    """Implements index.store.Store. Templates and indices are made if they are not there."""

    def __init__(self, settings: StoreSettings, *, names: Names | None = None, as_it_is: bool = False) -> None:
        """names are those of this program's version unless given; with as_it_is nothing is checked or made."""
        self._settings = settings
        client = connect(settings)
        names = names or Names(settings.prefix)
        self._session = Session(client, names, settings, BulkWriter(client, settings))
        self._fresh = Freshness()
        self._reader = MentionReader(self._session, self._fresh)
        self._writer = MentionWriter(self._session)
        self._records = RecordKeeper(self._session)
        try:
            with errors(settings):
                if not as_it_is:
                    elastic_schema.prepare(client, names, settings)
        except StoreError:
            client.close()
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """As errors(). Where another program has moved the store to a newer version, that is said instead: then the
        indices of this version take no writes (elastic_fence.py) and have no alias to be read by."""
        try:
            with errors(self._settings):
                yield
        except StoreUnavailable as e:
            if not isinstance(e.__cause__, TransportError):
                self._refuse_if_moved(e)
            raise

    def _refuse_if_moved(self, error: StoreError) -> None:
        try:
            with errors(self._settings):
                elastic_schema.check_version(self._session.client, self._session.names)
        except SchemaError as moved:
            raise moved from error
        except StoreError:  # the server cannot say
            return

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What failed may have written a part: the next read asks for a refresh either way."""
        with self._errors():
            try:
                yield
            finally:
                self._fresh.written()

    # mentions

    def add_mentions(self, mentions: Sequence[Mention], *, now: datetime) -> Added:
        with self._writing():
            return self._writer.add(mentions, now)

    def mentions(self, ids: Collection[str], *, whole: bool = False) -> dict[str, Mention]:
        with self._errors():
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
        with self._errors():
            return self._reader.search(query, limit=limit, after=after, oldest_first=oldest_first, whole=whole)

    def count(self, query: MentionQuery) -> int:
        with self._errors():
            return self._reader.count(query)

    def group(
        self, query: MentionQuery, by: Sequence[Dimension], *, top: int | None = None
    ) -> dict[tuple[str, ...], int]:
        with self._errors():
            return self._reader.group(query, by, top)

    def find_originals(self, keys: Collection[int], *, since: datetime) -> dict[int, tuple[str, ...]]:
        with self._errors():
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
        with self._errors():
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
        with self._errors():
            return self._records.find(kind, where, order_by=order_by, descending=descending, limit=limit, offset=offset)

    def tally(self, kind: type[Record], where: Where | None = None) -> int:
        with self._errors():
            return self._records.tally(kind, where)

    def put(self, record: R) -> R:
        with self._errors():
            return self._records.put(record)

    def put_all(self, records: Sequence[Record]) -> None:
        with self._errors():
            self._records.put_all(records)

    def restore_records(self, records: Sequence[Record], *, replace: bool = True) -> int:
        with self._errors():
            return self._records.restore(records, replace=replace)

    def delete(self, kind: type[Record], record_id: str) -> bool:
        with self._errors():
            return self._records.delete(kind, record_id)

    # upkeep

    def backup(self, target: Path) -> None:
        """A file on this machine cannot hold a cluster: the server makes its own snapshots."""
        names = self._session.names
        raise StoreError(
            f"Elasticsearch 的数据请用它的快照备份, 不能存成 {target}: 登记快照仓库后 PUT _snapshot/仓库/名字, "
            f"indices 写 {names.prefix}-*"
        )

    def check(self) -> dict[str, Any]:
        with self._errors():
            return elastic_check.facts(self._session)

    def close(self) -> None:
        self._session.client.close()


def _without_keys(mention: Mention) -> Mention:
    return mention.model_copy(update={"story_keys": ()})
