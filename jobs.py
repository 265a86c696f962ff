"""What is done: one short function a job. The way of one mention reads from top to bottom.

    source due -> crawl (own process) -> spool file -> ingest: clean, match, fold, read, link -> store -> tasks
    store -> watch rules -> alerts -> outbox -> deliver -> people

Every job may be run again at any point: ids are deterministic, claims are conditional writes with a
lease, and a spool file is removed only after the store has its mentions.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel

from alerts import deliver, tasks, watch
from alerts.channels import build
from alerts.channels.base import Channel, ChannelRefused
from alerts.facts import FactsCache
from crawlers import spool
from crawlers.launch import launch
from crawlers.parsers.common import BadLine
from index import customers
from index.models import (
    Customer,
    Intent,
    LogEntry,
    Mention,
    Notification,
    Outcome,
    ReaderState,
    Reviewed,
    Rule,
    Run,
    Session,
    Source,
    Task,
    TaskState,
    Topic,
    WorkerState,
)
from index.query import parse
from index.store import Between, MentionQuery, QueryError, R, Store, StoreError, StoreUnavailable, VersionConflict
from labelling import Reader, Rereading, read_mentions
from nlp.classifier import Classifier
from nlp.clean import clean
from nlp.copies import fold, story_keys
from nlp.match import TopicMatcher
from nlp.names import hiding
from nlp.pii import mask
from settings import Settings

log = structlog.get_logger()
P = TypeVar("P", Topic, Source, Rule)

LEASE_SLACK = timedelta(seconds=60)
DUE_AT_ONCE = 50
CRAWL_STARTS_WITHIN = timedelta(seconds=5)
FIRST_LOOK = timedelta(seconds=75)
"""How long rules wait after a start for sources that were never crawled."""
PATIENCE_TRIES = 900
"""How often a crawl's end is written again, a second or more apart: longer than a server takes to be started again."""
RELINKED = "relinked"
"""Id of the entry that says which import of customers was followed up."""
MACHINE_KNOWN_DAYS = 7
BAD_LINES_TOLD = 20
"""How many bad lines a run carries for people to see; all of them lie beside its spool file."""
LONGEST_BACK_OFF = timedelta(hours=6)
LONGEST_RETRY_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Listening:
    """Topics compiled: which of them a text belongs to, and what takes their names out of one."""

    topics: tuple[Topic, ...]
    matcher: TopicMatcher
    hidden: Callable[[str], str]


@dataclass(frozen=True)
class Service:
    """What every job needs. name is `host:pid:started`, so that claims of a dead process can be told."""

    settings: Settings
    store: Store
    clock: Callable[[], datetime]
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}")
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the process was asked to end: long jobs leave off where they can go on next time."""

    @cached_property
    def started_at(self) -> datetime:
        """When this process first asked (its start, for the purposes of the rules)."""
        return self.clock()

    @property
    def machine(self) -> str:
        return self.name.split(":")[0]

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.settings)

    @property
    def classifier(self) -> Classifier:
        return self.reader.loaded.classifier

    @cached_property
    def rereading(self) -> Rereading:
        return Rereading()

    @cached_property
    def channels(self) -> Mapping[str, Channel]:
        """The senders that can be built; messages for the others wait, and doctor says what is missing."""
        made = {}
        for channel in self.settings.channels:
            try:
                made[channel.id] = build(channel, os.environ, self.clock)
            except ChannelRefused as error:
                log.error("channel cannot be used", channel=channel.id, error=str(error))
        return made

    @cached_property
    def facts(self) -> FactsCache:
        return FactsCache()

    def forget_facts(self) -> None:
        """What rules remember of the past is no longer so."""
        self.__dict__.pop("facts", None)

    def listening(self) -> Listening:
        """To the topics as they stand now; compiled again only when one changed."""
        topics = tuple(self.store.find(Topic, {"enabled": True}))
        known: Listening | None = self.__dict__.get("_listening")
        if known is None or known.topics != topics:
            known = Listening(topics, TopicMatcher(topics), hiding([topic.names for topic in topics]))
            self.__dict__["_listening"] = known
        return known


# ---------------------------------------------------------------------------------------------- provision


def provision(service: Service) -> None:
    """Bring topics, sources and rules of settings.toml into the store; state that is there stays.

    Raises QueryError, before anything is changed, for a query that would stop every ingest or rule later.
    """
    now = service.clock()
    _refuse_broken_queries(service.settings)
    if _provision(service.store, Topic, service.settings.topics, now):
        _read_all_again(service.store, now)
    _provision(service.store, Source, service.settings.sources, now)
    _provision(service.store, Rule, service.settings.rules, now)


def _refuse_broken_queries(settings: Settings) -> None:
    TopicMatcher(settings.topics)
    for rule in settings.rules:
        try:
            parse(rule.query)
        except QueryError as error:
            raise QueryError(
                f"规则「{rule.name}」({rule.id}) 的 query 有误: {error}", position=error.position
            ) from error


def _provision(store: Store, kind: type[P], wanted: Sequence[BaseModel], now: datetime) -> bool:
    """Whether anything is new or other than before."""
    given = {fields["id"]: fields for item in wanted if (fields := dict(item))}
    changed = [record_id for record_id, fields in given.items() if _provision_one(store, kind, record_id, fields, now)]
    for record in store.find(kind):
        if record.provisioned and record.id not in given:
            store.delete(kind, record.id)
    return bool(changed)


def _provision_one(store: Store, kind: type[P], record_id: str, fields: dict[str, Any], now: datetime) -> bool:
    schedule = {} if kind is Topic else {"next_at": now}
    known = store.get(kind, record_id)
    if isinstance(known, Source) and (known.url, known.options) != (fields["url"], fields["options"]):
        # Another place: what was learnt of the old one (cursor, etag, failures) says nothing about it.
        fields = {**fields, "state": {}, "n_failures": 0, "next_at": now}
    if known is None and put_if_first(store, kind.model_validate({**fields, **schedule, "provisioned": True})):
        return True
    return _revise(store, kind, record_id, partial(_but, fields={**fields, "provisioned": True})) != known


def _read_all_again(store: Store, now: datetime) -> None:
    """Topics changed: what the sources had before may match them, so no "not modified" and no cursor may hide it."""
    for source in store.find(Source):
        if source.state:
            _revise(store, Source, source.id, partial(_but, fields={"state": {}, "next_at": now}))


def _but(record: R, fields: Mapping[str, Any]) -> R:
    return record.but(**fields)


def _revise(store: Store, kind: type[R], record_id: str, change: Callable[[R], R]) -> R | None:
    """Change a record on top of whatever others wrote meanwhile; None if it is gone."""
    while (record := store.get(kind, record_id)) is not None:
        changed = change(record)
        if changed == record:
            return record
        try:
            return store.put(changed)
        except VersionConflict:
            continue
    return None


# -------------------------------------------------------------------------------------------------- crawl


def crawl_due(service: Service, *, due_by: datetime | None = None) -> Run | None:
    """Claim one source that is due (now, or earlier: due_by) and crawl it; None if nothing is."""
    source = _claim_source(service, due_by)
    return None if source is None else crawl(service, source)


def _claim_source(service: Service, due_by: datetime | None = None) -> Source | None:
    due = _due_sources(service.store, due_by or service.clock())
    return next((mine for source in due if (mine := claim(service, source)) is not None), None)


def _due_sources(store: Store, due_by: datetime) -> Iterator[Source]:
    """All of them, the longest due first; most of the first ones may be in the hands of others."""
    until = Between(lt=due_by + timedelta(microseconds=1))
    offset = 0
    while due := store.find(
        Source, {"enabled": True, "next_at": until}, order_by="next_at", limit=DUE_AT_ONCE, offset=offset
    ):
        yield from due
        offset += len(due)


def claim(service: Service, source: Source) -> Source | None:
    """Take a source for one crawl; None if somebody else has it."""
    now = service.clock()
    if source.lease_until is not None and now < source.lease_until:
        return None
    return put_if_first(service.store, source.but(claimed_by=service.name, lease_until=now + _lease(service)))


def _lease(service: Service) -> timedelta:
    return timedelta(seconds=service.settings.crawl.run_timeout_s) + LEASE_SLACK


def crawl(service: Service, source: Source) -> Run:
    """Crawl a source in its own process; keep the run and set the source's next turn."""
    started_at = service.clock()
    run, state = launch(
        source,
        run_id=f"{source.id}-{started_at:%Y%m%dT%H%M%S%f}",
        crawl=service.settings.crawl,
        spool_dir=service.settings.spool_dir,
        inbox_dir=service.settings.inbox_dir,
        clock=service.clock,
    )
    _insist(service, partial(service.store.put_all, [run]))
    _insist(service, partial(_finish, service.store, source, run, state))
    log.info("crawled", source=source.id, outcome=run.outcome.value, n_items=run.n_items, n_bad=run.n_bad)
    return run


def _insist(service: Service, write: Callable[[], object]) -> None:
    """A store that is away for a while must not cost what a crawl has learnt, nor leave its source claimed, nor
    have a message sent again."""
    for last in (*[False] * PATIENCE_TRIES, True):
        try:
            write()
        except StoreUnavailable:
            if last or service.stop.wait(1):
                raise
        else:
            return


def _finish(store: Store, source: Source, run: Run, state: Mapping[str, object]) -> None:
    """Write what the run taught, on top of whatever people changed meanwhile.

    Where the claim lapsed and another crawl followed, that one says when the next turn is, and no claim is ours.
    """
    good = run.outcome in (Outcome.OK, Outcome.EMPTY, Outcome.PARTIAL)
    claim_held = (source.claimed_by, source.lease_until)

    def taught(current: Source) -> Source:
        if (current.claimed_by, current.lease_until) != claim_held:
            return current
        n_failures = 0 if good else current.n_failures + 1
        asked_again = current.next_at is not None and run.started_at < current.next_at <= run.finished_at
        return current.but(
            state=dict(state) if current.state == source.state else current.state,
            claimed_by=None,
            lease_until=None,
            last_run_id=run.id,
            last_outcome=run.outcome,
            last_run_at=run.finished_at,
            last_success_at=run.finished_at if good else current.last_success_at,
            n_failures=n_failures,
            next_at=run.finished_at if asked_again else next_turn(current, run, n_failures=n_failures),
        )

    _revise(store, Source, source.id, taught)


def next_turn(source: Source, run: Run, *, n_failures: int) -> datetime:
    """When to crawl again: the period after a success, twice as long after each failure in a row, at most
    six hours (or the period, if longer); never before the time that the site asked to wait for. An inbox folder
    needs no sparing: a broken file in it must not keep the next one waiting."""
    period = timedelta(seconds=source.every_s)
    wait = (
        period
        if n_failures == 0 or source.kind == "file"
        else min(period * 2 ** min(n_failures, 16), max(LONGEST_BACK_OFF, period))
    )
    retry_after = min(timedelta(seconds=min(float(run.stats.get("retry_after_s") or 0), 1e7)), LONGEST_RETRY_AFTER)
    return max(run.started_at + wait, run.finished_at + retry_after)


def release_dead(service: Service) -> int:
    """Give back the sources that a process of this host claimed and died with. Returns how many.

    Such a source was perhaps asked already: its next turn comes a period after that crawl began, or when another host
    could have taken it over. A little later still, as the site is asked some seconds after the claim.
    """
    n = 0
    for source in service.store.find(Source, {"enabled": True}):
        host, pid, started = (*(source.claimed_by or "").split(":"), "", "")[:3]
        if host != service.machine or _started(pid) == started or source.lease_until is None:
            continue
        period = timedelta(seconds=source.every_s) + CRAWL_STARTS_WITHIN
        spared = timedelta(0) if source.kind == "file" else min(period, _lease(service))
        turn = source.lease_until - _lease(service) + spared
        free = source.but(claimed_by=None, lease_until=None, next_at=max(turn, source.next_at or turn))
        n += put_if_first(service.store, free) is not None
    return n


def _started(pid: int | str) -> str:
    """When a process started, in ticks since boot: with the pid it names one process for good; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


# ------------------------------------------------------------------------------------------------- ingest


@dataclass(frozen=True)
class Ingested:
    """What became of some mentions: n_read = n_new + n_known + n_unmatched + n_empty + n_expired + len(refused)."""

    n_read: int = 0
    n_new: int = 0
    n_known: int = 0
    n_unmatched: int = 0
    n_empty: int = 0
    n_expired: int = 0
    """Published longer ago than mentions are kept."""
    refused: tuple[BadLine, ...] = ()
    """What the store can never take, whole, under the mention's id."""
    new_ids: tuple[str, ...] = ()

    def __add__(self, other: Ingested) -> Ingested:
        return Ingested(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def ingest_spool(service: Service) -> Ingested:
    """Bring every finished spool file into the store. One process of a machine at a time does it.

    When the worker stops, the file in hand stays; what it has brought already is merged the next time.
    """
    total = Ingested()
    with alone(service.settings.spool_dir / "ingest.lock") as is_alone:
        if not is_alone:
            return total
        sources = {source.id: source for source in service.store.find(Source)}
        fixed = {source.id: source.topics for source in sources.values()}
        for file in spool.pending(service.settings.spool_dir):
            if _is_being_written(service, file.run_id, sources):
                continue
            try:
                done = _ingest_file(service, file, fixed)
            except StoreUnavailable:
                raise
            except (StoreError, spool.SpoolError):
                log.exception("spool file cannot be ingested; the others go on", run=file.run_id)
                continue
            if done is None:
                return total
            total += done
            log.info("ingested", run=file.run_id, n_read=done.n_read, n_new=done.n_new, n_unmatched=done.n_unmatched)
    return total


def _is_being_written(service: Service, run_id: str, sources: Mapping[str, Source]) -> bool:
    """Whether the crawl behind a spool file is about to write its run, which the ingest is to complete."""
    source = sources.get(run_id.rpartition("-")[0])
    claimed = source is not None and source.lease_until is not None and service.clock() < source.lease_until
    return claimed and service.store.get(Run, run_id) is None


def _ingest_file(service: Service, file: spool.SpoolFile, fixed: Mapping[str, tuple[str, ...]]) -> Ingested | None:
    """None when the worker stops: the file stays for the next time."""
    done = Ingested()
    for batch in spool.read(file, batch=service.settings.worker.batch):
        if service.stop.is_set():
            return None
        spool.keep_bad(file, batch.bad)
        part = ingest(service, batch.mentions, fixed=fixed)
        spool.keep_bad(file, part.refused)
        done += part
    _note_ingested(service.store, file, done)
    spool.done(file)
    return done


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Whether this process has the lock; the kernel gives it back when a process dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _note_ingested(store: Store, file: spool.SpoolFile, done: Ingested) -> None:
    """Complete the run: what was new, and all that lies in its bad pile, from the crawl and from here."""
    run = store.get(Run, file.run_id)
    if run is None:
        return
    bad = spool.read_bad(file, limit=spool.MOST_BAD)
    told = dict.fromkeys([*run.bad_lines, *(f"{line.where}: {line.reason}" for line in bad[run.n_bad :])])
    store.put_all(
        [
            run.but(
                n_new=(run.n_new or 0) + done.n_new,
                n_bad=max(run.n_bad, len(bad)),
                bad_lines=tuple(told)[:BAD_LINES_TOLD],
            )
        ]
    )


def ingest(
    service: Service, mentions: Sequence[Mention], *, fixed: Mapping[str, tuple[str, ...]] | None = None
) -> Ingested:
    """raw mentions -> clean -> match -> fold -> read -> link -> store -> tasks.

    fixed names the topics that everything of a source belongs to. Safe to repeat for the same mentions.
    """
    store, now = service.store, service.clock()
    cleaned = [clean_mention(mention) for mention in mentions]
    oldest = now - timedelta(days=service.settings.retention.mentions_days)
    young = [mention for mention in cleaned if oldest <= mention.published_at]
    telling = [mention for mention in young if mention.text or mention.title]
    listening = service.listening()
    matched = match(telling, listening.matcher, fixed or {}, store)
    stored = store.mentions([mention.id for mention in matched])
    fresh, known = [], []
    for mention in matched:
        before = stored.get(mention.id)
        if before is not None and (before.title, before.text) == (mention.title, mention.text):
            known.append(_as_read_before(mention, before))
        else:
            fresh.append(mention)
    folded = fold_stories(service, fresh)
    read = read_mentions(service.classifier, folded, listening.hidden)
    linked = customers.link_mentions(store, read, now=now)
    added = store.add_mentions([*linked, *known], now=now)
    # Known ones, too: the process may have died before it came to this line.
    make_tasks(service, [mention for mention in (*linked, *known) if mention.id not in added.refused])
    refused = [
        BadLine(mention.id, added.refused[mention.id], mention.model_dump(mode="json", exclude_defaults=True))
        for mention in (*linked, *known)
        if mention.id in added.refused
    ]
    return Ingested(
        n_read=len(mentions),
        n_new=len(added.new_ids),
        n_known=len(matched) - len(added.new_ids) - len(refused),
        n_unmatched=len(telling) - len(matched),
        n_empty=len(young) - len(telling),
        n_expired=len(cleaned) - len(young),
        refused=tuple(refused),
        new_ids=added.new_ids,
    )


def clean_mention(mention: Mention) -> Mention:
    """Plain text with phone numbers, mail addresses and the like masked; the url stays byte-exact."""
    persona = mention.persona
    if persona is not None and (name := mask(clean(persona.name))) != persona.name:
        # A source without account ids makes the id of the name, so what is masked there must not stand in it.
        named = persona.id == f"{mention.platform}:{persona.name}"
        digest = hashlib.blake2b(persona.name.encode(), digest_size=12).hexdigest()
        persona = persona.model_copy(
            update={"name": name, "id": f"{mention.platform}:{digest}" if named else persona.id}
        )
    return mention.model_copy(
        update={"title": mask(clean(mention.title)), "text": mask(clean(mention.text)), "persona": persona}
    )


def match(
    mentions: Sequence[Mention], matcher: TopicMatcher, fixed: Mapping[str, tuple[str, ...]], store: Store
) -> list[Mention]:
    """Those that belong to a topic, with their topics: matched ones, those fixed for the source, those they
    came with, and for a comment those of what it comments on ("多少钱一包?" is about the thread's brand)."""
    topics = {
        mention.id: {
            *mention.topics,
            *fixed.get(mention.source, ()),
            *matcher.match(mention.text, mention.title, mention),
        }
        for mention in mentions
    }
    parents = {mention.parent_id for mention in mentions if mention.parent_id} - topics.keys()
    above = {key: set(parent.topics) for key, parent in store.mentions(parents).items()} | topics
    result = []
    for mention in mentions:
        found = topics[mention.id] | above.get(mention.parent_id or "", set())
        if found:
            result.append(mention.model_copy(update={"topics": tuple(sorted(found))}))
    return result


def fold_stories(service: Service, mentions: Sequence[Mention]) -> list[Mention]:
    """Give each mention its story: what the store or this batch already has of the same words."""
    if not mentions:
        return []
    nlp = service.settings.nlp
    keys = {key for m in mentions for key in story_keys(m.said, min_chars=nlp.fold_min_chars)}
    since = min(mention.published_at for mention in mentions) - timedelta(days=nlp.fold_window_days)
    candidates = service.store.find_originals(keys, since=since)
    originals = service.store.mentions({found for ids in candidates.values() for found in ids})
    return fold(
        mentions,
        candidates=candidates,
        texts={key: mention.said for key, mention in originals.items()},
        published={key: mention.published_at for key, mention in originals.items()},
        window=timedelta(days=nlp.fold_window_days),
        min_chars=nlp.fold_min_chars,
    )


def _as_read_before(mention: Mention, before: Mention) -> Mention:
    """A mention that was crawled again with the same words needs no second reading."""
    return mention.model_copy(
        update={
            name: getattr(before, name) for name in ("labels", "review", "hidden", "story_id", "is_copy", "customer_id")
        }
    )


def make_tasks(service: Service, mentions: Sequence[Mention]) -> int:
    """A reply task for each mention that needs one and has none. Returns how many were made."""
    store, settings, now = service.store, service.settings, service.clock()
    kinds = {topic.id: topic.kind for topic in store.find(Topic)}

    def wanted(mention: Mention, customer: Customer | None = None, n_earlier: int = 0) -> Task | None:
        return tasks.task_for(
            mention,
            customer=customer,
            sla=settings.sla,
            tasks=settings.tasks,
            topic_kinds=kinds,
            now=now,
            n_earlier=n_earlier,
        )

    candidates = {tasks.task_id(mention.id): mention for mention in mentions if wanted(mention)}
    there = {task.id for task in store.find(Task, {"mention_id": [m.id for m in candidates.values()]})}
    made = 0
    for task_id in candidates.keys() - there:
        mention = candidates[task_id]
        customer = store.get(Customer, mention.customer_id) if mention.customer_id else None
        task = wanted(mention, customer, _earlier_complaints(store, mention))
        made += task is not None and put_if_first(store, task) is not None
    return made


def _earlier_complaints(store: Store, mention: Mention) -> int:
    """How often this person complained in the 90 days before."""
    if mention.customer_id is None and mention.persona is None:
        return 0
    whose = MentionQuery(
        intents=(Intent.COMPLAINT,),
        since=mention.published_at - timedelta(days=90),
        until=mention.published_at,
        copies="fold",
    )
    if mention.customer_id:
        return store.count(whose.model_copy(update={"customer_id": mention.customer_id}))
    persona_id = mention.persona.id if mention.persona else ""
    return store.count(whose.model_copy(update={"persona_ids": (persona_id,)}))


def put_if_first(store: Store, record: R) -> R | None:
    """Write a record unless somebody else was faster; then None."""
    try:
        return store.put(record)
    except VersionConflict:
        return None


def import_mentions(service: Service, mentions: Iterable[Mention], *, topic: str | None = None) -> Iterator[Ingested]:
    """Ingest a file's mentions batch by batch; with a topic all of them go to it, else only what matches."""
    rest = iter(mentions)
    while batch := list(islice(rest, service.settings.worker.batch)):
        given = batch if topic is None else [m.model_copy(update={"topics": (topic,)}) for m in batch]
        yield ingest(service, given)


# --------------------------------------------------------------------------------- watch, deliver, housekeep


def watch_due(service: Service) -> bool:
    """Claim the rules that are due and look at what they watch. Whether there were any."""
    now = service.clock()
    if _first_look_is_due(service, now):
        return False
    due = service.store.find(Rule, {"enabled": True, "next_at": Between(lt=now + timedelta(microseconds=1))})
    claimed = [mine for rule in due if (mine := _claim_rule(service.store, rule, now)) is not None]
    for rule in claimed:
        for alert in watch.watch(service.store, rule, settings=service.settings, now=now, cache=service.facts):
            log.info("alert", id=alert.id, rule=rule.id, level=alert.level.value, state=alert.state.value)
    _resume_waiting(service, now)
    watch.tell_overdue(service.store, settings=service.settings, now=now)
    return bool(claimed)


def _resume_waiting(service: Service, now: datetime) -> None:
    """The moment at which a task was to be followed up has come: its clock runs on from then."""
    for task in service.store.find(Task, {"state": TaskState.WAITING}):
        if task.waiting_until is None or now < task.waiting_until:
            continue
        resumed = tasks.resume(task, sla=service.settings.sla, actor=tasks.SYSTEM, now=task.waiting_until)
        put_if_first(service.store, resumed)


def _first_look_is_due(service: Service, now: datetime) -> bool:
    """Sources that were never crawled yet, or their first harvest, are about to change the picture: a rule that
    fired on a part of it would tell the same crisis again with each further part."""
    if now - service.started_at >= FIRST_LOOK:
        return False
    never_crawled = service.store.tally(Source, {"enabled": True, "last_run_at": None})
    return never_crawled > 0 or bool(spool.pending(service.settings.spool_dir))


def _claim_rule(store: Store, rule: Rule, now: datetime) -> Rule | None:
    return put_if_first(store, rule.but(next_at=now + timedelta(seconds=rule.every_s)))


def deliver_due(service: Service, *, hurry: bool = False) -> Counter[str]:
    """Send what lies in the outbox and is due; how many were sent, retried, failed, put off and dropped."""
    return deliver.deliver_due(
        service.store,
        service.channels,
        service.settings.channels,
        now=service.clock(),
        clock=service.clock,
        insist=partial(_insist, service),
        hurry=hurry,
    )


def relink_after_import(service: Service) -> bool:
    """Customers were imported on screen: what is stored already may be theirs. Whether there was such an import."""
    store = service.store
    newest = store.find(LogEntry, {"action": "import"}, order_by="at", descending=True, limit=1)
    done = store.get(LogEntry, RELINKED)
    if not newest or (done is not None and newest[0].at <= done.at):
        return False
    n = customers.relink(store, now=service.clock())
    store.put_all([LogEntry(id=RELINKED, at=newest[0].at, actor=tasks.SYSTEM, action="relink", note=f"{n} 条提及")])
    log.info("relinked", n_mentions=n)
    return True


def housekeep(service: Service) -> bool:
    """Retention: old mentions, runs, messages and sign-ins go. Always False."""
    store, settings, now = service.store, service.settings, service.clock()
    n_mentions = store.erase_before(now - timedelta(days=settings.retention.mentions_days))
    n_records = 0
    for kind, field_name, days in (
        (Run, "started_at", settings.retention.runs_days),
        (Notification, "created_at", settings.retention.notifications_days),
        (Session, "expires_at", 0),
        (Reviewed, "at", settings.retention.mentions_days),
        (ReaderState, "checked_at", MACHINE_KNOWN_DAYS),
        (WorkerState, "checked_at", MACHINE_KNOWN_DAYS),
    ):
        for record in store.find(kind, {field_name: Between(lt=now - timedelta(days=days))}):
            n_records += store.delete(kind, record.id)
    customers.regroup(store, now=now)
    if n_mentions or n_records:
        log.info("housekept", n_mentions=n_mentions, n_records=n_records)
    return False


def sweep_spool(service: Service) -> bool:
    """What crawls left on this machine is kept some days. Always False."""
    settings = service.settings
    n_files = spool.sweep(settings.spool_dir, before=service.clock() - timedelta(days=settings.crawl.keep_spool_days))
    if n_files:
        log.info("swept the spool", n_files=n_files)
    return False


# ------------------------------------------------------------------------------------------------ being there


def tell_presence(service: Service) -> bool:
    """Say that this worker runs and what it does. Always False."""
    state = WorkerState(
        id=service.name,
        roles=service.settings.worker.roles,
        started_at=service.started_at,
        checked_at=service.clock(),
    )
    service.store.put_all([state])
    return False


def tell_absence(service: Service) -> None:
    """It ends in good order; of one that is killed the others learn by its silence."""
    service.store.delete(WorkerState, service.name)
