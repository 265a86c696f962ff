"""Records as rows of the embedded store, and conditions on their searchable fields as SQL: pure translation."""

# ruff: noqa: S608  # table and column names come from this package, every value is bound

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, TypeVar

from index.embedded_rows import microseconds
from index.models import Record
from index.store import Between, SchemaError, StoreError, Where

R = TypeVar("R", bound=Record)


def body_of(record: Record) -> str:
    return record.model_dump_json(exclude={"version"})


def from_row(kind: type[R], version: int, body: str) -> R:
    try:
        return kind.model_validate_json(body).model_copy(update={"version": version})
    except ValueError as e:
        raise SchemaError(f"库中有一条 {kind.kind_name} 记录无法读取, 数据可能已损坏: {e}") from e


def field_rows(record: Record, rid: int) -> list[tuple[str, str, Any, int]]:
    """One row per value of each searchable field; no row where there is no value."""
    rows: dict[tuple[str, str, Any, int], None] = {}
    for name in record.searchable:
        value = getattr(record, name)
        for each in value if isinstance(value, tuple | list | set | frozenset) else (value,):
            if each is not None:
                rows[record.kind_name, name, _stored(each), rid] = None
    return list(rows)


def _stored(value: Any) -> Any:
    """A value as SQLite compares it: instants as microseconds, the rest as itself."""
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def conditions(kind: type[Record], where: Where | None) -> tuple[str, list[Any]]:
    """SQL over `record r` and its values. Raises StoreError for a field that is not searchable."""
    parts, values = ["r.kind = ?"], [kind.kind_name]
    for name, wanted in (where or {}).items():
        sql, more = _condition(kind, name, wanted)
        parts.append(sql)
        values += more
    return " AND ".join(parts), values


def _condition(kind: type[Record], name: str, wanted: Any) -> tuple[str, list[Any]]:
    check_field(kind, name)
    if isinstance(wanted, Between):
        return _between(kind, name, wanted)
    if isinstance(wanted, Collection) and not isinstance(wanted, str | bytes | Mapping):
        known = [_stored(value) for value in wanted if value is not None]
        sql, values = _any_of(kind, name, known)
        if len(known) == len(wanted):
            return sql, values
        missing, more = _missing(kind, name)
        return f"({sql} OR {missing})", values + more
    if wanted is None:
        return _missing(kind, name)
    return _any_of(kind, name, [_stored(wanted)])


def _any_of(kind: type[Record], name: str, values: list[Any]) -> tuple[str, list[Any]]:
    # One value, however many: SQLite limits the number of parameters.
    wanted = [json.dumps(values)]
    if name == "id":
        return "r.id IN (SELECT value FROM json_each(?))", wanted
    values_of = "SELECT rid FROM record_field WHERE kind = ? AND name = ?"
    return f"r.rid IN ({values_of} AND value IN (SELECT value FROM json_each(?)))", [kind.kind_name, name, *wanted]


def _missing(kind: type[Record], name: str) -> tuple[str, list[Any]]:
    if name == "id":
        return "0", []
    return "r.rid NOT IN (SELECT rid FROM record_field WHERE kind = ? AND name = ?)", [kind.kind_name, name]


def _between(kind: type[Record], name: str, wanted: Between) -> tuple[str, list[Any]]:
    bounds, values = [], []
    for sign, bound in ((">=", wanted.ge), ("<", wanted.lt)):
        if bound is not None:
            bounds.append(sign)
            values.append(_stored(bound))
    if name == "id":
        return " AND ".join(["1", *(f"r.id {sign} ?" for sign in bounds)]), values
    tests = "".join(f" AND value {sign} ?" for sign in bounds)
    return (
        f"r.rid IN (SELECT rid FROM record_field WHERE kind = ? AND name = ?{tests})",
        [kind.kind_name, name, *values],
    )


def ordering(kind: type[Record], order_by: str | None, *, descending: bool) -> tuple[str, str, list[Any]]:
    """A join and an ORDER BY; records without a value come last, ties go by id."""
    direction = "DESC" if descending else "ASC"
    if order_by is None or order_by == "id":
        return "", f"r.id {direction}", []
    check_field(kind, order_by)
    best = "max" if descending else "min"
    join = (
        f" LEFT JOIN (SELECT rid, {best}(value) AS value FROM record_field WHERE kind = ? AND name = ? GROUP BY rid) o"
        " ON o.rid = r.rid"
    )
    return join, f"o.value IS NULL, o.value {direction}, r.id", [kind.kind_name, order_by]


def check_field(kind: type[Record], name: str) -> None:
    if name != "id" and name not in kind.searchable:
        known = ", ".join(("id", *kind.searchable))
        raise StoreError(f"{kind.kind_name} 不能按 {name} 查找, 可以用 {known}")
