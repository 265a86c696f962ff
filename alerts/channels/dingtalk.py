"""DingTalk (钉钉) group bot: markdown, signed with the bot's secret; the verdict is errcode in the body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote_plus

from alerts.channels import http
from alerts.channels.base import ChannelBusy, ChannelRefused, Failure
from alerts.messages.markup import cut_bytes
from index.models import Notification

MAX_BYTES = 20_000


@dataclass(frozen=True)
class Dingtalk:
    """clock is asked for the signature's time, which DingTalk wants within an hour of its own."""

    id: str
    url: str
    clock: Callable[[], datetime]
    secret: str = ""

    def send(self, notification: Notification) -> None:
        url = self.url + signature(self.secret, self.clock()) if self.secret else self.url
        # A single line break is no break in DingTalk's markdown.
        body = notification.body.replace("\n", "\n\n")
        text = cut_bytes(f"#### {notification.title}\n\n{body}", MAX_BYTES)
        markdown = {"title": notification.title, "text": text}
        check(http.post_json(url, {"msgtype": "markdown", "markdown": markdown, "at": {"isAtAll": False}}))


def signature(secret: str, now: datetime) -> str:
    """`&timestamp=..&sign=..`: base64 of HMAC-SHA256 over `milliseconds\\nsecret`, keyed with the secret."""
    stamp = str(round(now.timestamp() * 1000))
    digest = hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256).digest()
    return f"&timestamp={stamp}&sign={quote_plus(base64.b64encode(digest))}"


def check(answer: dict[str, object]) -> None:
    """errcode 0 is accepted; -1 busy, 130101 and 410100 too often, 310000 sign, key word or address, 300001 token."""
    code = answer.get("errcode")
    if code == 0:
        return
    text = f"钉钉拒收: {code} {answer.get('errmsg', '')}".strip()
    if code == -1:
        raise ChannelBusy(text, reason=Failure.SERVER_ERROR)
    if code in (130101, 410100):
        raise ChannelBusy(text, reason=Failure.RATE_LIMITED, after_s=60)
    if code in (310000, 300001, 300005):
        raise ChannelRefused(f"{text} (检查加签密钥、关键词和 IP 白名单)", reason=Failure.AUTH)
    if code is None:
        raise ChannelRefused("钉钉的回应里没有 errcode", reason=Failure.BAD_ANSWER)
    raise ChannelRefused(text, reason=Failure.CLIENT_ERROR)
