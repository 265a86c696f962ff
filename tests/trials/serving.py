"""A site that answers JSON to crawlers and takes the messages of a webhook, and knows when and from where each came."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Message:
    """One message as it arrived; at is the time of day in seconds."""

    id: str
    body: Any
    sender: str
    at: float


@contextmanager
def serve(
    answer: Callable[[str, str], object], told: Callable[[Message], None], *, host: str = "127.0.0.1"
) -> Iterator[int]:
    """Gives the port. answer: (path, address of the asker) -> what is sent as JSON."""

    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True  # the asker was killed

        def do_GET(self) -> None:
            if self.path.startswith("/robots.txt"):
                self.send_error(404)
                return
            self._send(json.dumps(answer(self.path, self.client_address[0]), ensure_ascii=False).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told(Message(self.headers["X-Wensheng-Id"], json.loads(body), self.client_address[0], time.time()))
            self._send(b"{}")

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
