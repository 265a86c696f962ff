"""The parent's side of a crawl: start the child, wait no longer than allowed, judge its stats, return the Run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crawlers import options
from crawlers.inbox import read_inbox
from crawlers.job import Job
from crawlers.outcome import CrawlStats, judge
from crawlers.spool import salvage
from index.models import Outcome, Run, Source
from settings import ROOT, CrawlSettings

GRACE_S = 20.0
"""How long a child may take to start and to wind up, beyond crawl.run_timeout_s."""
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SYSTEMROOT",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


def launch(
    source: Source,
    *,
    run_id: str,
    crawl: CrawlSettings,
    spool_dir: Path,
    clock: Callable[[], datetime],
    inbox_dir: Path | None = None,
) -> tuple[Run, dict[str, Any]]:
    """Crawl one source once. Returns the Run (version 0) and the state to keep in Source.state.

    Blocks until the run has ended; never raises for anything that the source or its site does. Sources of kind
    file need inbox_dir and are read in this process. Raises OSError where the spool folder cannot be written.
    """
    spool_dir = spool_dir.resolve()
    job = Job(run_id=run_id, source=source, crawl=crawl, spool_dir=spool_dir, now=clock())
    wrong = options.problem(source)
    if wrong:
        return conclude(job, CrawlStats(problem=wrong), finished_at=clock())
    if source.kind == "file":
        stats = read_inbox(source, inbox_dir, spool_dir, run_id, job.now)
        return conclude(job, stats, finished_at=clock())
    killed, log = run_child([job], limit_s=crawl.run_timeout_s + GRACE_S)
    return conclude(job, read_stats(job), finished_at=clock(), killed=killed, log=log)


def conclude(
    job: Job, stats: CrawlStats | None, *, finished_at: datetime, killed: bool = False, log: str = ""
) -> tuple[Run, dict[str, Any]]:
    """The Run and the state to keep, from what the child left."""
    source = job.source
    outcome, message = judge(stats, killed=killed, run_timeout_s=job.crawl.run_timeout_s, log=log)
    stats = stats or CrawlStats()
    run = Run(
        id=job.run_id,
        source=source.id,
        started_at=job.now,
        finished_at=finished_at,
        outcome=outcome,
        message=message,
        n_requests=stats.n_requests,
        n_bytes=stats.n_bytes,
        n_items=stats.n_items,
        n_bad=stats.n_bad,
        bad_lines=stats.bad_reasons,
        stats=stats.model_dump(
            mode="json", include={"finish_reason", "ends", "examples", "retry_after_s", "n_pages_left"}
        ),
    )
    # A page that says "not modified" next time must be one whose mentions were all had this time.
    learnt = stats.complete and outcome in (Outcome.OK, Outcome.EMPTY, Outcome.PARTIAL)
    return run, (stats.state if learnt else dict(source.state))


def read_stats(job: Job) -> CrawlStats | None:
    """What the child left; of one that was cut short, the whole lines that it had spooled."""
    try:
        stats = CrawlStats.model_validate_json(job.stats_path.read_bytes())
    except (FileNotFoundError, ValidationError):
        n_items, n_bad = salvage(job.spool_dir, job.run_id)
        return CrawlStats(finish_reason="进程被终止", n_items=n_items, n_bad=n_bad) if n_items or n_bad else None
    job.stats_path.unlink(missing_ok=True)
    return stats


def run_child(jobs: list[Job], *, limit_s: float) -> tuple[bool, str]:
    """Run the jobs in one child process. Whether it had to be killed, and the end of what it logged."""
    for job in jobs:
        job.spool_dir.mkdir(parents=True, exist_ok=True)
    orders = "".join(f"{job.model_dump_json()}\n" for job in jobs)
    child = subprocess.Popen(
        [sys.executable, "-m", "crawlers.run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=_environment(jobs),
        start_new_session=True,
    )
    try:
        _, log = child.communicate(orders.encode(), timeout=limit_s)
        killed = False
    except subprocess.TimeoutExpired:
        _kill_group(child)
        _, log = child.communicate()
        killed = True
    except BaseException:  # the worker is told to stop: leave no child behind
        _kill_group(child)
        child.wait()
        raise
    return killed, log.decode("utf-8", "replace")[-2000:]


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _environment(jobs: list[Job]) -> dict[str, str]:
    """Only what the child needs: it reads strangers' pages and must not hold the service's other secrets."""
    names = set(_PASSED_ON)
    for job in jobs:
        named = job.source.options.get("headers_env")
        if isinstance(named, dict):
            names.update(map(str, named.values()))
    return {name: value for name, value in os.environ.items() if name in names} | {"PYTHONUNBUFFERED": "1"}
