"""Stands between a store and the real Elasticsearch and spoils single answers on the wire."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Spoiler = Callable[[str, str, "Answer"], "Answer | None"]
"""(method, path, the real answer) -> what is sent instead; None cuts the line without an answer."""


class Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body

    @classmethod
    def error(cls, status: int, kind: str, reason: str) -> Answer:
        error = {"error": {"type": kind, "reason": reason}, "status": status}
        return cls(status, json.dumps(error).encode())

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def with_json(self, body: Any) -> Answer:
        return Answer(self.status, json.dumps(body).encode())


class Proxy:
    """spoil(method, path, answer) may be set at any time; before it the real server has done its work."""

    def __init__(self, url: str) -> None:
        self.spoil: Spoiler = whole
        self.requests: list[str] = []
        self.coming: Callable[[str, str], object] = _nothing
        """Is told (method, path) before a request goes on to the server."""
        target = urlsplit(url)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def _pass_on(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length) if length else None
                proxy.coming(self.command, self.path)
                line = HTTPConnection(str(target.hostname), target.port, timeout=60)
                line.request(self.command, self.path, body, dict(self.headers))
                said = line.getresponse()
                content = said.read()
                if said.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                line.close()
                proxy.requests.append(f"{self.command} {self.path.partition('?')[0]}")
                answer = proxy.spoil(self.command, self.path, Answer(said.status, content))
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Type", said.headers.get("Content-Type") or "application/json")
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _nothing(method: str, path: str) -> None:
    pass


def once(wanted: str, instead: Callable[[Answer], Answer | None]) -> Spoiler:
    """Spoils the first answer to a request whose `METHOD path` contains the given text."""
    done: list[str] = []

    def spoil(method: str, path: str, answer: Answer) -> Answer | None:
        if done or wanted not in f"{method} {path}":
            return answer
        done.append(path)
        return instead(answer)

    return spoil


def cut(method: str, path: str, answer: Answer) -> None:
    return None


def whole(method: str, path: str, answer: Answer) -> Answer:
    return answer
