"""`manage.py up`: worker, dashboard and, for the sample brand, its site; started, watched and ended together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import structlog

from settings import ROOT, Settings, SettingsError

if TYPE_CHECKING:
    from index.store import Store

log = structlog.get_logger()

RESTARTS = 5
"""A child that ends more often than this within a minute will not be mended by another start."""
PATIENCE_S = 90


@dataclass
class Child:
    """One process of the service, started again when it ends by itself."""

    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    ended_at: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS))

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, *self.arguments], cwd=ROOT)

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def ends_too_often(self, instant: float) -> bool:
        self.ended_at.append(instant)
        return len(self.ended_at) == RESTARTS and instant - self.ended_at[0] < 60

    def stop(self, patience_s: float = 20) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(settings: Settings, store: Store, now: datetime) -> int:
    """Start everything, print the address, and watch until SIGTERM, SIGINT or a child that keeps ending.

    Returns the exit status. Raises SettingsError where a port is taken.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _ports_are_free(settings)
    children = [Child("worker", ["manage.py", "work"]), Child("dashboard", ["-m", "dashboard.server"])]
    if settings.sample.enabled:
        children.insert(0, _sample(settings, store, now))
    store.close()
    try:
        for child in children:
            child.start()
        address = f"http://{settings.service.host}:{settings.service.port}"
        if _answers(f"{address}/healthz", stop):
            sys.stdout.write(f"\n  闻声已启动: {address}\n\n")
            sys.stdout.flush()
        return _watch(children, stop)
    finally:
        for child in reversed(children):
            child.stop()


def _sample(settings: Settings, store: Store, now: datetime) -> Child:
    """The sample brand's customers, and its site; the site's time line starts when it was first started."""
    from index.customers import import_customers
    from sample.customers import write_customers

    kept = settings.data_dir / "sample-started-at"
    if not kept.exists():
        kept.write_text(now.isoformat())
    started_at = datetime.fromisoformat(kept.read_text())
    table = settings.data_dir / "sample-customers.csv"
    write_customers(table, started_at)
    import_customers(store, table, now=now)
    return Child("sample", ["-m", "sample.site", "--port", str(settings.sample.port), "--started-at", kept.read_text()])


def _ports_are_free(settings: Settings) -> None:
    wanted = [
        ("service", settings.service.host, settings.service.port),
        ("worker", settings.worker.host, settings.worker.port),
    ]
    if settings.sample.enabled:
        wanted.append(("sample", "127.0.0.1", settings.sample.port))
    for section, host, port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise SettingsError(
                    f"[{section}] 端口 {host}:{port} 用不了 ({error.strerror}); "
                    f"可用 WENSHENG_{section.upper()}__PORT 换一个, 或先停掉占用它的程序。"
                ) from error


def _answers(url: str, stop: threading.Event) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not stop.is_set() and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=2):  # noqa: S310 - our own address
                return True
        except (URLError, OSError):
            stop.wait(0.3)
    return False


def _watch(children: Sequence[Child], stop: threading.Event) -> int:
    while not stop.wait(1):
        for child in children:
            if not child.has_ended():
                continue
            status = child.process.returncode if child.process else None
            if child.ends_too_often(time.monotonic()):
                log.error("a process keeps ending; giving up", name=child.name, status=status)
                return 1
            log.warning("a process ended and is started again", name=child.name, status=status)
            stop.wait(1)
            child.start()
    return 0
