"""Recognise the pages that stand before the content: sign-in, captcha, refusals. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from crawlers.outcome import PageEnd
from crawlers.texts import plain

_LOGIN_HOST = re.compile(r"^(?:passport|login|signin|sso|account|accounts)\.", re.IGNORECASE)
_LOGIN_PATH = re.compile(r"/(?:passport|login|signin|sign_in|logon|user/login|sso)(?:[/.?]|$)", re.IGNORECASE)
_CAPTCHA = re.compile(
    r"验证码|安全验证|人机验证|滑动验证|拖动滑块|访问(?:过于|太)频繁|请求(?:过于|太)频繁|异常访问|访问异常|存在异常流量"
    r"|captcha|geetest|are you (?:a )?(?:human|robot)|unusual traffic",
    re.IGNORECASE,
)
_CAPTCHA_AT_MOST = 600
"""A page whose visible text is longer than this many characters speaks of captchas but is none."""


def by_status(status: int) -> PageEnd | None:
    """What an HTTP status says of the page; None for one that carries content."""
    if status == 304:
        return PageEnd.NOT_MODIFIED
    if 200 <= status < 300:
        return None
    if status in (401, 407):
        return PageEnd.LOGIN
    if status in (429, 503):
        return PageEnd.BUSY if status == 429 else PageEnd.SERVER
    if status in (403, 412, 418, 432, 444, 451, 456):  # 418, 432, 456: what Chinese sites answer to crawlers
        return PageEnd.BLOCKED
    if status in (404, 410):
        return PageEnd.GONE
    return PageEnd.SERVER if status >= 500 else PageEnd.ERROR if status < 300 else PageEnd.GONE


def is_login(url: str, asked: str, extra_paths: Iterable[str] = ()) -> bool:
    """Whether a redirect led to a sign-in page."""
    if url == asked:
        return False
    try:
        here, there = urlsplit(url), urlsplit(asked)
    except ValueError:
        return False
    if (here.netloc, here.path) == (there.netloc, there.path):
        return False
    path = here.path
    return bool(
        _LOGIN_HOST.match(here.netloc) or _LOGIN_PATH.search(path) or any(part and part in path for part in extra_paths)
    )


def is_captcha(html: str) -> bool:
    """Whether a page that holds no content asks for proof of being human."""
    if "<" not in html or not _CAPTCHA.search(html):
        return False
    title = re.search(r"<title[^>]*>(.*?)</title>", html, re.IGNORECASE | re.DOTALL)
    if title and _CAPTCHA.search(title[1]):
        return True
    text = plain(html)
    return len(text) <= _CAPTCHA_AT_MOST and bool(_CAPTCHA.search(text) or len(text) < 80)
