"""When it is done: the scheduler, signals, and the health and metrics port of a worker process."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor as JobThreads
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app

import jobs
import rereading
from index.models import ReaderState
from index.store import SchemaError, StoreError, StoreUnavailable
from settings import SettingsError, WorkerRole

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = structlog.get_logger()

STORE_AWAITED_S = 5
"""Between two tries to reach a store at the start."""

SECONDS = Histogram("wensheng_job_seconds", "Time a job took", ["job", "status"])
LAST_SUCCESS = Gauge("wensheng_job_last_success_timestamp", "When a job last ended well", ["job"])
MENTIONS = Counter("wensheng_mentions_total", "Mentions ingested", ["what"])
RUNS = Counter("wensheng_runs_total", "Crawls by outcome", ["source", "outcome"])
DELIVERED = Counter("wensheng_notifications_total", "Notifications handled", ["result"])
FALLBACK = Gauge("wensheng_model_fallback", "1 while a fallback model reads, or none")


def now() -> datetime:
    return datetime.now(UTC)


def crawl(service: jobs.Service, due_by: datetime | None = None) -> bool:
    run = jobs.crawl_due(service, due_by=due_by)
    if run is not None:
        RUNS.labels(run.source, run.outcome.value).inc()
    return run is not None


def ingest(service: jobs.Service) -> bool:
    done = jobs.ingest_spool(service)
    MENTIONS.labels("new").inc(done.n_new)
    MENTIONS.labels("known").inc(done.n_known)
    MENTIONS.labels("unmatched").inc(done.n_unmatched)
    return done.n_read > 0


def watch(service: jobs.Service) -> bool:
    return jobs.watch_due(service)


def deliver(service: jobs.Service, *, hurry: bool = False) -> bool:
    done = jobs.deliver_due(service, hurry=hurry)
    for result, n in done.items():
        DELIVERED.labels(result).inc(n)
    return done["sent"] > 0


def relink(service: jobs.Service) -> bool:
    return jobs.relink_after_import(service)


def check_model(service: jobs.Service) -> bool:
    state = rereading.check_model(service)
    FALLBACK.set(bool(state.fallback_reason))
    return False


def reread(service: jobs.Service) -> bool:
    """One batch, then a rest as long as it took: pages and crawls want the cores, too."""
    started = time.monotonic()
    more = rereading.reread(service)
    if more:
        service.stop.wait(time.monotonic() - started)
    return more


def housekeep(service: jobs.Service) -> bool:
    return jobs.housekeep(service)


def sweep(service: jobs.Service) -> bool:
    return jobs.sweep_spool(service)


def tell_presence(service: jobs.Service) -> bool:
    return jobs.tell_presence(service)


Job = Callable[[jobs.Service], bool]
"""Does what is due now and says whether there was anything."""

JOBS: Mapping[WorkerRole, tuple[Job, ...]] = {
    # What a crawl brings lies in the spool of its machine, so whoever crawls must ingest, and sweep what is left.
    "crawl": (check_model, crawl, ingest, sweep),
    "read": (check_model, reread),
    "decide": (watch, deliver, relink, housekeep),
}
EVERY_S: Mapping[Job, float] = {check_model: 120, reread: 60, tell_presence: 60, housekeep: 3600, sweep: 3600}
"""The others look every [worker] tick_s."""


def jobs_of(roles: Iterable[WorkerRole]) -> list[Job]:
    """Each once, whichever roles it comes from."""
    return list(dict.fromkeys([tell_presence, *(job for role in roles for job in JOBS[role])]))


def timed(job: Job, service: jobs.Service) -> bool:
    """Run one job, measured. A job that fails is logged and tried again at its next turn; others go on."""
    name = job.__name__
    started_at = service.clock()
    status = "error"
    try:
        did = job(service)
        status = "success"
        LAST_SUCCESS.labels(name).set(service.clock().timestamp())
    except (StoreUnavailable, SchemaError) as error:  # the reason says what to do; a traceback would not
        log.warning("store unavailable", job=name, error=str(error))
        return False
    except Exception:
        log.exception("job failed", job=name)
        return False
    finally:
        SECONDS.labels(name, status).observe((service.clock() - started_at).total_seconds())
    return did


def keep_at_it(job: Job, service: jobs.Service) -> None:
    """Run a job until nothing is due, or the worker stops."""
    while not service.stop.is_set() and timed(job, service):
        pass


def work_until_idle(service: jobs.Service) -> int:
    """Do all that is due, in turn, until a whole round finds nothing to do. Returns the rounds with work.

    A source is due at most once, by the time of the start, so that short periods do not keep it going for ever.
    """
    jobs.release_dead(service)
    mine = jobs_of(service.settings.worker.roles)
    at_once = service.settings.worker.crawls_at_once
    crawl_one = partial(crawl, due_by=service.clock())
    rounds = 0
    with ThreadPoolExecutor(at_once) as pool:

        def crawl_some(service: jobs.Service) -> bool:
            return any([*pool.map(crawl_one, [service] * at_once)])

        turns: Mapping[Job, Job] = {
            crawl: crawl_some,
            ingest: ingest,
            reread: rereading.reread,
            watch: watch,
            deliver: partial(deliver, hurry=True),
        }
        if check_model in mine:
            check_model(service)
        while sum([turn(service) for job, turn in turns.items() if job in mine]):
            rounds += 1
    for job in (relink, housekeep, sweep):
        if job in mine:
            job(service)
    return rounds


def patiently(open_service: Callable[[], jobs.Service]) -> jobs.Service:
    """After a power cut a worker may be up before its database is: then it waits.

    What waiting cannot mend (wrong settings, a wrong password) is raised at once.
    """
    while True:
        try:
            return open_service()
        except StoreUnavailable as error:
            log.warning("store unavailable; the worker waits for it", error=str(error))
            time.sleep(STORE_AWAITED_S)


def run(service: jobs.Service) -> None:
    """Work until SIGTERM or SIGINT; then finish what is in hand and return."""
    # A turn that is skipped because the last one still runs is how crawls_at_once works, not news.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop.set())
    if released := jobs.release_dead(service):
        log.info("released claims of a dead worker", n_sources=released)
    settings = service.settings.worker
    mine = jobs_of(settings.roles)
    scheduler = BackgroundScheduler(
        timezone="UTC",
        executors={"default": JobThreads(settings.crawls_at_once + len(mine))},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for job in mine:
        scheduler.add_job(
            keep_at_it,
            "interval",
            args=(job, service),
            id=job.__name__,
            seconds=EVERY_S.get(job, settings.tick_s),
            next_run_time=now(),
            max_instances=settings.crawls_at_once if job is crawl else 1,
        )
    server = serve_health(service, settings.port)
    if check_model in mine:
        timed(check_model, service)  # before all else: the log says first which model reads
    scheduler.start()
    log.info("worker started", name=service.name, roles=settings.roles, port=settings.port)
    service.stop.wait()
    log.info("worker stops: finishing what is in hand")
    scheduler.shutdown(wait=True)
    server.shutdown()
    try:
        jobs.tell_absence(service)
    except StoreError as error:
        log.warning("the others learn by silence that this worker ended", error=str(error))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Probes every few seconds would bury the log."""


def serve_health(service: jobs.Service, port: int) -> WSGIServer:
    """/health (200 or 503 with a reason, JSON) and /metrics (Prometheus), in a thread.

    Raises SettingsError where the port is taken.
    """
    metrics, host = make_wsgi_app(), service.settings.worker.host

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        facts: dict[str, Any]
        try:
            reader = service.store.get(ReaderState, service.machine)
        except StoreError as error:
            status, facts = "503 Service Unavailable", {"status": "store", "error": str(error)}
        else:
            # A fallback is no reason for 503: the service does its work.
            model = reader.model_dump(include={"model_version", "fallback_reason"}) if reader else {}
            status, facts = (
                "200 OK",
                {"status": "ok", "name": service.name, "roles": service.settings.worker.roles, **model},
            )
        start_response(status, [("Content-Type", "application/json; charset=utf-8")])
        return [json.dumps(facts, ensure_ascii=False).encode()]

    try:
        server = make_server(host, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise SettingsError(
            f"[worker] 端口 {host}:{port} 用不了 ({error.strerror}); "
            "可用 WENSHENG_WORKER__PORT 换一个 (0 为任意空闲端口), 或先停掉占用它的程序。"
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
