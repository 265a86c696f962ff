"""Both stores answer alike: the same random mentions, the same random queries, every hit, order and count."""

import random
from datetime import timedelta

import pytest

from tests.builders import NOW
from tests.index.backends import elasticsearch, embedded
from tests.index.crowd import DIMENSIONS, a_crowd, a_query

N_MENTIONS, N_QUERIES = 20_000, 500
AT_ONCE = 2_000

pytestmark = [pytest.mark.es, pytest.mark.timeout(900)]


def a_wide_crowd(chance, n):
    """Over four months, no two of the same instant, so that there is one right order."""
    return [
        mention.model_copy(
            update={
                "published_at": mention.published_at - timedelta(days=chance.choice((0, 0, 0, 40, 80)), microseconds=n)
            }
        )
        for n, mention in enumerate(a_crowd(chance, n))
    ]


def ids(page):
    return [mention.id for mention in page.mentions]


def test_both_stores_answer_every_query_alike(tmp_path):
    chance = random.Random(20261126)
    crowd = a_wide_crowd(chance, N_MENTIONS)
    one, other = embedded(tmp_path), elasticsearch(tmp_path)
    try:
        for start in range(0, len(crowd), AT_ONCE):
            batch = crowd[start : start + AT_ONCE]
            assert other.add_mentions(batch, now=NOW) == one.add_mentions(batch, now=NOW)
        for _ in range(N_QUERIES):
            query = a_query(chance)
            by = chance.sample(DIMENSIONS, chance.randrange(1, 4))
            oldest_first = chance.random() < 0.5
            first, second = (store.search(query, limit=30, oldest_first=oldest_first) for store in (one, other))
            assert first.mentions == second.mentions, query
            assert (first.after is None) == (second.after is None), query
            if first.after is not None:
                further = one.search(query, limit=30, after=first.after, oldest_first=oldest_first)
                assert ids(other.search(query, limit=30, after=second.after, oldest_first=oldest_first)) == ids(further)
            assert one.count(query) == other.count(query), query
            assert one.group(query, by) == other.group(query, by), (query, by)
    finally:
        one.close()
        other.close()
