"""The sample site: a small public web about the sample brand, served on loopback.

python -m sample.site --port 8601 --started-at 2026-11-26T10:00:00+08:00
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from sample import apis, feeds, forum
from sample.answers import BRAND_APP, COMPETITOR_APP, Answer, View, as_json, page, path_of, post_page, unchanged
from sample.inbox import MAX_BYTES, Inbox
from sample.posts import PLATFORMS
from sample.texts import TextsError
from sample.world import World

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
ROBOTS = "User-agent: *\nAllow: /\n"
Clock = Callable[[], datetime]
_ANY_PAGE = re.compile(
    r"/(?:weiyan/detail/\d+|cn/app/id\d+/review/\d+|pinglun/review/\d+|wenzhang/a/\d+\.html|tousu/view/\d+)"
)
_THREAD = re.compile(r"/shequ/thread-(\d+)-(\d{1,4})\.html")
_LIST = re.compile(r"/shequ/list-(\d{1,4})\.html")
# The four spellings of Apple's address (sortBy, no sortby, parts in another order).
_APP = re.compile(r"/cn/rss/customerreviews/(?=.*\bid=(\d+))(?:page=(\d{1,3})/)?[\w=/]*json", re.IGNORECASE)


class Site(ThreadingHTTPServer):
    """The server, its world and its inbox; shutdown() and server_close() end it."""

    daemon_threads = True

    def __init__(self, port: int, world: World, clock: Clock) -> None:
        super().__init__((HOST, port), _Handler)
        self.world = world
        self.clock = clock
        self.inbox = Inbox()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"


def serve(port: int, clock: Clock, *, world: World | None = None) -> Site:
    """A site bound to the port (0: any free one) that starts its world at the clock's time; call serve_forever()."""
    return Site(port, World(clock()) if world is None else world, clock)


def answer(view: View, path: str, query: Mapping[str, str]) -> Answer | None:
    """The answer to a GET, None if there is no such page."""
    if path == "/robots.txt":
        return Answer(ROBOTS.encode(), "text/plain; charset=utf-8")
    if path in _FIXED:
        return _FIXED[path](view)
    if path in _APIS:
        return _APIS[path](view, query)
    if match := _LIST.fullmatch(path):
        return forum.list_page(view, int(match[1]))
    if match := _THREAD.fullmatch(path):
        return forum.thread_page(view, match[1], int(match[2]))
    if match := _APP.fullmatch(path):
        return apis.app_reviews(view, match[1], int(match[2] or 1))
    if _ANY_PAGE.fullmatch(path):
        post = next((post for post in view.posts if path_of(post) == path), None)
        return post_page(post) if post else None
    return None


def home(view: View) -> Answer:
    rows = "".join(f"<li><a href='{path}'>{name}</a></li>" for path, name in _DOORS.items())
    counts = "，".join(f"{name} {len(view.of(key)):,}" for key, name in PLATFORMS.items())
    return Answer(
        page(
            "示例站点",
            "<h1>示例站点</h1><p>这里的品牌、人物和内容都是虚构的，供闻声的采集器练习采集。</p>"
            f"<p>现有内容：{counts}</p><ul>{rows}</ul>",
        ).encode()
    )


def _forum_front(view: View) -> Answer | None:
    return forum.list_page(view, 1)


class _Handler(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"
    # Head and body leave in one packet: without this, a delayed acknowledgement costs 40 ms a request.
    wbufsize = 64 * 1024
    timeout = 30

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/inbox":
            return self._send(self.server.inbox.as_page())
        if parts.path == "/inbox.json":
            return self._send(as_json(self.server.inbox.messages()))
        now = self.server.clock()
        host = self.headers.get("Host") or urlsplit(self.server.url).netloc
        view = View(self.server.world.posts_until(now), now, f"http://{host}")
        found = answer(view, parts.path, dict(parse_qsl(parts.query)))
        return self._send(found or Answer(page("没有这个页面", "<h1>没有这个页面</h1>").encode(), status=404))

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != "/inbox" or not length.isdigit() or int(length) > MAX_BYTES:
            self.close_connection = True  # the body was not read
            return self._send(
                as_json({"ok": False, "msg": "只收发往 /inbox 的消息，带 Content-Length，不超过 1 MB"}, status=400)
            )
        body = self.rfile.read(int(length))
        return self._send(self.server.inbox.receive(body, self.headers.get("Content-Type", ""), self.server.clock()))

    def _send(self, answer: Answer) -> None:
        asked = {"if_none_match": self.headers["If-None-Match"], "if_modified_since": self.headers["If-Modified-Since"]}
        same = self.command in ("GET", "HEAD") and unchanged(answer, **asked)
        self.send_response(304 if same else answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not same:
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not same and self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        log.debug(format, *args)


_FIXED: dict[str, Callable[[View], Answer | None]] = {
    "/": home,
    "/shequ/": _forum_front,
    "/wenzhang/news.rss": feeds.rss,
    "/wenzhang/blog.atom": feeds.atom,
    "/wenzhang/feed.json": feeds.json_feed,
}
_APIS: dict[str, Callable[[View, Mapping[str, str]], Answer]] = {
    "/weiyan/api/search": apis.microblog_search,
    "/weiyan/api/hot": apis.microblog_hot,
    "/pinglun/api/reviews": apis.shop_reviews,
    "/tousu/api/complaints": apis.complaints,
}
_DOORS = {
    "/shequ/": "咖啡社区论坛（GB18030 网页）",
    "/wenzhang/news.rss": "湖滨消费资讯（RSS）",
    "/wenzhang/blog.atom": "咖啡行业手记（Atom）",
    "/wenzhang/feed.json": "街头食事专栏（JSON Feed）",
    "/weiyan/api/search?q=山岚": "微言搜索（JSON）",
    "/weiyan/api/hot": "微言热门（JSON）",
    "/pinglun/api/reviews": "本地生活点评（JSON）",
    "/tousu/api/complaints": "投诉台（JSON）",
    f"/cn/rss/customerreviews/page=1/id={BRAND_APP}/sortby=mostrecent/json": "App Store 评论：山岚咖啡",
    f"/cn/rss/customerreviews/page=1/id={COMPETITOR_APP}/sortby=mostrecent/json": "App Store 评论：青屿咖啡",
    "/inbox": "收到的消息",
}


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("needs an offset such as +08:00")
    return at


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sample.site", description="Serve the sample site on loopback.")
    parser.add_argument("--port", type=int, default=8601, help="0 takes any free port")
    parser.add_argument("--started-at", type=_instant, default=None, help="ISO time with offset; default: now")
    options = parser.parse_args(arguments)
    started_at = options.started_at or _now()
    try:
        site = serve(options.port, _now, world=World(started_at))
    except (OSError, OverflowError, TextsError) as e:
        sys.stderr.write(f"示例站点无法启动（端口 {options.port}）：{e}\n")
        return 1
    sys.stdout.write(f"示例站点：{site.url}\n")
    sys.stdout.flush()
    try:
        site.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        site.server_close()
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
