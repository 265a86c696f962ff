"""The moment of a move: the indices of one version take no more writes, and the next version gets the aliases.

The server itself keeps the old writers out, whatever they have read or remember. Months that exist are write-blocked;
the server confirms that only when no write to them is under way any more. A month that an old writer makes later gets
its settings from the barrier, a template above the one of its version: blocked from its first moment, and without
alias. So from raise_fence() on nothing changes in the old version (but that retention may drop a whole month), and
after flip() an old program can no longer even read, as its aliases are gone. The barrier stays for good: it keeps a
program out that sleeps through the move and wakes long after.
"""

from __future__ import annotations

from collections.abc import Iterable

from elasticsearch import Elasticsearch, NotFoundError

from index.elastic_schema import Names
from index.store import StoreUnavailable

_ABOVE_ALL = 1_000


def raise_fence(client: Elasticsearch, old: Names) -> None:
    """Returns when no write is under way or will be taken. Raises StoreUnavailable where the server cannot promise
    that."""
    client.indices.put_index_template(
        name=barrier(old),
        # The alias of the records, too: a write to an alias that is gone would make an index of that name.
        index_patterns=[*old.patterns, old.records],
        priority=_ABOVE_ALL,
        template={"settings": {"index.blocks.write": True, "number_of_shards": 1, "number_of_replicas": 0}},
    )
    answer = client.indices.add_block(index=f"{old.mentions},{old.records}", block="write")
    unblocked = live(client, old) - {each["name"] for each in answer["indices"] if each["blocked"]}
    if unblocked or not answer["shards_acknowledged"]:
        raise StoreUnavailable(f"索引 {', '.join(sorted(unblocked))} 没能设为不可写, 请稍后再运行一次")


def lift_fence(client: Elasticsearch, old: Names) -> None:
    """The service writes on as before. Only before flip()."""
    drop_template(client, barrier(old))
    # What an old writer made behind the barrier: empty, blocked for ever, and without alias.
    drop_indices(client, set(client.indices.get_alias(index=old.patterns)) - live(client, old))
    client.indices.put_settings(index=[old.mentions, old.records], settings={"index.blocks.write": None})


def flip(client: Elasticsearch, old: Names, new: Names) -> None:
    """In one step the new version counts and the old one does not. Raises NotFoundError, and does nothing, where an
    old month has just gone."""
    aliased = Names(new.prefix, new.version)
    actions = [
        {"remove": {"index": index, "alias": alias, "must_exist": True}}
        for alias in (old.mentions, old.records)
        for index in client.indices.get_alias(name=alias)
    ]
    actions += [
        {"add": {"index": pattern, "alias": alias}}
        for pattern, alias in zip(new.patterns, (aliased.mentions, aliased.records), strict=True)
    ]
    client.indices.update_aliases(actions=actions)


def live(client: Elasticsearch, names: Names) -> set[str]:
    """All indices behind the aliases of a version. Raises NotFoundError if it has none."""
    return set(client.indices.get_alias(index=[names.mentions, names.records]))


def barrier(old: Names) -> str:
    return f"{old.mentions_template}-moved"


def drop_template(client: Elasticsearch, name: str) -> None:
    try:
        client.indices.delete_index_template(name=name)
    except NotFoundError:
        return


def drop_indices(client: Elasticsearch, indices: Iterable[str]) -> None:
    """One by one: a single request may name more than a URL holds."""
    for index in indices:
        client.indices.delete(index=index, ignore_unavailable=True)
