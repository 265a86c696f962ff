"""The Store protocol: mentions as a search index, everything else as small versioned records.

Every time that goes in or out is aware; days and hours of a group are Beijing time. A store object
may be used by several threads. Every method raises StoreError or a child of it, never a driver's error:

    StoreError
    ├── StoreUnavailable    cannot be reached or is locked; trying again may help
    ├── VersionConflict     somebody else changed the record first
    ├── QueryError          the query text cannot be understood (index/query.py); says where
    └── SchemaError         the stored schema is newer than this program, or damaged
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field

from index.models import Frozen, Instant, Intent, Mention, MentionEdit, Record, Sentiment

R = TypeVar("R", bound=Record)

Dimension = Literal[
    "sentiment",
    "intent",
    "severity",
    "topic",
    "platform",
    "source",
    "kind",
    "day",
    "hour",
    "five_minutes",
    "aspect",
    "aspect_polarity",
    "story",
    "persona",
    "customer",
    "model_version",
]
"""What Store.group can count by. Keys are text: `negative`, `2026-11-26` (day), `2026-11-26T10` (hour),
`2026-11-26T10:05` (five minutes), `taste` (aspect), `taste:negative` (aspect_polarity), `1` (severity);
an unread or unknown value is the empty string. Multi-valued dimensions (topic, aspect) count a mention
once under each of its values."""


class StoreError(Exception):
    """The store could not do it; the text says what and why."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, is locked by another process, or its disk is full: later the same may work."""


class VersionConflict(StoreError):
    """The record was changed or removed by somebody else since it was read."""


class SchemaError(StoreError):
    """The stored schema is newer than this program knows, or damaged."""


class QueryError(StoreError):
    """A query that cannot be understood. position counts characters from 0; None if it has no place."""

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class MentionQuery(Frozen):
    """Which mentions. All the given conditions must hold; an empty tuple is no condition.

    text is the query language of index/query.py. since is inclusive, until exclusive, both on
    published_at; the indexed pair is the same on indexed_at. copies "fold" leaves out mentions that
    repeat an earlier one (is_copy), "only" leaves out all others.
    """

    text: str = ""
    topics: tuple[str, ...] = ()
    since: Instant | None = None
    until: Instant | None = None
    indexed_since: Instant | None = None
    indexed_until: Instant | None = None
    platforms: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    sentiments: tuple[Sentiment, ...] = ()
    intents: tuple[Intent, ...] = ()
    severity_from: int | None = Field(None, ge=0, le=2)
    aspects: tuple[str, ...] = ()
    aspect_polarity: Sentiment | None = None
    story_id: str | None = None
    persona_ids: tuple[str, ...] = ()
    customer_id: str | None = None
    confidence_below: float | None = None
    model_version_not: str | None = None
    copies: Literal["fold", "only", "all"] = "all"
    hidden: Literal["without", "only", "with"] = "without"


class Page(Frozen):
    """Some mentions in order, and where to go on; after is None at the end."""

    mentions: tuple[Mention, ...]
    after: str | None = None


class Added(Frozen):
    """What add_mentions did: new_ids were not known, changed_ids were merged, the rest was the same.

    refused are ids that the store can never take, each with the reason; asking again is of no use.
    """

    new_ids: tuple[str, ...] = ()
    changed_ids: tuple[str, ...] = ()
    n_same: int = 0
    refused: Mapping[str, str] = Field({})


class Between(Frozen):
    """A half-open range on a searchable field: ge <= value < lt; None is open."""

    ge: Any = None
    lt: Any = None


Where = Mapping[str, Any]
"""Conditions on searchable fields, all of which must hold: a value (None: has no value), a collection of values
(any of them), or Between."""


class Store(Protocol):
    """Where everything is kept. Two backends pass one contract suite (tests/index/test_store_contract.py)."""

    # mentions

    def add_mentions(self, mentions: Sequence[Mention], *, now: datetime) -> Added:
        """Add or merge; safe to repeat. indexed_at becomes now for new ones.

        A known id is merged: engagement takes the larger of both (None gives way), text, title, url,
        persona, rating and published_at (where it moves by an hour or more: "3 小时前" drifts from crawl to
        crawl) follow the newer collected_at, topics are united; review, hidden,
        customer_id, story_id, is_copy and indexed_at stay. Labels follow the text they were made from.
        Of the same id twice in one call the later counts as a merge.
        """

    def mentions(self, ids: Collection[str], *, whole: bool = False) -> dict[str, Mention]:
        """Those of the ids that exist (hidden ones too); whole: with their story_keys, ascending, each once."""

    def edit_mention(self, mention_id: str, edit: MentionEdit) -> Mention:
        """Change one mention in one step; raises StoreError if it is not there."""

    def edit_mentions(self, edits: Mapping[str, MentionEdit]) -> int:
        """Change many; ids that are not there are passed over. Returns how many were changed."""

    def search(
        self,
        query: MentionQuery,
        *,
        limit: int = 50,
        after: str | None = None,
        oldest_first: bool = False,
        whole: bool = False,
    ) -> Page:
        """Newest first by published_at (ties by the store's own stable order); whole as in mentions()."""

    def count(self, query: MentionQuery) -> int:
        """How many; exact."""

    def group(
        self, query: MentionQuery, by: Sequence[Dimension], *, top: int | None = None
    ) -> dict[tuple[str, ...], int]:
        """How many per combination of one to three dimensions; exact; zero groups are absent.

        top: only so many of the largest groups, of equal ones any.
        """

    def find_originals(self, keys: Collection[int], *, since: datetime) -> dict[int, tuple[str, ...]]:
        """For each story key the ids of mentions that are not copies and hold it, published since then."""

    def erase_mentions(self, ids: Collection[str]) -> int:
        """Remove for good. Returns how many there were."""

    def erase_before(self, published_before: datetime) -> int:
        """Retention: remove mentions published before then. Returns how many there were."""

    def restore_mentions(self, mentions: Sequence[Mention], *, replace: bool = True) -> Added:
        """Write mentions of another store exactly as they are, indexed_at and story_keys too; safe to repeat.

        new_ids were not there; changed_ids were there and different: they are replaced, or left without replace;
        n_same were exactly so already. Of the same id twice in one call the later counts.
        """

    # records

    def get(self, kind: type[R], record_id: str) -> R | None:
        """One record by its id."""

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
        """Records that match, by id or by one searchable field (records without a value come last)."""

    def tally(self, kind: type[Record], where: Where | None = None) -> int:
        """How many records match."""

    def put(self, record: R) -> R:
        """Compare and set: version 0 creates, else the stored version must be the same.

        Returns the record with its new version. Raises VersionConflict.
        """

    def put_all(self, records: Sequence[Record]) -> None:
        """Write many whatever their version (imports, provisioning), all or, on one machine, none."""

    def restore_records(self, records: Sequence[Record], *, replace: bool = True) -> int:
        """Write records of another store exactly as they are, version too; safe to repeat.

        Returns how many were there and different: they are replaced, or left without replace.
        """

    def delete(self, kind: type[Record], record_id: str) -> bool:
        """Remove; False if it was not there."""

    # upkeep

    def backup(self, target: Path) -> None:
        """A consistent copy while others go on writing; raises StoreError if target exists."""

    def check(self) -> dict[str, Any]:
        """Facts for doctor: backend, schema, n_mentions, n_bytes, problems (Chinese sentences, none if well)."""

    def close(self) -> None:
        """Give back connections; the object is not used afterwards."""
