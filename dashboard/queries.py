"""Cached reads of mentions, narrowed to what the viewer may see, and plain reads of records.

Caches are shared by all people, so every function that reads for a person takes the person's scope
(the topics that may be seen; empty means all) as its first argument.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from dashboard.context import store
from dashboard.fitting import fits
from dashboard.last_known import remembered
from dashboard.normal import RisingWord, counted, rising_words
from index import readers
from index.models import (
    CORRECTED,
    Account,
    Alert,
    AlertState,
    Customer,
    Link,
    LogEntry,
    Mention,
    Notification,
    Outcome,
    ReaderState,
    Reviewed,
    Role,
    Run,
    Source,
    Task,
    TaskState,
    Topic,
    WorkerState,
)
from index.store import Between, Dimension, MentionQuery, Page

Scope = tuple[str, ...]
NO_TOPIC = "-"
"""No topic can have this id: the topic of a query for which nothing may be seen."""
NO_TOPIC_OF_SOURCE = ""
"""The topic of an alert about a source; everybody may see those."""

_HASH: dict[str | type[Any], Callable[[Any], Any]] = {MentionQuery: MentionQuery.model_dump_json}
_LIVE_S = 20


def narrow(scope: Scope, query: MentionQuery) -> MentionQuery:
    """The part of a query that lies in the scope."""
    if not scope:
        return query
    topics = tuple(topic for topic in query.topics or scope if topic in scope)
    return query.model_copy(update={"topics": topics or (NO_TOPIC,)})


def visible(scope: Scope, topics: Collection[str]) -> bool:
    return not scope or any(topic in scope for topic in topics)


# ---------------------------------------------------------------------------------------------- mentions


@remembered
@st.cache_data(ttl=_LIVE_S, max_entries=2000, show_spinner=False, hash_funcs=_HASH)
def count(scope: Scope, query: MentionQuery) -> int:
    return store().count(narrow(scope, query))


@remembered
@st.cache_data(ttl=_LIVE_S, max_entries=1000, show_spinner=False, hash_funcs=_HASH)
def group(scope: Scope, query: MentionQuery, by: tuple[Dimension, ...]) -> dict[tuple[str, ...], int]:
    return store().group(narrow(scope, query), by)


@remembered
@st.cache_data(ttl=_LIVE_S, max_entries=200, show_spinner=False, hash_funcs=_HASH)
def page(scope: Scope, query: MentionQuery, limit: int, *, oldest_first: bool = False) -> Page:
    return store().search(narrow(scope, query), limit=limit, oldest_first=oldest_first)


@remembered
@st.cache_data(ttl=120, max_entries=100, show_spinner=False, hash_funcs=_HASH)
def rising(
    scope: Scope, recent: MentionQuery, earlier: MentionQuery, names: frozenset[str], among: int = 400
) -> list[RisingWord]:
    """Words that rose: found in the newest texts of both periods, counted in all of them."""
    periods = (recent, earlier)
    texts = [[mention.text for mention in page(scope, query, among).mentions] for query in periods]
    found = rising_words(*texts, names=names)
    of_word, of_word_before = (
        {each.word: count(scope, query.model_copy(update={"text": each.word})) for each in found} for query in periods
    )
    return counted(found, of_word, of_word_before, count(scope, recent), count(scope, earlier))


def all_mentions(scope: Scope, query: MentionQuery, *, at_most: int) -> list[Mention]:
    """Everything that matches, for an export."""
    found: list[Mention] = []
    after: str | None = None
    while len(found) < at_most:
        some = store().search(narrow(scope, query), limit=min(500, at_most - len(found)), after=after)
        found.extend(some.mentions)
        after = some.after
        if after is None:
            break
    return found


def mention(scope: Scope, mention_id: str) -> Mention | None:
    return mentions(scope, (mention_id,)).get(mention_id)


@remembered
def mentions(scope: Scope, ids: Collection[str]) -> dict[str, Mention]:
    found = store().mentions(ids) if ids else {}
    return {key: mention for key, mention in found.items() if visible(scope, mention.topics)}


@remembered
@st.cache_data(ttl=60, max_entries=200, show_spinner=False, hash_funcs=_HASH)
def stories(scope: Scope, query: MentionQuery, limit: int = 5) -> list[tuple[Mention, int, tuple[str, ...]]]:
    """The most copied stories: first mention, number of mentions with it, platforms by count."""
    copies = query.model_copy(update={"copies": "only"})
    n_copies = {story_id: n for (story_id,), n in store().group(narrow(scope, copies), ("story",), top=limit).items()}
    found = []
    for story_id, first in mentions(scope, n_copies).items():
        places = group(scope, query.model_copy(update={"copies": "all", "story_id": story_id}), ("platform",))
        platforms = sorted(places, key=places.__getitem__, reverse=True)
        found.append((first, sum(places.values()), tuple(key[0] for key in platforms)))
    return sorted((each for each in found if each[1] > 1), key=_size, reverse=True)


def _size(story: tuple[Mention, int, tuple[str, ...]]) -> int:
    return story[1]


def n_copies(scope: Scope, query: MentionQuery, found: Sequence[Mention]) -> dict[str, int]:
    """Story id -> how many others of the period and platforms say the same as one of these.

    Asked story by story without the text: each is a look into an index, while a count of all stories reads all.
    """
    same = query.model_copy(update={"copies": "all", "text": ""})
    stories = {mention.story_id for mention in found if mention.story_id}
    return {story: count(scope, same.model_copy(update={"story_id": story})) - 1 for story in stories}


@remembered
@st.cache_data(ttl=_LIVE_S, max_entries=200, show_spinner=False, hash_funcs=_HASH)
def oldest(scope: Scope, query: MentionQuery) -> Mention | None:
    found = store().search(narrow(scope, query), limit=1, oldest_first=True).mentions
    return found[0] if found else None


@remembered
@st.cache_data(ttl=_LIVE_S, max_entries=200, show_spinner=False, hash_funcs=_HASH)
def loudest(scope: Scope, query: MentionQuery, limit: int = 5, among: int = 500) -> list[Mention]:
    """One mention of each persona with the most followers, among the newest."""
    by_persona = {}
    for mention in store().search(narrow(scope, query), limit=among).mentions:
        if mention.persona is not None and mention.persona.followers:
            by_persona[mention.persona.id] = mention
    return sorted(by_persona.values(), key=_followers, reverse=True)[:limit]


def _followers(mention: Mention) -> int:
    return mention.persona.followers or 0 if mention.persona else 0


def forget() -> None:
    """After a write: the next reads come from the store."""
    st.cache_data.clear()


@remembered
def mine(scope: Scope, query: MentionQuery, name: str, *, among: int = 500) -> list[Mention]:
    """Of what this person has taken as a task or corrected lately, the mentions that match; newest first."""
    taken = store().find(Task, {"owner": name}, order_by="created_at", descending=True, limit=among)
    corrected = store().find(
        LogEntry, {"actor": name, "action": CORRECTED}, order_by="at", descending=True, limit=among
    )
    ids = {*(task.mention_id for task in taken), *(entry.note for entry in corrected)}
    found = [mention for mention in mentions(scope, sorted(ids)).values() if fits(query, mention)]
    return sorted(found, key=_published, reverse=True)


@remembered
@st.cache_data(ttl=60, max_entries=50, show_spinner=False)
def reviewed(scope: Scope, since: datetime, at_most: int = 5000) -> list[tuple[Mention, Reviewed]]:
    """What people have judged since then, with what the model had said; the newest if there is more."""
    found = store().find(Reviewed, {"at": Between(ge=since)}, order_by="at", descending=True, limit=at_most)
    there: dict[str, Mention] = {}
    for start in range(0, len(found), 500):
        there |= mentions(scope, [record.id for record in found[start : start + 500]])
    return [(there[each.id], each) for each in found if each.id in there and there[each.id].review is not None]


@remembered
@st.cache_data(ttl=_LIVE_S, max_entries=1, show_spinner=False)
def by_model() -> dict[str, int]:
    """How many mentions each model's labels stand on; empty key: not read yet. Of everything, whoever may see it."""
    return {key[0]: n for key, n in store().group(MentionQuery(hidden="with"), ("model_version",)).items()}


def _published(mention: Mention) -> datetime:
    return mention.published_at


# ----------------------------------------------------------------------------------------------- records


@remembered
@st.cache_data(ttl=60, max_entries=1, show_spinner=False)
def all_topics() -> list[Topic]:
    return store().find(Topic)


def topics(scope: Scope) -> dict[str, Topic]:
    """Topics that may be seen, own brands first."""
    order = ("brand", "product", "crisis", "competitor", "industry")
    seen = [topic for topic in all_topics() if visible(scope, (topic.id,))]
    return {topic.id: topic for topic in sorted(seen, key=lambda topic: (order.index(topic.kind), topic.name))}


@remembered
@st.cache_data(ttl=60, max_entries=100, show_spinner=False)
def colleagues(roles: tuple[Role, ...], topic: str) -> list[str]:
    """The names of those who can take something about this topic."""
    return sorted(
        account.name
        for account in store().find(Account)
        if not account.disabled
        and account.role in (*roles, Role.ADMIN)
        and (topic == NO_TOPIC_OF_SOURCE or visible(account.topics, (topic,)))
    )


@remembered
def sources() -> list[Source]:
    return store().find(Source, order_by="id")


@remembered
def reader_states() -> list[ReaderState]:
    """Which model each machine reads with, those that read now."""
    return readers.present(store().find(ReaderState))


@remembered
def worker_states() -> list[WorkerState]:
    """Which workers said lately that they run, and their roles."""
    return store().find(WorkerState)


@remembered
def runs(source_id: str, *, limit: int = 20) -> list[Run]:
    return store().find(Run, {"source": source_id}, order_by="started_at", descending=True, limit=limit)


@remembered
def last_messages(found: Sequence[Source]) -> dict[str, str]:
    """Source id -> what its last run said to people, where it said something."""
    last = {source.id: store().get(Run, source.last_run_id) for source in found if source.last_run_id}
    return {source_id: run.message for source_id, run in last.items() if run is not None and run.message}


@remembered
def alerts(scope: Scope, *, resolved: bool = False, since: datetime | None = None, limit: int = 100) -> list[Alert]:
    """Open ones (worst and newest first), or those resolved."""
    where: dict[str, Any] = {
        "state": AlertState.RESOLVED if resolved else (AlertState.OPEN, AlertState.ACKNOWLEDGED),
    }
    if scope:
        where["topic"] = (*scope, NO_TOPIC_OF_SOURCE)
    if since:
        where["opened_at"] = Between(ge=since)
    found = store().find(Alert, where, order_by="opened_at", descending=True, limit=limit)
    if resolved:
        return found
    return sorted(found, key=lambda alert: (alert.state != AlertState.OPEN, -alert.level.rank))


@remembered
def alert(scope: Scope, alert_id: str) -> Alert | None:
    found = store().get(Alert, alert_id)
    seen = found is not None and (found.topic == NO_TOPIC_OF_SOURCE or visible(scope, (found.topic,)))
    return found if seen else None


@remembered
def notifications(subject_id: str) -> list[Notification]:
    return store().find(Notification, {"subject_id": subject_id}, order_by="created_at", descending=True, limit=30)


@remembered
def task(scope: Scope, task_id: str) -> Task | None:
    found = store().get(Task, task_id)
    return found if found is not None and visible(scope, (found.topic,)) else None


@remembered
def tasks(scope: Scope, where: Mapping[str, Any], *, newest_first: bool = False, limit: int = 200) -> list[Task]:
    """Those due first, or the newest."""
    conditions = {**where, **({"topic": scope} if scope else {})}
    order = "created_at" if newest_first else "due_at"
    return store().find(Task, conditions, order_by=order, descending=newest_first, limit=limit)


@remembered
def n_tasks(scope: Scope, where: Mapping[str, Any]) -> int:
    return store().tally(Task, {**where, **({"topic": scope} if scope else {})})


def n_overdue(scope: Scope, now: datetime) -> int:
    """Tasks whose first reply is late and that nobody has answered."""
    return n_tasks(scope, {"state": (TaskState.OPEN, TaskState.CLAIMED), "due_at": Between(lt=now)})


@remembered
def n_unacknowledged(scope: Scope) -> int:
    topics = {"topic": (*scope, NO_TOPIC_OF_SOURCE)} if scope else {}
    return store().tally(Alert, {"state": AlertState.OPEN, **topics})


@remembered
def task_of(mention_id: str) -> Task | None:
    found = store().find(Task, {"mention_id": mention_id}, limit=1)
    return found[0] if found else None


@remembered
def tasks_of(mention_ids: Sequence[str]) -> dict[str, Task]:
    if not mention_ids:
        return {}
    return {task.mention_id: task for task in store().find(Task, {"mention_id": tuple(mention_ids)})}


@remembered
def customer(customer_id: str) -> Customer | None:
    return store().get(Customer, customer_id)


@remembered
def customers_named(ids: Collection[str]) -> dict[str, Customer]:
    found = {key: store().get(Customer, key) for key in set(ids)}
    return {key: customer for key, customer in found.items() if customer is not None}


@remembered
def links(where: Mapping[str, Any]) -> list[Link]:
    return store().find(Link, where)


@remembered
def find_customers(text: str, *, limit: int = 30) -> list[Customer]:
    """By number, order number, phone tail, handle, or a part of the name."""
    text = text.strip()
    if not text:
        return store().find(Customer, order_by="last_order_at", descending=True, limit=limit)
    found: dict[str, Customer] = {}
    exact = store().get(Customer, text)
    if exact is not None:
        found[exact.id] = exact
    for field in ("order_numbers", "phone_tail", "handles", "name"):
        found |= {customer.id: customer for customer in store().find(Customer, {field: text}, limit=limit)}
    if len(found) < limit:
        for customer in store().find(Customer):
            parts = (customer.name, customer.note, *customer.handles, *customer.tags)
            if any(text.lower() in part.lower() for part in parts):
                found.setdefault(customer.id, customer)
    return list(found.values())[:limit]


# --------------------------------------------------------------------------------------------- freshness

SOUND = (Outcome.OK, Outcome.EMPTY, Outcome.PARTIAL)


def is_late(source: Source, now: datetime) -> bool:
    """Older than twice its period (and a minute for the crawl itself)."""
    allowed = timedelta(seconds=2 * source.every_s + 60)
    return source.last_success_at is not None and now - source.last_success_at > allowed


def is_sound(source: Source, now: datetime) -> bool:
    return source.last_outcome in SOUND and not is_late(source, now)


def is_waiting(source: Source) -> bool:
    """Switched on, but not crawled yet."""
    return source.last_outcome is None
