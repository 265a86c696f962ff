"""A mention as a document of the Elasticsearch store: pure translation, no connection."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic_core import PydanticSerializationError

from index.models import Mention
from index.store import SchemaError
from index.text import fold, search_text, tokens

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_ID = 512
"""Bytes; a limit of the server."""
_LONGEST_VALUE = 8_000
"""Characters; the server takes 32,766 bytes."""
_LONG = re.compile(r"\S{121,}")
"""The server's whitespace analyzer cuts at 255 units of UTF-16, of which an emoji takes two."""
KEPT_OF_LONG = 100

_AS_PYTHON_DOES = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def key_of(name: str) -> str:
    """The _id of a document: the name itself, of one that is too long its digest."""
    written = name.encode()
    if len(written) <= _LONGEST_ID and not name.startswith("sha256:"):
        return name
    return "sha256:" + hashlib.sha256(written).hexdigest()


def shortened(value: str) -> str:
    """A value as it is searched for: the server refuses long ones, which are here a beginning and a digest instead."""
    if len(value) <= _LONGEST_VALUE:
        return value
    return f"{value[:KEPT_OF_LONG]}#{hashlib.sha256(value.encode()).hexdigest()}"


def indexed(words: str) -> str:
    """Tokens as the server takes them: it would cut long ones, which are here a beginning and a digest instead."""
    return _LONG.sub(_shortened, words)


def _shortened(match: re.Match[str]) -> str:
    token = match[0]
    return f"{token[:KEPT_OF_LONG]}#{hashlib.sha256(token.encode()).hexdigest()[:40]}"


def as_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # A lone half of a surrogate pair is no character: the server would refuse the whole request for it.
        return _AS_PYTHON_DOES.encode(value).encode("utf-8", "replace")


def document_of(mention: Mention) -> dict[str, Any]:
    """All fields of elastic_schema.MENTION_PROPERTIES that have a value; unread and unknown are the empty text."""
    return {"body": mention.model_dump(mode="json", exclude_defaults=True), **_fields(mention)}


def line_of(mention: Mention) -> bytes:
    """document_of() as JSON. Thousands of documents as trees of small objects would keep the garbage collector busy."""
    try:
        body = mention.model_dump_json(exclude_defaults=True)
    except PydanticSerializationError:  # a lone half of a surrogate pair
        return as_json(document_of(mention))
    return b'{"body":' + body.encode() + b"," + as_json(_fields(mention))[1:]


def _fields(mention: Mention) -> dict[str, Any]:
    """All but the body."""
    published_us = microseconds(mention.published_at)
    document: dict[str, Any] = {
        "id": mention.id,
        "published_us": published_us,
        "published_at": published_us // 1000,
        "words": indexed(tokens(search_text(mention.title, mention.text))),
        "platform": mention.platform,
        "source": mention.source,
        "kind": mention.kind,
        "sentiment": mention.sentiment or "",
        "intent": mention.intent or "",
        "story": mention.story_id or "",
        "copy": mention.is_copy,
        "hidden": mention.hidden is not None,
        "customer": mention.customer_id or "",
        "model_version": mention.labels.model_version if mention.labels else "",
        **_persona(mention),
    }
    if mention.indexed_at:
        document["indexed_us"] = microseconds(mention.indexed_at)
    if mention.severity is not None:
        document["severity"] = mention.severity
    if mention.confidence is not None:
        document["confidence"] = mention.confidence
    if mention.story_keys:
        document["keys"] = sorted(set(mention.story_keys))
    if mention.topics:
        document["topics"] = sorted(set(mention.topics))
    if aspects := mention.aspects:
        document["aspects"] = sorted({each.name for each in aspects})
        document["aspect_polarities"] = sorted({f"{each.name}:{each.polarity}" for each in aspects})
        document["polarities"] = sorted({each.polarity for each in aspects})
    return document


def _persona(mention: Mention) -> dict[str, Any]:
    persona = mention.persona
    if persona is None:
        return {"persona": ""}
    found: dict[str, Any] = {"persona": persona.id, "author": [fold(persona.name), fold(persona.id)]}
    if persona.verified is not None:
        found["verified"] = persona.verified
    if persona.region:
        found["region"] = fold(persona.region)
    return found


def mention_of(source: dict[str, Any], *, keys: bool = False) -> Mention:
    """The mention of a stored document; its story keys only where they are asked for."""
    try:
        mention = Mention.model_validate(source["body"])
    except (ValueError, KeyError) as e:
        raise SchemaError(f"库中有一条提及无法读取, 数据可能已损坏: {e}") from e
    return mention.model_copy(update={"story_keys": tuple(source.get("keys", ()))}) if keys else mention


def with_sorted_keys(mention: Mention) -> Mention:
    """As it comes back from the store: its keys ascending, each once."""
    return mention.model_copy(update={"story_keys": tuple(sorted(set(mention.story_keys)))})
