"""One JSON POST that follows no redirect, waits 10 s in all, and turns every failure into a ChannelError."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from alerts.channels.base import ChannelBusy, ChannelRefused, Failure

TIMEOUT_S = 10.0
MAX_ANSWER = 64 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None leaves the 3xx as it is, so it becomes an HTTPError."""


_opener = urllib.request.build_opener(_NoRedirects)


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """The answer's body of a 2xx. Addresses hold secrets, so no error text names one."""
    try:
        request = urllib.request.Request(url, data=body, method="POST")  # noqa: S310 - the scheme is checked below
    except ValueError as e:
        raise ChannelRefused("渠道地址不是有效的网址", reason=Failure.CONFIG) from e
    if request.type not in ("http", "https"):
        raise ChannelRefused("渠道地址必须以 http:// 或 https:// 开头", reason=Failure.CONFIG)
    request.add_header("Content-Type", "application/json; charset=utf-8")
    request.add_header("User-Agent", "wensheng/1.0")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    give_up_at = time.monotonic() + TIMEOUT_S
    try:
        with _opener.open(request, timeout=TIMEOUT_S) as answer:
            return _read(answer, give_up_at)
    except urllib.error.HTTPError as e:
        raise _refusal(e) from e
    except TimeoutError as e:
        raise ChannelBusy(f"{TIMEOUT_S:.0f} 秒内没有回应", reason=Failure.TIMEOUT) from e
    except urllib.error.URLError as e:
        if isinstance(e.reason, TimeoutError):
            raise ChannelBusy(f"{TIMEOUT_S:.0f} 秒内没有回应", reason=Failure.TIMEOUT) from e
        raise ChannelBusy(f"连接不上: {e.reason}", reason=Failure.UNREACHABLE) from e
    except (OSError, http.client.HTTPException, ValueError) as e:
        raise ChannelBusy(f"连接中断: {type(e).__name__}", reason=Failure.UNREACHABLE) from e


def post_json(url: str, payload: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """For bots that answer HTTP 200 with their verdict in a JSON object."""
    answer = post(url, json.dumps(payload, ensure_ascii=False).encode(), headers)
    try:
        said = json.loads(answer)
    except ValueError as e:
        raise ChannelRefused(f"回应不是 JSON: {_start(answer)}", reason=Failure.BAD_ANSWER) from e
    if not isinstance(said, dict):
        raise ChannelRefused(f"回应不是 JSON 对象: {_start(answer)}", reason=Failure.BAD_ANSWER)
    return said


def _read(answer: http.client.HTTPResponse, give_up_at: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < MAX_ANSWER:
        part = answer.read1(MAX_ANSWER - size)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if time.monotonic() > give_up_at:
            raise TimeoutError
    return b"".join(parts)


def _refusal(error: urllib.error.HTTPError) -> ChannelBusy | ChannelRefused:
    code = error.code
    text = f"HTTP {code}"
    if code in {429, 503}:
        reason = Failure.RATE_LIMITED if code == 429 else Failure.SERVER_ERROR
        return ChannelBusy(text, reason=reason, after_s=_seconds(error.headers.get("Retry-After")))
    if code >= 500 or code == 408:
        return ChannelBusy(text, reason=Failure.SERVER_ERROR)
    if 300 <= code < 400:
        return ChannelRefused(f"{text}: 地址要求跳转, 请把渠道地址改成最终地址", reason=Failure.REDIRECT)
    if code in (401, 403):
        return ChannelRefused(f"{text}: 没有权限, 请检查密钥", reason=Failure.AUTH)
    return ChannelRefused(f"{text}: 请检查渠道地址", reason=Failure.CLIENT_ERROR)


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; the date form is not worth a parser here."""
    return float(value) if value and value.isdigit() else None


def _start(answer: bytes) -> str:
    return answer[:80].decode("utf-8", "replace")
