"""Reading from Elasticsearch: whole answers or an error, many pages of one instant, refresh where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

from elasticsearch import ApiError, Elasticsearch

from index.elastic_bulk import BulkWriter, pause
from index.elastic_errors import worth_a_retry
from index.elastic_schema import Names
from index.elastic_text import Clause
from index.store import StoreUnavailable
from settings import StoreSettings

PAGE = 2_000
LARGEST_PAGE = 10_000
"""The server's own limit on hits and, by far, on buckets of one answer."""
_KEEP_ALIVE = "2m"

Hit = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """What every part of the store works with."""

    client: Elasticsearch
    names: Names
    settings: StoreSettings
    bulk: BulkWriter

    def search(self, **request: Any) -> Any:
        """One answer of all shards: a part of the hits or counts would be a wrong number on a screen."""
        return self.patiently(lambda: self.client.search(allow_partial_search_results=False, **request))

    def refresh(self, index: str) -> None:
        """All that was written before is seen by searches after it. Raises StoreUnavailable where that failed."""
        answer = self.patiently(lambda: self.client.indices.refresh(index=index))
        if answer["_shards"]["failed"]:
            raise StoreUnavailable(f"Elasticsearch 未能刷新索引 {index}, 请稍后再试")

    def patiently(self, request: Callable[[], T]) -> T:
        """A read, again and again while the server is busy or a shard just changes its place, e.g. that of a month
        another writer is making."""
        for attempt in range(self.settings.retries):
            try:
                return request()
            except ApiError as e:
                if not worth_a_retry(e):
                    raise
            self.bulk.wait(pause(attempt + 1))
        return request()

    def count(self, index: str, query: Clause) -> int:
        answer = self.search(
            index=index, query=query, size=0, track_total_hits=True, filter_path="hits.total,_shards.failed"
        )
        n: int = answer["hits"]["total"]["value"]
        return n

    def scan(
        self, index: str, query: Clause, *, sort: Sequence[Any] = (), source: Any = True, page: int = PAGE
    ) -> Iterator[Hit]:
        """All hits as they are at one instant, whatever others write; without a sort in no order."""
        with self.point_in_time(index) as pit:
            after: Sequence[Any] | None = None
            while True:
                answer = self.search(
                    pit=pit.reference(),
                    query=query,
                    sort=[*sort, "_shard_doc"],
                    size=page,
                    search_after=after,
                    track_total_hits=False,
                    source=source,
                )
                pit.id = answer["pit_id"]
                hits = answer["hits"]["hits"]
                yield from hits
                if len(hits) < page:
                    return
                after = hits[-1]["sort"]

    def point_in_time(self, index: str) -> PointInTime:
        return PointInTime(self, index)


class PointInTime:
    """A view of an index that stays as it is; given back at the end of the with block."""

    def __init__(self, session: Session, index: str) -> None:
        self._session = session
        self._index = index
        self.id = ""

    def __enter__(self) -> PointInTime:
        answer = self._session.patiently(
            lambda: self._session.client.open_point_in_time(index=self._index, keep_alive=_KEEP_ALIVE)
        )
        self.id = answer["id"]
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._session.client.close_point_in_time(id=self.id)
        except ApiError as e:
            if e.status_code != 404:  # it has run out by itself
                raise

    def reference(self) -> dict[str, str]:
        return {"id": self.id, "keep_alive": _KEEP_ALIVE}


class Freshness:
    """Lets a process read what it wrote: a search sees a write only after a refresh, which is dear after each write."""

    def __init__(self) -> None:
        self._n_written = 0
        self._n_refreshed = 0
        self._lock = Lock()

    def written(self) -> None:
        with self._lock:
            self._n_written += 1

    def refresh(self, session: Session, *, always: bool = False) -> None:
        """Before a read. always where writes of other processes must be seen too."""
        seen = self._n_written
        if always or seen != self._n_refreshed:
            session.refresh(session.names.mentions)
            with self._lock:
                self._n_refreshed = max(self._n_refreshed, seen)
