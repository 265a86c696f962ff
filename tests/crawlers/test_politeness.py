"""Which addresses may be asked, in every spelling; how long to wait."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import DNSLookupError

from crawlers.politeness import CrawlDelay, GuardedResolver, address_refusal, is_public, refusal, retry_after_s
from tests.crawlers.conftest import NOW


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
        "printer.local",
        "metadata.google.internal",
    ],
)
def test_no_spelling_of_a_private_address_is_let_through(host: str) -> None:
    assert refusal(f"http://{host}/") is not None
    assert refusal(f"http://{host}:8080/x?y") is not None


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "[2606:4700:4700::1111]", "1.2.3.4.example", "114.com"])
def test_public_addresses_and_names_are_let_through(host: str) -> None:
    assert refusal(f"https://{host}/a?b=c") is None


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.example/", "gopher://a", "//a.example", "http://", "http://[::1"]
)
def test_only_http_and_https_are_spoken(url: str) -> None:
    assert refusal(url) is not None


def test_leave_for_a_private_host_is_for_that_host_alone_and_never_for_metadata() -> None:
    assert refusal("http://127.0.0.1:8601/feed", private_host="127.0.0.1") is None
    assert refusal("http://10.0.0.1/", private_host="127.0.0.1") is not None
    assert refusal("http://169.254.169.254/", private_host="169.254.169.254") is not None
    assert address_refusal("10.0.0.7", "intra.example", private_host="intra.example") is None


@given(st.ip_addresses(v=4))
def test_every_number_for_an_address_is_judged_like_the_address(address: Any) -> None:
    verdicts = {
        refusal(f"http://{spelling}/") is None for spelling in (str(address), str(int(address)), hex(int(address)))
    }
    assert verdicts == {is_public(str(address))}


@given(st.text(max_size=60))
def test_no_url_makes_the_guard_raise(text: str) -> None:
    refusal(text)
    refusal(f"http://{text}/")


def test_a_name_is_judged_by_the_address_it_resolves_to() -> None:
    resolver = GuardedResolver.__new__(GuardedResolver)
    assert resolver.checked("93.184.216.34", "fine.example") == "93.184.216.34"
    with pytest.raises(DNSLookupError, match=r"rebind\.example"):
        resolver.checked("127.0.0.1", "rebind.example")
    GuardedResolver.refused.clear()


@pytest.mark.parametrize(("header", "waits"), [(b"120", 120), (b"0", 0), (b"soon", None), (None, None), (b"", None)])
def test_retry_after_is_seconds_or_nothing(header: bytes | None, waits: float | None) -> None:
    assert retry_after_s(header, NOW) == waits


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(NOW + timedelta(seconds=90), usegmt=True).encode()
    assert retry_after_s(later, NOW) == 90
    assert retry_after_s(later, NOW + timedelta(hours=1)) == 0


def test_a_crawl_delay_is_put_back_after_each_answer() -> None:
    slot = SimpleNamespace(delay=1.0)
    downloader = SimpleNamespace(slots={"a.example": slot}, per_slot_settings={})
    crawler: Any = SimpleNamespace(settings={"USER_AGENT": "wensheng"}, engine=SimpleNamespace(downloader=downloader))
    extension = CrawlDelay(crawler)
    request: Any = SimpleNamespace(url="https://a.example/x")
    robots: Any = SimpleNamespace(crawl_delay={"wensheng": 5.0}.get)
    extension.robots_parsed(robots, request)
    slot.delay = 0.5
    extension.slow_down(request)
    assert slot.delay == 5.0
    assert downloader.per_slot_settings["a.example"]["delay"] == 5.0
