"""Records in Elasticsearch: compare and set by the server's own sequence numbers, conditions on declared fields."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from itertools import islice
from typing import Any, TypeVar

from elastic_transport import TransportError
from elasticsearch import ApiError, ConflictError, NotFoundError

from index.elastic_bulk import Fate, Write, pause
from index.elastic_errors import of_answer, worth_a_retry
from index.elastic_rows import key_of, microseconds, shortened
from index.elastic_search import LARGEST_PAGE, Hit, Session
from index.elastic_text import MATCH_NONE, Clause, among, any_clause, chunks
from index.models import RECORDS, Record
from index.store import Between, SchemaError, StoreError, StoreUnavailable, VersionConflict, Where

R = TypeVar("R", bound=Record)

_GETS_AT_ONCE = 1_000
_ROUNDS = 20
_KINDS = {kind.kind_name: kind for kind in RECORDS}


@dataclass(frozen=True)
class RecordKeeper:
    session: Session

    def get(self, kind: type[R], record_id: str) -> R | None:
        stored = self._stored(_key(kind, record_id))
        return None if stored is None else _record_of(kind, stored["_source"])

    def put(self, record: R) -> R:
        """Writes it if the stored version is that of the record, and only then, also where an answer got lost."""
        writer = uuid.uuid4().hex
        after = record.model_copy(update={"version": record.version + 1})
        document = _document_of(after, writer)
        for attempt in range(self.session.settings.retries + 1):
            if attempt:
                time.sleep(pause(attempt))
            stored = self._stored(_key(type(record), record.id))
            if attempt and stored is not None and stored["_source"].get("writer") == writer:
                return after
            if _version(stored) != record.version:
                raise _conflict(record)
            try:
                self._index(after, document, stored)
            except ConflictError as e:
                raise _conflict(record) from e
            except (TransportError, ApiError) as e:
                if attempt == self.session.settings.retries or not worth_a_retry(e):
                    raise
            else:
                return after
        raise AssertionError("the last attempt returns or raises")

    def _index(self, record: Record, document: dict[str, Any], stored: Hit | None) -> None:
        client = self.session.client.options(max_retries=0)
        place: dict[str, Any] = {"index": self.session.names.records, "id": _key(type(record), record.id)}
        if stored is None:
            client.create(**place, document=document)
        else:
            client.index(
                **place, document=document, if_seq_no=stored["_seq_no"], if_primary_term=stored["_primary_term"]
            )

    def put_all(self, records: Sequence[Record]) -> None:
        """Many at once, each one version above what is stored."""
        self._write_all(records, lambda record, stored: record.model_copy(update={"version": _version(stored) + 1}))

    def restore(self, records: Sequence[Record], *, replace: bool) -> int:
        """As Store.restore_records promises."""
        different = set()

        def exactly(record: Record, stored: Hit | None) -> Record | None:
            if stored is None:
                return record
            if _record_of(type(record), stored["_source"]) == record:
                return None
            different.add(_key(type(record), record.id))
            return record if replace else None

        self._write_all(records, exactly)
        return len(different)

    def _write_all(self, records: Sequence[Record], wanted: Callable[[Record, Hit | None], Record | None]) -> None:
        """Writes what is wanted in place of what is stored; one that is changed meanwhile is looked at again."""
        open_ = {_key(type(record), record.id): record for record in records}
        for _ in range(_ROUNDS):
            stored = self._all_stored(list(open_))
            writes = []
            for key, record in open_.items():
                after = wanted(record, stored.get(key))
                if after is not None:
                    writes.append(self._replacing(key, after, stored.get(key)))
            failed = {}
            for write, result in zip(writes, self.session.bulk.write(writes), strict=True):
                if result.fate is Fate.REFUSED:
                    raise of_answer(400, {"reason": result.reason}, self.session.settings)
                if result.fate is not Fate.DONE:
                    failed[write.key] = open_[write.key]
            open_ = failed
            if not open_:
                return
        raise StoreUnavailable(f"记录 {next(iter(open_))} 一直在被别处改动, 这次没有写成, 请稍后再试")

    def _replacing(self, key: str, record: Record, stored: Hit | None) -> Write:
        document = _document_of(record, uuid.uuid4().hex)
        index = self.session.names.records
        if stored is None:
            return Write("create", index, key, document)
        return Write("index", index, key, document, stored["_seq_no"], stored["_primary_term"])

    def delete(self, kind: type[Record], record_id: str) -> bool:
        try:
            self.session.client.delete(index=self.session.names.records, id=_key(kind, record_id))
        except NotFoundError as e:
            if isinstance(e.body, dict) and "error" in e.body:
                raise
            return False
        return True

    def find(
        self,
        kind: type[R],
        where: Where | None,
        *,
        order_by: str | None,
        descending: bool,
        limit: int | None,
        offset: int,
    ) -> list[R]:
        clause, sort = condition(kind, where), ordering(kind, order_by, descending=descending)
        self._refresh()
        wanted = None if limit is None else offset + limit
        if wanted is not None and wanted <= LARGEST_PAGE:
            hits = self._page(clause, sort, wanted - offset, offset) if limit else []
        else:
            hits = self._page(clause, sort, LARGEST_PAGE, 0)
            if len(hits) == LARGEST_PAGE:
                names = self.session.names
                hits = list(
                    islice(self.session.scan(names.records, clause, sort=sort, source=["body", "version"]), wanted)
                )
            hits = hits[offset:wanted]
        return [_record_of(kind, hit["_source"]) for hit in hits]

    def _page(self, clause: Clause, sort: Sequence[Any], size: int, offset: int) -> list[Hit]:
        answer = self.session.search(
            index=self.session.names.records,
            query=clause,
            sort=sort,
            size=size,
            from_=offset,
            track_total_hits=False,
            source=["body", "version"],
        )
        hits: list[Hit] = answer["hits"]["hits"]
        return hits

    def tally(self, kind: type[Record], where: Where | None) -> int:
        clause = condition(kind, where)
        self._refresh()
        return self.session.count(self.session.names.records, clause)

    def _refresh(self) -> None:
        """Records are the state that several workers share: each must see at once what another did.

        Cheap where nothing was written since; a refresh at each write instead would slow every claim.
        """
        self.session.refresh(self.session.names.records)

    def _stored(self, key: str) -> Hit | None:
        try:
            answer = self.session.patiently(lambda: self.session.client.get(index=self.session.names.records, id=key))
        except NotFoundError as e:
            if isinstance(e.body, dict) and "error" in e.body:
                raise
            return None
        return dict(answer.body)

    def _all_stored(self, keys: Sequence[str]) -> dict[str, Hit]:
        found = {}
        for some in chunks(keys, _GETS_AT_ONCE):
            for said in self._documents(some):
                if said["found"]:
                    found[said["_id"]] = said
        return found

    def _documents(self, keys: list[str]) -> list[Any]:
        answer = self.session.patiently(
            lambda: self.session.client.mget(index=self.session.names.records, ids=keys, source=["version", "body"])
        )
        docs: list[Any] = answer["docs"]
        for said in docs:
            if error := said.get("error"):
                raise of_answer(503, error, self.session.settings)
        return docs


def _version(stored: Hit | None) -> int:
    return 0 if stored is None else int(stored["_source"]["version"])


def _key(kind: type[Record], record_id: str) -> str:
    return key_of(f"{kind.kind_name}:{record_id}")


def _conflict(record: Record) -> VersionConflict:
    return VersionConflict(f"{record.kind_name} {record.id} 已被别人修改, 请刷新后再试")


def _document_of(record: Record, writer: str) -> dict[str, Any]:
    return {
        "kind": record.kind_name,
        "id": shortened(record.id),
        "version": record.version,
        "writer": writer,
        "body": record.model_dump(mode="json", exclude={"version"}),
        "fields": {name: values for name in record.searchable if (values := _values(getattr(record, name)))},
    }


def _record_of(kind: type[R], source: Mapping[str, Any]) -> R:
    try:
        return kind.model_validate(source["body"]).model_copy(update={"version": source["version"]})
    except (ValueError, KeyError) as e:
        raise SchemaError(f"库中有一条 {kind.kind_name} 记录无法读取, 数据可能已损坏: {e}") from e


def rewritten(source: Mapping[str, Any]) -> dict[str, Any]:
    """A stored record as this program writes it; of a kind that it does not know, as it is and not to be found."""
    kind = _KINDS.get(source["kind"])
    if kind is None:
        return {**source, "fields": {}}
    return _document_of(_record_of(kind, source), source.get("writer", ""))


def _values(value: Any) -> list[Any]:
    """What is searched of an attribute; nothing where there is no value."""
    several = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    return list(dict.fromkeys(_comparable(each) for each in several if each is not None))


def _comparable(value: Any) -> Any:
    """A value as the server compares it: instants as microseconds, days as text, the rest as itself."""
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, date):
        return value.isoformat()
    plain = value.value if isinstance(value, Enum) else value
    return shortened(plain) if isinstance(plain, str) else plain


# -------------------------------------------------------------------------------------------- conditions


def condition(kind: type[Record], where: Where | None) -> Clause:
    """Raises StoreError for a field that is not searchable."""
    parts = [_condition(_field(kind, name), wanted) for name, wanted in (where or {}).items()]
    return {"bool": {"filter": [{"term": {"kind": kind.kind_name}}, *parts]}}


def _field(kind: type[Record], name: str) -> str:
    if name == "id":
        return "id"
    if name not in kind.searchable:
        known = ", ".join(("id", *kind.searchable))
        raise StoreError(f"{kind.kind_name} 不能按 {name} 查找, 可以用 {known}")
    return f"fields.{name}"


def _condition(field: str, wanted: Any) -> Clause:
    if isinstance(wanted, Between):
        bounds = {"gte": wanted.ge, "lt": wanted.lt}
        known = {sign: _comparable(bound) for sign, bound in bounds.items() if bound is not None}
        return {"range": {field: known}} if known else {"exists": {"field": field}}
    if isinstance(wanted, Collection) and not isinstance(wanted, str | bytes | Mapping):
        parts = [among(field, _values(list(wanted)))] if any(value is not None for value in wanted) else []
        if None in wanted:
            parts.append(_missing(field))
        return any_clause(parts)
    return _missing(field) if wanted is None else {"term": {field: _comparable(wanted)}}


def _missing(field: str) -> Clause:
    return MATCH_NONE if field == "id" else {"bool": {"must_not": [{"exists": {"field": field}}]}}


def ordering(kind: type[Record], order_by: str | None, *, descending: bool) -> list[Any]:
    """Records without a value come last, ties go by id."""
    direction = "desc" if descending else "asc"
    if order_by is None or order_by == "id":
        return [{"id": direction}]
    mode = "max" if descending else "min"
    return [{_field(kind, order_by): {"order": direction, "missing": "_last", "mode": mode}}, {"id": "asc"}]
