"""Feishu (飞书) group bot: a card with markdown, signed with the bot's secret; the verdict is code in the body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.channels import http
from alerts.channels.base import ChannelBusy, ChannelRefused, Failure
from alerts.messages.markup import cut_bytes
from index.models import Level, Notification

MAX_BYTES = 18_000
COLOURS = {Level.BLUE: "blue", Level.YELLOW: "yellow", Level.ORANGE: "orange", Level.RED: "red"}


@dataclass(frozen=True)
class Feishu:
    """clock is asked for the signature's time, which Feishu wants within an hour of its own."""

    id: str
    url: str
    clock: Callable[[], datetime]
    secret: str = ""

    def send(self, notification: Notification) -> None:
        card = {
            "header": {
                "title": {"tag": "plain_text", "content": notification.title},
                "template": COLOURS[notification.level],
            },
            "elements": [{"tag": "markdown", "content": cut_bytes(notification.body, MAX_BYTES)}],
        }
        payload: dict[str, Any] = {"msg_type": "interactive", "card": card}
        if self.secret:
            payload |= signature(self.secret, self.clock())
        check(http.post_json(self.url, payload))


def signature(secret: str, now: datetime) -> dict[str, str]:
    """Base64 of HMAC-SHA256 over nothing, keyed with `seconds\\nsecret`: Feishu's own way round."""
    stamp = str(int(now.timestamp()))
    digest = hmac.new(f"{stamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return {"timestamp": stamp, "sign": base64.b64encode(digest).decode()}


def check(answer: dict[str, object]) -> None:
    """code (older answers: StatusCode) 0 is accepted; 11232 too often, 1902x sign, address or key word."""
    code = answer.get("code", answer.get("StatusCode"))
    if code == 0:
        return
    text = f"飞书拒收: {code} {answer.get('msg', answer.get('StatusMessage', ''))}".strip()
    if code in (11232, 99991400):
        raise ChannelBusy(text, reason=Failure.RATE_LIMITED, after_s=60)
    if code in (19021, 19022, 19024):
        raise ChannelRefused(f"{text} (检查签名密钥、关键词和 IP 白名单)", reason=Failure.AUTH)
    if code is None:
        raise ChannelRefused("飞书的回应里没有 code", reason=Failure.BAD_ANSWER)
    raise ChannelRefused(text, reason=Failure.CLIENT_ERROR)
