"""When it is done: the scheduler, signals, and the health and metrics port of a worker process."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor as JobThreads
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app

import jobs
from index.models import Source
from index.store import StoreError, StoreUnavailable
from settings import SettingsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = structlog.get_logger()

SECONDS = Histogram("wensheng_job_seconds", "Time a job took", ["job", "status"])
LAST_SUCCESS = Gauge("wensheng_job_last_success_timestamp", "When a job last ended well", ["job"])
MENTIONS = Counter("wensheng_mentions_total", "Mentions ingested", ["what"])
RUNS = Counter("wensheng_runs_total", "Crawls by outcome", ["source", "outcome"])
DELIVERED = Counter("wensheng_notifications_total", "Notifications handled", ["result"])


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


def housekeep(service: jobs.Service) -> bool:
    return jobs.housekeep(service)


ROUND: tuple[Callable[[jobs.Service], bool], ...] = (crawl, ingest, watch, deliver)
"""Each does what is due now and says whether there was anything."""


def timed(job: Callable[[jobs.Service], bool], service: jobs.Service) -> bool:
    """Run one job, measured. A job that fails is logged and tried again at its next turn; others go on."""
    name = job.__name__
    started_at = service.clock()
    status = "error"
    try:
        did = job(service)
        status = "success"
        LAST_SUCCESS.labels(name).set(service.clock().timestamp())
    except StoreUnavailable as error:
        log.warning("store unavailable", job=name, error=str(error))
        return False
    except Exception:
        log.exception("job failed", job=name)
        return False
    finally:
        SECONDS.labels(name, status).observe((service.clock() - started_at).total_seconds())
    return did


def keep_at_it(job: Callable[[jobs.Service], bool], service: jobs.Service) -> None:
    """Run a job until nothing is due, or the worker stops."""
    while not service.stop.is_set() and timed(job, service):
        pass


def work_until_idle(service: jobs.Service) -> int:
    """Do all that is due, in turn, until a whole round finds nothing to do. Returns the rounds with work.

    A source is due at most once, by the time of the start, so that short periods do not keep it going for ever.
    """
    jobs.release_dead(service)
    rounds, at_once = 0, service.settings.worker.crawls_at_once
    crawl_one = partial(crawl, due_by=service.clock())
    with ThreadPoolExecutor(at_once) as pool:
        while sum(
            [*pool.map(crawl_one, [service] * at_once), ingest(service), watch(service), deliver(service, hurry=True)]
        ):
            rounds += 1
    jobs.relink_after_import(service)
    jobs.housekeep(service)
    return rounds


def run(service: jobs.Service) -> None:
    """Work until SIGTERM or SIGINT; then finish what is in hand and return."""
    # A turn that is skipped because the last one still runs is how crawls_at_once works, not news.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop.set())
    if released := jobs.release_dead(service):
        log.info("released claims of a dead worker", n_sources=released)
    settings = service.settings.worker
    scheduler = BackgroundScheduler(
        timezone="UTC",
        executors={"default": JobThreads(settings.crawls_at_once + len(ROUND) + 2)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for job in (*ROUND, relink, housekeep):
        scheduler.add_job(
            keep_at_it,
            "interval",
            args=(job, service),
            id=job.__name__,
            seconds=3600 if job is housekeep else settings.tick_s,
            next_run_time=now(),
            max_instances=settings.crawls_at_once if job is crawl else 1,
        )
    server = serve_health(service, settings.port)
    scheduler.start()
    log.info("worker started", name=service.name, port=settings.port)
    service.stop.wait()
    log.info("worker stops: finishing what is in hand")
    scheduler.shutdown(wait=True)
    server.shutdown()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Probes every few seconds would bury the log."""


def serve_health(service: jobs.Service, port: int) -> WSGIServer:
    """/health (200 or 503 with a reason, JSON) and /metrics (Prometheus) on loopback, in a thread.

    Raises SettingsError where the port is taken.
    """
    metrics = make_wsgi_app()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        try:
            service.store.tally(Source)
        except StoreError as error:
            status, facts = "503 Service Unavailable", {"status": "store", "error": str(error)}
        else:
            status, facts = "200 OK", {"status": "ok", "name": service.name}
        start_response(status, [("Content-Type", "application/json; charset=utf-8")])
        return [json.dumps(facts, ensure_ascii=False).encode()]

    try:
        server = make_server("127.0.0.1", port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise SettingsError(
            f"[worker] 端口 127.0.0.1:{port} 用不了 ({error.strerror}); "
            "可用 WENSHENG_WORKER__PORT 换一个 (0 为任意空闲端口), 或先停掉占用它的程序。"
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
