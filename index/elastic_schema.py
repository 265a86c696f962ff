"""The indices of the Elasticsearch store: names, versioned strict mappings, templates, and their making.

    PREFIX-mentions              alias that reads go to: all months of one version
    PREFIX-mentions-v1-2026.11   one month of mentions by published_at in UTC, where no instant can overflow
    PREFIX-mentions-v1-early     all that was published before 2010; this one is always there
    PREFIX-mentions-v1-late      from 2100 on: wrong dates must not make an index each
    PREFIX-records               alias of the one index PREFIX-records-v1

Another version of a mapping, or of the tokens in index/text.py, is another set of indices under the same aliases.
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
EARLIEST_YEAR, LATEST_YEAR = 2010, 2099
_EARLY, _LATE = "early", "late"
_META = {"schema": SCHEMA_VERSION, "text": TEXT_VERSION}

_KEYWORD = {"type": "keyword"}
_LONG = {"type": "long"}
_BOOLEAN = {"type": "boolean"}

MENTION_PROPERTIES: Mapping[str, Any] = {
    "id": _KEYWORD,
    "published_us": _LONG,
    "published_at": {"type": "date", "format": "epoch_millis", "index": False},
    "indexed_us": _LONG,
    "words": {"type": "text", "analyzer": "whitespace", "norms": False},
    "keys": _LONG,
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
    "polarities": _KEYWORD,
    "story": _KEYWORD,
    "copy": _BOOLEAN,
    "hidden": _BOOLEAN,
    "persona": _KEYWORD,
    "author": _KEYWORD,
    "verified": _BOOLEAN,
    "region": _KEYWORD,
    "customer": _KEYWORD,
    "model_version": _KEYWORD,
    "body": {"type": "object", "enabled": False},
}


@dataclass(frozen=True)
class Names:
    """How things are called on the server."""

    prefix: str

    @property
    def mentions(self) -> str:
        return f"{self.prefix}-mentions"

    @property
    def records(self) -> str:
        return f"{self.prefix}-records"

    @property
    def mentions_template(self) -> str:
        return f"{self.mentions}-v{SCHEMA_VERSION}"

    @property
    def records_index(self) -> str:
        return f"{self.records}-v{SCHEMA_VERSION}"

    @property
    def early(self) -> str:
        return f"{self.mentions_template}-{_EARLY}"

    def month(self, published_at: datetime) -> str:
        """The index of a mention."""
        at = published_at.astimezone(UTC)
        if at.year < EARLIEST_YEAR:
            return self.early
        return f"{self.mentions_template}-{_LATE if at.year > LATEST_YEAR else f'{at:%Y.%m}'}"

    def end_of(self, index: str) -> datetime | None:
        """The instant before which all in a monthly index was published; None for the two that have no such end."""
        found = re.fullmatch(re.escape(self.mentions_template) + r"-(\d{4})\.(\d{2})", index)
        if found is None:
            return None
        year, month = int(found[1]), int(found[2])
        return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def prepare(client: Elasticsearch, names: Names, settings: StoreSettings) -> None:
    """Makes what is missing. Raises SchemaError if what is there is not for this program."""
    _check_versions(client, names)
    # Always, so that other shards or replicas in the settings take effect from the next month on.
    client.indices.put_index_template(
        name=names.mentions_template,
        index_patterns=[f"{names.mentions_template}-*"],
        priority=500,
        version=SCHEMA_VERSION,
        template={**_mentions_index(settings), "aliases": {names.mentions: {}}},
    )
    if not client.indices.exists_alias(name=names.mentions):
        create(client, names.early)
    if not client.indices.exists_alias(name=names.records):
        create(client, names.records_index, **_records_index(settings), aliases={names.records: {}})
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
    return sorted(client.indices.get_alias(name=names.mentions, filter_path="*.aliases.*"))


def _check_versions(client: Elasticsearch, names: Names) -> None:
    answer = client.indices.get_mapping(
        index=[names.mentions, names.records], ignore_unavailable=True, filter_path="*.mappings._meta"
    )
    for index, found in answer.body.items():
        meta = found["mappings"]["_meta"]
        schema, text = int(meta.get("schema", 0)), int(meta.get("text", 0))
        if (schema, text) == (SCHEMA_VERSION, TEXT_VERSION):
            continue
        if schema > SCHEMA_VERSION or text > TEXT_VERSION:
            raise SchemaError(f"索引 {index} 由更新版本的程序写成 (结构 {schema}, 分词 {text}): 请升级这台机器上的程序")
        raise SchemaError(f"索引 {index} 的结构已过时 (结构 {schema}, 分词 {text}): 请先运行 manage.py store migrate")


def _settings_of_index(settings: StoreSettings, shards: int) -> dict[str, Any]:
    return {
        "number_of_shards": shards,
        # As many copies as there are further nodes, at most this many: one node alone is not "yellow" for ever.
        "auto_expand_replicas": f"0-{settings.replicas}" if settings.replicas else False,
        **({} if settings.replicas else {"number_of_replicas": 0}),
    }


def _mentions_index(settings: StoreSettings) -> dict[str, Any]:
    return {
        "settings": _settings_of_index(settings, settings.shards),
        "mappings": {
            "dynamic": "strict",
            "_meta": _META,
            # The other fields are made anew from the body at each write.
            "_source": {"includes": ["body", "keys"]},
            "properties": MENTION_PROPERTIES,
        },
    }


def _records_index(settings: StoreSettings) -> dict[str, Any]:
    return {
        "settings": _settings_of_index(settings, 1),
        "mappings": {
            "dynamic": "strict",
            "_meta": _META,
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
