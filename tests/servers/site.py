"""A real HTTP server on loopback that misbehaves in every way that a crawler meets."""

from __future__ import annotations

import gzip
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROBOTS = "User-agent: *\nDisallow: /no/\n"
GIGABYTE = 1024**3
PAGES = Path(__file__).parents[1] / "pages"


@dataclass(frozen=True)
class Seen:
    """One request that reached the server; at_s counts from an arbitrary moment."""

    at_s: float
    path: str
    headers: dict[str, str]


def rss(*items: str, encoding: str = "utf-8") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0"><channel><title>测试</title>'
    return (head + "".join(items) + "</channel></rss>").encode(encoding)


def rss_item(number: int, text: str, date: str = "Wed, 25 Nov 2026 08:30:00 +0800") -> str:
    return (
        f"<item><title>第{number}条</title><description>{text}</description>"
        f"<link>https://news.example/p/{number}</link><pubDate>{date}</pubDate></item>"
    )


def html(body: str, title: str = "测试站", head: str = "") -> bytes:
    return f"<html><head><title>{title}</title>{head}</head><body>{body}</body></html>".encode()


def article(number: str, text: str = "山岚咖啡今天上了新品，门口排起了长队，味道比想象中好。") -> bytes:
    body = f'<h1>第{number}篇</h1><span class="date">2026-11-25 08:30</span><div class="body">{text}</div>'
    return html(body, title=f"第{number}篇")


GOOD_FEED = rss(rss_item(1, "山岚咖啡的拿铁真香"), rss_item(2, "排队二十分钟，有点久"))


UNDATED_FEED = rss("<item><title>没有日期</title><link>https://news.example/u/1</link></item>")


class Site:
    """`with Site() as site:` serves until the block ends; site.seen holds every request."""

    def __init__(self, robots: str = ROBOTS, robots_status: int = 200) -> None:
        self.robots = robots
        self.robots_status = robots_status
        self.seen: list[Seen] = []
        self.times: Counter[str] = Counter()
        self.stopping = threading.Event()
        site = self

        class Handler(_Handler):
            pass

        Handler.site = site
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def paths(self) -> list[str]:
        return [one.path for one in self.seen]

    def __enter__(self) -> Site:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        self.site.seen.append(Seen(time.monotonic(), self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.site.times[split.path] += 1
        name = re.sub(r"[^a-z0-9]+", "_", split.path.strip("/"))
        page: Callable[[], None] | None = getattr(self, f"page_{name}", None)
        try:
            if page is not None:
                page()
            elif name.startswith("status_"):
                self.send(b"no", status=int(name.removeprefix("status_").split("_")[0]))
            elif name.startswith("article_"):
                self.send(article(name.removeprefix("article_")))
            else:
                self.send("没有这一页".encode(), status=404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send(self, body: bytes, *, status: int = 200, kind: str = "text/html", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, to: str) -> None:
        self.send(b"", status=302, Location=to)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)

    # good pages

    def page_robots_txt(self) -> None:
        self.send(self.site.robots.encode(), status=self.site.robots_status, kind="text/plain")

    def page_feed(self) -> None:
        self.send(GOOD_FEED, kind="application/rss+xml")

    page_with_secret = page_without_secret = page_feed

    def page_empty_feed(self) -> None:
        self.send(rss(), kind="application/rss+xml")

    def page_etag(self) -> None:
        if self.headers.get("If-None-Match") == '"v1"':
            self.send_response(304)
            self.end_headers()
            return
        self.send(GOOD_FEED, kind="application/rss+xml", ETag='"v1"', Last_Modified="Wed, 25 Nov 2026 00:00:00 GMT")

    def page_undated(self) -> None:
        self.send(UNDATED_FEED, kind="text/xml", ETag='"v1"')

    def page_teasers(self) -> None:
        items = [rss_item(1, "短讯"), rss_item(2, "短讯")]
        links = [f"{self.site.url}/story", f"{self.site.url}/status/404/gone"]
        for number, link in enumerate(links, start=1):
            items[number - 1] = items[number - 1].replace(f"https://news.example/p/{number}", link)
        self.send(rss(*items), kind="text/xml")

    def page_story(self) -> None:
        text = (PAGES / "page" / "article-declared-gbk" / "page.html").read_bytes()
        self.send(text)

    def page_list(self) -> None:
        self.send(html('<a class="t" href="/article/1">一</a><a class="t" href="/article/2">二</a>'))

    def page_list_with_a_dead_link(self) -> None:
        self.send(html('<a class="t" href="/article/1">一</a><a class="t" href="/status/404/x">二</a>'))

    def page_calendar(self) -> None:
        number = int(self.query.get("n", ["0"])[0])
        body = f'<a class="t" href="/article/{number}">篇</a><a class="next" href="/calendar?n={number + 1}">下一页</a>'
        self.send(html(body))

    def page_wrong_charset(self) -> None:
        self.send(rss(rss_item(1, "山岚咖啡的拿铁真香"), encoding="gb18030"), kind="text/xml; charset=iso-8859-1")

    # refusals

    def page_busy_once(self) -> None:
        if self.site.times["/busy-once"] == 1:
            self.send(b"slow down", status=429, Retry_After="1")
        else:
            self.page_feed()

    def page_busy_for_an_hour(self) -> None:
        self.send(b"slow down", status=429, Retry_After="3600")

    def page_members(self) -> None:
        self.redirect("/passport/login?from=/members")

    def page_passport_login(self) -> None:
        self.send(html("<form>手机号<input><button>登录</button></form>", title="用户登录"))

    def page_captcha(self) -> None:
        self.send(html("<div>访问过于频繁，请完成验证码后继续</div>", title="安全验证"))

    def page_no_feed(self) -> None:
        self.page_feed()

    def page_api_login(self) -> None:
        self.send(b'{"code": 100005, "msg": "please sign in", "data": null}', kind="application/json")

    # damage

    def page_garbage(self) -> None:
        self.send(random.Random(7).randbytes(20_000), kind="application/xml")

    def page_bad_dates(self) -> None:
        future, past = "Thu, 01 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"
        items = [rss_item(1, "好喝"), rss_item(2, "来自未来", future), rss_item(3, "来自过去", past)]
        self.send(rss(*items), kind="application/rss+xml")

    def page_changed_list(self) -> None:
        self.send(html("<main><p>我们改版啦</p></main>"))

    def page_changed_api(self) -> None:
        self.send(b'{"result": {"rows": []}}', kind="application/json")

    def page_huge(self) -> None:
        self.stream(b"x" * 65536, until=GIGABYTE)

    def page_huge_declared(self) -> None:
        self.stream(b"x" * 65536, until=GIGABYTE, length=GIGABYTE)

    def page_endless(self) -> None:
        self.stream("<p>没完没了</p>".encode() * 100, until=None)

    def page_drip(self) -> None:
        self.stream(b"<", until=None, pause_s=0.2)

    def stream(self, block: bytes, *, until: int | None, length: int | None = None, pause_s: float = 0) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if length:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        sent = 0
        while (until is None or sent < until) and not self.site.stopping.is_set():
            self.wfile.write(block)
            sent += len(block)
            if pause_s:
                self.site.stopping.wait(pause_s)
        self.close_connection = True

    def page_bomb(self) -> None:
        self.send(gzip.compress(bytes(32 * 1024 * 1024), 6), kind="application/xml", Content_Encoding="gzip")

    def page_drop(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"<rss>")
        self.close_connection = True

    # redirects

    def page_away(self) -> None:
        self.redirect(self.query["to"][0])

    def page_to_metadata(self) -> None:
        self.redirect("http://169.254.169.254/latest/meta-data/")

    def page_to_private(self) -> None:
        self.redirect("http://10.0.0.1/")

    def page_to_hex_loopback(self) -> None:
        self.redirect(f"http://0x7f000001:{urlsplit(self.site.url).port}/feed")

    def page_to_file(self) -> None:
        self.redirect("file:///etc/passwd")

    def page_loop(self) -> None:
        self.redirect(f"/loop?n={int(self.query.get('n', ['0'])[0]) + 1}")
