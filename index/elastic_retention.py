"""Forgetting old mentions in Elasticsearch: whole months as whole indices, the rest one by one."""

from __future__ import annotations

from datetime import datetime

from elasticsearch import NotFoundError

from index.elastic_mentions import MentionWriter
from index.elastic_rows import microseconds
from index.elastic_schema import mention_indices
from index.elastic_search import Session

_ERASE_AT_ONCE = 5_000


def erase_before(session: Session, writer: MentionWriter, published_before: datetime) -> int:
    """Returns how many there were."""
    names = session.names
    session.refresh(names.mentions)
    n_erased = 0
    for index in mention_indices(session.client, names):
        end = names.end_of(index)
        if end is not None and end <= published_before:
            n_erased += _drop(session, index)
    clause = {"range": {"published_us": {"lt": microseconds(published_before)}}}
    while True:
        answer = session.search(
            index=names.mentions,
            query=clause,
            size=_ERASE_AT_ONCE,
            source=False,
            docvalue_fields=["id"],
            track_total_hits=False,
        )
        hits = answer["hits"]["hits"]
        n_erased += len(writer.remove([(hit["_index"], hit["fields"]["id"][0]) for hit in hits]))
        if len(hits) < _ERASE_AT_ONCE:
            return n_erased
        session.refresh(names.mentions)


def _drop(session: Session, index: str) -> int:
    try:
        n = session.count(index, {"match_all": {}})
        session.client.indices.delete(index=index)
    except NotFoundError:  # another worker was first
        return 0
    return n
