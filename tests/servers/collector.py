"""A real HTTP server that collects what is posted to it, and can refuse, delay, redirect or answer as a vendor."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What the collector says next. hold is waited for before it answers (at most 30 s)."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    drop: bool = False
    """Close the connection without a word."""


class Collector:
    """received is in order of arrival; answers are used one by one, then `usual`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.usual = Answer()
        self.answers: list[Answer] = []
        self._changed = threading.Condition()

    def answer(self, status: int = 200, body: bytes | dict[str, Any] = b"{}", **more: Any) -> None:
        """Say this to the next request that has no answer yet."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(Answer(status=status, body=raw, **more))

    def take(self, request: Received) -> Answer:
        with self._changed:
            self.received.append(request)
            self._changed.notify_all()
            return self.answers.pop(0) if self.answers else self.usual

    def wait_for(self, n: int, timeout_s: float = 20) -> list[Received]:
        """Until n requests have come; raises AssertionError with what came."""
        with self._changed:
            if not self._changed.wait_for(self._has(n), timeout_s):
                raise AssertionError(f"{len(self.received)} of {n} requests after {timeout_s} s: {self.received}")
            return list(self.received)

    def _has(self, n: int) -> Callable[[], bool]:
        def enough() -> bool:
            return len(self.received) >= n

        return enough


@contextmanager
def serve() -> Iterator[Collector]:
    """A collector on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    server.collector = collector  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Received(path=self.path, headers=dict(self.headers), body=self.rfile.read(length))
        answer = self.server.collector.take(request)  # type: ignore[attr-defined]
        if answer.hold is not None:
            answer.hold.wait(30)
        if answer.drop:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        try:
            self.end_headers()
            self.wfile.write(answer.body)
        except ConnectionError:
            self.close_connection = True  # the sender gave up, as some tests want

    def do_GET(self) -> None:
        """A redirect that was followed would arrive here, and be seen."""
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Quiet: what came is in `received`."""
