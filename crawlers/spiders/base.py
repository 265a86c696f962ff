"""What all spiders share: one page in, mentions to the spool, and a note of how each page ended."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urldefrag

import scrapy
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
)
from scrapy.http import Response
from twisted.python.failure import Failure

from crawlers.fields import digest
from crawlers.job import Job
from crawlers.outcome import CrawlStats, PageEnd
from crawlers.parsers.common import CommonOptions, Parsed, read_options
from crawlers.politeness import ROBOTS_FAILED, AddressRefused
from crawlers.spool import SpoolWriter
from crawlers.texts import decode
from crawlers.walls import by_status, is_captcha, is_login

REMEMBERED_REASONS = 20
REMEMBERED_UNDATED = 2000


class SourceSpider(scrapy.Spider):
    """A spider reads one source. Children say how to read a page (read) and where to go from it (follow)."""

    name = "source"
    options_model: type[CommonOptions] = CommonOptions

    def __init__(self, job: Job, spool: SpoolWriter, **kwargs: Any) -> None:
        super().__init__(name=job.source.id, **kwargs)
        self.job = job
        self.source = job.source
        self.now: datetime = job.now
        self.spool = spool
        self.options: CommonOptions = read_options(self.options_model, job.source)
        self.pages_at_most = min(self.options.max_pages or job.crawl.max_pages, job.crawl.max_pages)
        self.asked: set[str] = set()
        self.left: set[str] = set()
        self.ends: Counter[PageEnd] = Counter()
        self.examples: dict[PageEnd, str] = {}
        self.first_end: PageEnd | None = None
        self.bad_reasons: list[str] = []
        self.state: dict[str, Any] = {}
        self.first_seen: dict[str, str] = {}

    # for children

    def start_url(self) -> str:
        return self.source.url

    def read(self, response: Response) -> Parsed:
        raise NotImplementedError

    def follow(self, response: Response, parsed: Parsed) -> Iterable[scrapy.Request | None]:
        raise NotImplementedError

    def wind_up(self) -> None:
        """Called once the crawl is over, before the spool is closed."""

    # requests

    async def start(self) -> AsyncIterator[scrapy.Request]:
        request = self.request(self.start_url(), first=True)
        if request is not None:
            yield request

    def request(
        self,
        page_url: str,
        /,
        *,
        first: bool = False,
        priority: int = 0,
        body: dict[str, Any] | None = None,
        **note: Any,
    ) -> scrapy.Request | None:
        """A request for one more page; None if it was asked for already or the limit of pages is reached."""
        key = f"{urldefrag(page_url).url} {body or ''}"
        if key in self.asked:
            return None
        if len(self.asked) >= self.pages_at_most:
            self.left.add(key)
            return None
        self.asked.add(key)
        keywords: dict[str, Any] = {
            "headers": dict(self.options.headers) | (self._conditions(page_url) if first else {}),
            "callback": self.on_page,
            "errback": self.on_failure,
            "dont_filter": True,
            "priority": priority,
            "meta": {"first": first, "note": note},
        }
        try:
            if body is not None:
                return scrapy.http.JsonRequest(page_url, data=body, **keywords)
            return scrapy.Request(page_url, **keywords)
        except ValueError as e:  # no scheme, no host
            self.note(PageEnd.ADDRESS, f"网址不能用：{page_url}（{e}）", first=first)
            return None

    def _conditions(self, url: str) -> dict[str, str]:
        """Headers that ask for the page only if it has changed since the last complete run."""
        known = self.source.state if self.source.state.get("of") == self._what(url) else {}
        headers = {"If-None-Match": known.get("etag"), "If-Modified-Since": known.get("last_modified")}
        return {name: value for name, value in headers.items() if value}

    # answers

    def on_page(self, response: Response) -> Iterator[scrapy.Request]:
        first = bool(response.meta.get("first"))
        asked = (response.meta.get("redirect_urls") or [response.url])[0]
        end = by_status(response.status)
        if end is None and is_login(response.url, asked, self.options.login_paths):
            end = PageEnd.LOGIN
        if end is PageEnd.NOT_MODIFIED:
            self.state = dict(self.source.state)
            self.note(end, first=first)
            return
        if end is not None:
            self.note(end, _status_said(response, end), first=first)
            return

        try:
            parsed = self.read(response)
        except Exception:  # noqa: BLE001 - a parser promises not to raise; if one does, the other pages go on and this one says so
            self.logger.error("parser failed on %s\n%s", response.url, traceback.format_exc())
            self.note(
                PageEnd.ERROR, f"解析 {response.url} 时程序出错：{traceback.format_exc(limit=0).strip()}", first=first
            )
            return
        self.keep(parsed)
        self.note(*self._verdict(response, parsed), first=first)
        if first and not parsed.problem:
            self._remember(response)
        yield from (request for request in self.follow(response, parsed) if request is not None)

    def _verdict(self, response: Response, parsed: Parsed) -> tuple[PageEnd, str]:
        if parsed.refused == "login":
            return PageEnd.LOGIN, f"{parsed.problem}，{response.url}"
        if parsed.refused == "blocked":
            return PageEnd.BLOCKED, f"{parsed.problem}，{response.url}"
        if not parsed.mentions and not parsed.links and is_captcha(decode(response.body)):
            return PageEnd.CAPTCHA, f"{response.url} 要求验证码"
        if parsed.problem:
            return PageEnd.UNRECOGNISED, f"{response.url} {parsed.problem}"
        return PageEnd.PARSED, ""

    def on_failure(self, failure: Failure) -> None:
        request = failure.request  # type: ignore[attr-defined]
        end, said = _failure_said(failure.value, request.url)
        robots_status = self.crawler.stats.get_value(ROBOTS_FAILED)
        if end is PageEnd.ROBOTS and robots_status:
            end, said = PageEnd.SERVER, f"{request.url} 的 robots.txt 出错（HTTP {robots_status}），按规矩暂不采集"
        self.note(end, said, first=bool(request.meta.get("first")))

    # notes

    def keep(self, parsed: Parsed) -> None:
        for mention in parsed.mentions:
            self.spool.write(mention)
            if self.options.undated == "collected" and len(self.first_seen) < REMEMBERED_UNDATED:
                self.first_seen[mention.id] = mention.published_at.isoformat()
        for bad in parsed.bad:
            self.spool.write_bad(bad)
            if len(self.bad_reasons) < REMEMBERED_REASONS:
                self.bad_reasons.append(f"{bad.where}：{bad.reason}")
        self.spool.flush()

    def note(self, end: PageEnd, said: str = "", *, first: bool = False) -> None:
        self.ends[end] += 1
        if said:
            self.examples.setdefault(end, said[:300])
        if first:
            self.first_end = end

    def _remember(self, response: Response) -> None:
        etag, modified = response.headers.get(b"ETag"), response.headers.get(b"Last-Modified")
        self.state |= {
            key: value.decode("latin-1")
            for key, value in (("etag", etag), ("last_modified", modified))
            if value and len(value) < 500
        }
        if self.state:
            self.state["of"] = self._what(self.start_url())

    def _what(self, url: str) -> str:
        """What etag and last_modified hold for: with other options the same page must be read again."""
        return digest(f"{url} {json.dumps(self.source.options, sort_keys=True, default=str)}")

    def summary(self, finish_reason: str) -> CrawlStats:
        stats = self.crawler.stats
        return CrawlStats(
            finish_reason=finish_reason,
            n_requests=stats.get_value("downloader/request_count", 0),
            n_bytes=stats.get_value("downloader/response_bytes", 0),
            n_items=self.spool.n_items,
            n_bad=self.spool.n_bad,
            first=self.first_end,
            ends=dict(self.ends),
            examples=self.examples,
            bad_reasons=tuple(self.bad_reasons),
            retry_after_s=stats.get_value("retry_after_s"),
            n_pages_left=len(self.left),
            state=self.state | ({"first_seen": self.first_seen} if self.first_seen else {}),
        )


def charset(response: Response) -> str:
    """What the HTTP header declares, empty if nothing."""
    kind = (response.headers.get(b"Content-Type") or b"").decode("latin-1").lower()
    return kind.partition("charset=")[2].partition(";")[0].strip(" \"'")


def _status_said(response: Response, end: PageEnd) -> str:
    if end is PageEnd.LOGIN:
        return f"{response.url} 要求登录（HTTP {response.status}）"
    if end is PageEnd.BUSY:
        return f"{response.url} 说请求过多（HTTP {response.status}）"
    if end is PageEnd.BLOCKED:
        return f"{response.url} 拒绝了采集（HTTP {response.status}）"
    if end is PageEnd.GONE:
        return f"{response.url} 不存在或不可用（HTTP {response.status}）"
    return f"{response.url} 出错（HTTP {response.status}）"


def _failure_said(error: BaseException | None, url: str) -> tuple[PageEnd, str]:
    text = str(error)
    if isinstance(error, AddressRefused) or "内网或保留地址" in text:
        return PageEnd.ADDRESS, text if "内网" in text or "只访问" in text else f"{url} {text}"
    if isinstance(error, IgnoreRequest):
        if "robots.txt" in text:
            return PageEnd.ROBOTS, f"robots.txt 不允许采集 {url}"
        if "max redirections" in text:
            return PageEnd.REDIRECTS, f"{url} 跳转没有尽头"
        if "DOWNLOAD_MAXSIZE" in text:
            return PageEnd.TOO_BIG, f"{url} 解压后超过大小上限"
        return PageEnd.ERROR, f"{url} 没有读取：{text}"
    if isinstance(error, DownloadCancelledError):
        return PageEnd.TOO_BIG, f"{url} 超过大小上限"
    if isinstance(error, DownloadTimeoutError):
        return PageEnd.SLOW, f"{url} 迟迟没有读完"
    if isinstance(error, CannotResolveHostError):
        return PageEnd.NETWORK, f"{url} 的域名查不到"
    if isinstance(error, DownloadConnectionRefusedError):
        return PageEnd.NETWORK, f"{url} 拒绝连接"
    return PageEnd.NETWORK, f"{url} 连接中断（{type(error).__name__}：{text[:100]}）"
