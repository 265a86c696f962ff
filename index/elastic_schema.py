"""The indices of the Elasticsearch store: names, versioned strict mappings, templates, and their making.

    PREFIX-mentions-v1           alias that reads go to: all months of version 1
    PREFIX-mentions-v1-2026.11   one month of mentions by published_at in UTC, where no instant can overflow
    PREFIX-mentions-v1-early     all that was published before 2010; this one is always there
    PREFIX-mentions-v1-late      from 2100 on: wrong dates must not make an index each
    PREFIX-records-v1            alias of the one index PREFIX-records-v1-all

Another mapping, or other tokens in index/text.py, is another version: other indices under other aliases, so that no
program ever reads or writes what it does not understand. The version that has aliases is the one that counts;
elastic_migrate.py moves from one to the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_type_hints

from elasticsearch import BadRequestError, Elasticsearch

from index.models import RECORDS, Record
from index.store import SchemaError
from index.text import TEXT_VERSION
from settings import StoreSettings

SCHEMA_VERSION = 1
VERSION = SCHEMA_VERSION + TEXT_VERSION - 1
"""Of the indices that this program reads and writes; one more whenever either of the two is."""
EARLIEST_YEAR, LATEST_YEAR = 2010, 2099
_EARLY, _LATE = "early", "late"

_KEYWORD = {"type": "keyword"}
_LONG = {"type": "long"}
_BOOLEAN = {"type": "boolean"}
# For fields that conditions name, but nothing is counted or sorted by.
_ASKED_ONLY = {"doc_values": False}

MENTION_PROPERTIES: Mapping[str, Any] = {
    "id": _KEYWORD,
    "published_us": _LONG,
    "published_at": {"type": "date", "format": "epoch_millis", "index": False},
    "indexed_us": _LONG,
    "words": {"type": "text", "analyzer": "whitespace", "norms": False},
    "keys": {**_LONG, **_ASKED_ONLY},
    "topics": _KEYWORD,
    "platform": _KEYWORD,
    "source": _KEYWORD,
    "kind": _KEYWORD,
    "sentiment": _KEYWORD,
    "intent": _KEYWORD,
    "severity": {"type": "byte"},
    "confidence": {"type": "double"},
    "aspects": _KEYWORD,
    "aspect_polarities": _KEYWORD,
    "polarities": {**_KEYWORD, **_ASKED_ONLY},
    "story": _KEYWORD,
    "copy": _BOOLEAN,
    "hidden": _BOOLEAN,
    "persona": _KEYWORD,
    "author": {**_KEYWORD, **_ASKED_ONLY},
    "verified": _BOOLEAN,
    "region": {**_KEYWORD, **_ASKED_ONLY},
    "customer": _KEYWORD,
    "model_version": _KEYWORD,
    "body": {"type": "object", "enabled": False},
}


@dataclass(frozen=True)
class Names:
    """How things are called on the server."""

    prefix: str
    version: int = VERSION
    staged: bool = False
    """Of a version that is being filled and has no aliases yet: its indices are read by a pattern."""

    @property
    def mentions(self) -> str:
        """What reads of mentions go to; each of its indices begins with mentions_template."""
        return f"{self.mentions_template}-*" if self.staged else self.mentions_template

    @property
    def records(self) -> str:
        return self.records_index if self.staged else f"{self.prefix}-records-v{self.version}"

    @property
    def mentions_template(self) -> str:
        return f"{self.prefix}-mentions-v{self.version}"

    @property
    def records_index(self) -> str:
        return f"{self.prefix}-records-v{self.version}-all"

    @property
    def patterns(self) -> list[str]:
        """All indices of the version."""
        return [f"{self.mentions_template}-*", self.records_index]

    @property
    def early(self) -> str:
        return f"{self.mentions_template}-{_EARLY}"

    def month(self, published_at: datetime) -> str:
        """The index of a mention."""
        at = published_at.astimezone(UTC)
        if at.year < EARLIEST_YEAR:
            return self.early
        return f"{self.mentions_template}-{_LATE if at.year > LATEST_YEAR else f'{at.year}.{at.month:02}'}"

    def end_of(self, index: str) -> datetime | None:
        """The instant before which all in a monthly index was published; None for the two that have no such end."""
        found = re.fullmatch(re.escape(self.mentions_template) + r"-(\d{4})\.(\d{2})", index)
        if found is None:
            return None
        year, month = int(found[1]), int(found[2])
        return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def prepare(client: Elasticsearch, names: Names, settings: StoreSettings) -> None:
    """Makes what is missing. Raises SchemaError if what is there is not for this program."""
    check_version(client, names)
    # Always, so that other shards or replicas in the settings take effect from the next month on.
    client.indices.put_index_template(
        name=names.mentions_template,
        index_patterns=[f"{names.mentions_template}-*"],
        priority=500,
        version=names.version,
        template={**mentions_index(names, settings), "aliases": {names.mentions: {}}},
    )
    if not client.indices.exists_alias(name=names.mentions):
        create(client, names.early)
    if not client.indices.exists_alias(name=names.records):
        create(client, names.records_index, **records_index(names, settings), aliases={names.records: {}})
    _add_record_fields(client, names)


def create(client: Elasticsearch, index: str, **parts: Any) -> None:
    """An index, unless somebody else was first."""
    try:
        client.indices.create(index=index, **parts)
    except BadRequestError as e:
        if e.error != "resource_already_exists_exception":
            raise


def mention_indices(client: Elasticsearch, names: Names) -> list[str]:
    """All months there are, the earliest first."""
    return sorted(client.indices.get_alias(index=names.mentions))


def current_version(client: Elasticsearch, prefix: str) -> int | None:
    """The version that has the aliases; None where there is no store yet."""
    answer = client.indices.get_alias(name=f"{prefix}-mentions-v*")
    aliases = {alias for found in answer.values() for alias in found["aliases"]}
    return max((version for alias in aliases if (version := version_of(alias, prefix)) is not None), default=None)


def version_of(name: str, prefix: str) -> int | None:
    """Of an alias, an index or a template of ours."""
    found = re.fullmatch(re.escape(prefix) + r"-(?:mentions|records)-v(\d+)(?:-.*)?", name)
    return None if found is None else int(found[1])


def check_version(client: Elasticsearch, names: Names) -> None:
    """Raises SchemaError where the store is of another version than this program."""
    there = current_version(client, names.prefix)
    if there is None or there == names.version:
        return
    both = f"库的索引是第 {there} 版, 这里的程序用第 {names.version} 版"
    if there > names.version:
        raise SchemaError(f"库已由更新版本的程序接管 ({both}): 请升级这台机器上的程序, 采集到的内容会留在本机等待入库")
    raise SchemaError(f"库的索引结构已过时 ({both}): 请先运行 manage.py store migrate; 若它正在运行, 请等它结束")


def _settings_of_index(settings: StoreSettings, shards: int) -> dict[str, Any]:
    return {
        "number_of_shards": shards,
        # As many copies as there are further nodes, at most this many: one node alone is not "yellow" for ever.
        "auto_expand_replicas": f"0-{settings.replicas}" if settings.replicas else False,
        **({} if settings.replicas else {"number_of_replicas": 0}),
    }


def mentions_index(names: Names, settings: StoreSettings) -> dict[str, Any]:
    return {
        # The newest first on the disk too: a page of them is read at once, and a time range is one piece.
        "settings": {
            **_settings_of_index(settings, settings.shards),
            "sort.field": "published_us",
            "sort.order": "desc",
            # Keys are looked up segment by segment: 6,500 in two months took 175 ms in 38 of them, 114 ms in 18.
            "merge.policy.segments_per_tier": 5,
        },
        "mappings": {
            "dynamic": "strict",
            "_meta": {"version": names.version},
            # The other fields are made anew from the body at each write.
            "_source": {"includes": ["body", "keys"]},
            "properties": MENTION_PROPERTIES,
        },
    }


def records_index(names: Names, settings: StoreSettings) -> dict[str, Any]:
    return {
        "settings": _settings_of_index(settings, 1),
        "mappings": {
            "dynamic": "strict",
            "_meta": {"version": names.version},
            "properties": {
                "kind": _KEYWORD,
                "id": _KEYWORD,
                "version": {"type": "long", "index": False},
                "writer": {"type": "keyword", "index": False, "doc_values": False},
                "body": {"type": "object", "enabled": False},
                "fields": {"properties": record_fields()},
            },
        },
    }


def record_fields() -> dict[str, Any]:
    """The searchable fields of all kinds of records; one name has one type everywhere."""
    fields: dict[str, Any] = {}
    for kind in RECORDS:
        for name in kind.searchable:
            wanted = _mapping_of(kind, name)
            if fields.setdefault(name, wanted) != wanted:
                raise SchemaError(f"{kind.kind_name}.{name} has another type than {name} of other records")
    return fields


def _mapping_of(kind: type[Record], name: str) -> dict[str, Any]:
    if name in kind.model_fields:
        annotation = kind.model_fields[name].annotation
    else:
        annotation = get_type_hints(getattr(kind, name).fget)["return"]
    said = str(annotation).lower()
    if "datetime" in said:
        return _LONG  # microseconds
    if annotation is bool:
        return _BOOLEAN
    return {"type": "double"} if re.search(r"\b(int|float)\b", said) else _KEYWORD


def _add_record_fields(client: Elasticsearch, names: Names) -> None:
    """Fields that this program knows and the index does not: another program wrote it."""
    answer = client.indices.get_mapping(index=names.records, filter_path="*.mappings.properties.fields.properties")
    known = {name for found in answer.body.values() for name in found["mappings"]["properties"]["fields"]["properties"]}
    missing = {name: mapping for name, mapping in record_fields().items() if name not in known}
    if missing:
        client.indices.put_mapping(index=names.records, properties={"fields": {"properties": missing}})
