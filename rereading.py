"""Another model came: use it, say so, and read again in the background what the last one read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from index import readers
from index.models import Lease, Mention, ReaderState
from jobs import Service, alone, make_tasks, put_if_first
from labelling import keep_labels, keep_what_was_judged, read_mentions, still_the_same
from nlp.classifier import NlpError

log = structlog.get_logger()

BATCH = 200
"""Mentions that are read again at a time: a fraction of a second, so that fresh ones never wait for long."""
TURN = "reread"
TURN_LASTS = timedelta(seconds=60)
"""For so long one worker reads again before another one may; renewed while it goes on."""
GIVE_WAY_S = 1.0
TOLD_EVERY = 25
"""Batches between two lines of the log."""


def check_model(service: Service) -> ReaderState:
    """Use the model that is on disk now, and tell the dashboard which one reads, since when, and why no better one."""
    version, reason = "", ""
    try:
        if service.reader.refresh():
            log.info("another model reads now", version=service.classifier.version)
        loaded = service.reader.loaded
        version, reason = loaded.classifier.version, loaded.fallback_reason or ""
    except NlpError as error:
        log.error("no model can be loaded; what is crawled waits in the spool", reason=str(error))
        reason = str(error)
    now = service.clock()
    known = service.store.get(ReaderState, service.machine)
    same = known is not None and (known.model_version, known.fallback_reason) == (version, reason)
    state = ReaderState(
        id=service.machine,
        version=known.version if known else 0,
        model_version=version,
        fallback_reason=reason,
        since_at=known.since_at if known is not None and same else now,
        checked_at=now,
    )
    return put_if_first(service.store, state) or state


def reread(service: Service) -> bool:
    """Read one batch of what another model read, newest first. Whether there may be more to do at once.

    It gives way to an ingest that is under way, and leaves it all where this machine reads with a fallback or
    machines of two models run side by side. A kill costs one batch: what was read again is no longer asked for.

    What people said stays. Alerts are about newly indexed mentions (risk words) or about the present count of a
    window, so nothing old is told as new. A reply task is made as for a fresh mention, thus only inside
    [tasks] max_age_h; it is made before the labels are written, so that a kill between the two loses none.
    """
    version = readers.best_version(service.store.find(ReaderState))
    if version is None or version != service.classifier.version or not _take_turn(service):
        return False
    if _is_ingesting(service):
        service.stop.wait(GIVE_WAY_S)
        return True
    progress, query = service.rereading, readers.outdated(version)
    if progress.after is None or progress.version != version:
        n_left = service.store.count(query)
        if not n_left:
            return False
        progress.start(version)
        log.info("reading again what another model read", version=version, n_left=n_left)
    page = service.store.search(query, limit=BATCH, after=progress.after)
    progress.after = page.after  # before the reading: a batch that fails waits for the next pass and stops no other
    progress.n_batches += 1
    _reread(service, page.mentions)
    if page.after is None:
        service.forget_facts()
        log.info("read again", version=version, n_left=service.store.count(query))
    elif progress.n_batches % TOLD_EVERY == 0:
        log.info("reading again", version=version, n_left=service.store.count(query))
    return page.after is not None


def _reread(service: Service, mentions: Sequence[Mention]) -> None:
    read = still_the_same(service.store, read_mentions(service.classifier, mentions, service.listening().hidden))
    keep_what_was_judged(service.store, mentions)
    make_tasks(service, read)
    keep_labels(service.store, read)


def _take_turn(service: Service) -> bool:
    """Hold or renew the turn that one worker at a time may have."""
    now = service.clock()
    lease = service.store.get(Lease, TURN)
    if lease is not None and lease.holder != service.name and now < lease.until:
        return False
    if lease is not None and lease.holder == service.name and lease.until - now > TURN_LASTS / 2:
        return True
    mine = Lease(id=TURN, version=lease.version if lease else 0, holder=service.name, until=now + TURN_LASTS)
    return put_if_first(service.store, mine) is not None


def _is_ingesting(service: Service) -> bool:
    """Whether a process of this machine brings a spool file into the store at this moment."""
    with alone(service.settings.spool_dir / "ingest.lock") as is_free:
        return not is_free
