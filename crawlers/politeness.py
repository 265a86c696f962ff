"""How a crawl behaves: no private addresses, Crawl-delay, Retry-After, secrets for their own host only."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.exceptions import IgnoreRequest
from scrapy.resolver import CachingThreadedResolver
from scrapy.utils.misc import load_object
from twisted.internet.error import DNSLookupError

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.robotstxt import RobotParser
    from twisted.internet.defer import Deferred

LONGEST_WAIT_S = 60.0
"""A Retry-After above this ends the run as blocked instead of waiting."""
ROBOTS_FAILED = "robots_failed"
"""In the stats: the HTTP status of a robots.txt that could not be had."""
_CARRIER_NAT = ipaddress.ip_network("100.64.0.0/10")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(IgnoreRequest):
    """The address is not one that a public source may lead to."""


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet; IPv4 inside IPv6 (mapped, 6to4, NAT64) is looked at too."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and ip not in _CARRIER_NAT


def literal_address(host: str) -> str | None:
    """The IP address that a host is by itself, in any spelling that connect() takes: 127.1, 0x7f000001, 2130706433."""
    try:
        return str(ipaddress.ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        pass
    parts = host.rstrip(".").split(".")
    if not 1 <= len(parts) <= 4 or not all(re.fullmatch(r"0[xX][0-9a-fA-F]*|\d+", part) for part in parts):
        return None
    try:
        numbers = [int(p[2:] or "0", 16) if p[:2].lower() == "0x" else int(p, 8 if p[0] == "0" else 10) for p in parts]
        value = numbers[-1]
        for place, number in enumerate(numbers[:-1]):
            value += number << (24 - 8 * place)
        return str(ipaddress.IPv4Address(value))
    except (ValueError, ipaddress.AddressValueError):
        return None


def refusal(url: str, *, private_host: str = "") -> str | None:
    """Why a URL may not be requested, in Chinese; None if it may. Names are looked at again when they are resolved.

    private_host is the one host that may have a private address: that of a source with allow_private.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return f"网址不合规范：{url}"
    if parts.scheme not in ("http", "https") or not host:
        return f"只访问 http 和 https 网址，不访问 {url}"
    address = literal_address(host)
    if address is not None:
        return address_refusal(address, host, private_host=private_host)
    if host != private_host and (host == "localhost" or host.endswith((".localhost", ".local", ".internal"))):
        return f"不访问内网主机名 {host}"
    return None


def address_refusal(address: str, host: str, *, private_host: str = "") -> str | None:
    """Why an address that host stands for may not be connected to. Link-local ones (cloud metadata) never may."""
    if is_public(address) or (host == private_host and not ipaddress.ip_address(address).is_link_local):
        return None
    return f"不访问内网或保留地址 {address}" + (f"（{host} 指向它）" if host != address else "")


class AddressGuard:
    """Downloader middleware: every request, redirected ones included, and the address that really answered."""

    def __init__(self, private_host: str) -> None:
        self.private_host = private_host

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler.settings["PRIVATE_HOST"])

    def process_request(self, request: Request) -> None:
        reason = refusal(request.url, private_host=self.private_host) or _known_refusal(request)
        if reason:
            raise AddressRefused(reason)

    def process_exception(self, request: Request, exception: Exception) -> None:
        reason = _known_refusal(request)
        if reason:
            raise AddressRefused(reason) from exception

    def process_response(self, request: Request, response: Response) -> Response:
        if response.ip_address is not None:
            host = urlsplit(request.url).hostname or ""
            reason = address_refusal(str(response.ip_address), host, private_host=self.private_host)
            if reason:
                raise AddressRefused(reason)
        return response


def _known_refusal(request: Request) -> str | None:
    return GuardedResolver.refused.get(urlsplit(request.url).hostname or "")


class GuardedResolver(CachingThreadedResolver):
    """Refuses names that resolve to private addresses: the address checked is the one that is connected to."""

    private_host = ""
    refused: ClassVar[dict[str, str]] = {}
    """Why, by name: Twisted drops the text of the error on its way up."""

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: Any) -> Self:
        resolver = super().from_crawler(crawler, reactor)
        resolver.private_host = crawler.settings["PRIVATE_HOST"]
        return resolver

    def getHostByName(self, name: str, timeout: Any = ()) -> Deferred[str]:  # noqa: N802 - Twisted's name
        found: Deferred[str] = super().getHostByName(name, timeout)
        found.addCallback(self.checked, name)
        return found

    def checked(self, address: str, name: str) -> str:
        """The address, if it may be connected to. Raises DNSLookupError."""
        reason = address_refusal(address, name, private_host=self.private_host)
        if reason:
            self.refused[name] = reason
            raise DNSLookupError(reason)
        return address


class RobotsByStatus:
    """Downloader middleware: RFC 9309 for robots.txt that is not there (all is allowed) or fails (nothing is).

    Scrapy would read the rules out of whatever error page is served.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        if not request.meta.get("dont_obey_robotstxt") or response.status < 400:
            return response
        if response.status < 500 and response.status != 429:
            return response.replace(body=b"")
        self.crawler.stats.set_value(ROBOTS_FAILED, response.status)
        return response.replace(body=b"User-agent: *\nDisallow: /\n")


class OwnHostSecrets:
    """Downloader middleware: the headers of headers_env go to the source's own origin and nowhere else."""

    def __init__(self, origin: tuple[str, str], headers: dict[str, str]) -> None:
        self.origin = origin
        self.headers = headers

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        names = crawler.settings.getdict("SECRET_HEADERS")
        headers = {header: os.environ.get(variable, "") for header, variable in names.items()}
        return cls(_origin(crawler.settings["SOURCE_URL"]), headers)

    def process_request(self, request: Request) -> None:
        own = _origin(request.url) == self.origin
        for name, value in self.headers.items():
            if own:
                request.headers[name] = value
            else:
                request.headers.pop(name, None)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


class PatientRetry:
    """Downloader middleware: tries again after the time that Retry-After asks for, else after ever longer ones.

    Takes the place of Scrapy's own, which tries again at once. A wait above LONGEST_WAIT_S is not waited for.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.codes = {int(code) for code in crawler.settings.getlist("RETRY_HTTP_CODES")}
        self.errors = tuple(load_object(path) for path in crawler.settings.getlist("RETRY_EXCEPTIONS"))
        self.delay_s = crawler.settings.getfloat("DOWNLOAD_DELAY")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        if response.status not in self.codes:
            return response
        asked = retry_after_s(response.headers.get(b"Retry-After"), datetime.now(UTC))
        if asked is not None:
            self.crawler.stats.max_value("retry_after_s", asked)
            if asked > LONGEST_WAIT_S:
                return response
        return await self._again(request, f"status {response.status}", asked) or response

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        return await self._again(request, exception, None) if isinstance(exception, self.errors) else None

    async def _again(self, request: Request, reason: str | Exception, wait_s: float | None) -> Request | None:
        assert self.crawler.spider is not None
        retry = get_retry_request(request, spider=self.crawler.spider, reason=reason)
        if retry is not None:
            n_tries = int(retry.meta["retry_times"])
            await asyncio.sleep(min(self.delay_s * 2**n_tries, LONGEST_WAIT_S) if wait_s is None else wait_s)
        return retry


def retry_after_s(header: bytes | None, now: datetime) -> float | None:
    """Seconds or an HTTP date; None if it is neither."""
    text = (header or b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return None


class CrawlDelay:
    """Extension: Scrapy reads Crawl-delay but does not keep it, so the host's slot is slowed down here."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.user_agent: str = crawler.settings["USER_AGENT"]
        self.delays: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        extension = cls(crawler)
        crawler.signals.connect(extension.robots_parsed, signals.robots_parsed)
        crawler.signals.connect(extension.slow_down, signals.response_downloaded)
        return extension

    def robots_parsed(self, robotparser: RobotParser, request: Request) -> None:
        delay = robotparser.crawl_delay(self.user_agent)
        if delay:
            host = urlsplit(request.url).hostname or ""
            self.delays[host] = delay
            self.crawler.engine.downloader.per_slot_settings[host] = {"delay": delay}
            self._raise(host)

    def slow_down(self, request: Request) -> None:
        """After each answer, because AutoThrottle sets the slot's delay anew."""
        self._raise(urlsplit(request.url).hostname or "")

    def _raise(self, host: str) -> None:
        slot = self.crawler.engine.downloader.slots.get(host)
        if slot is not None and host in self.delays:
            slot.delay = max(slot.delay, self.delays[host])
