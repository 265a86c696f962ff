"""WeCom (企业微信) group bot: markdown; the verdict is errcode in the answer's body."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.channels import http
from alerts.channels.base import ChannelBusy, ChannelRefused, Failure
from alerts.messages.markup import cut_bytes
from index.models import Notification

MAX_BYTES = 4096


@dataclass(frozen=True)
class Wecom:
    id: str
    url: str

    def send(self, notification: Notification) -> None:
        text = cut_bytes(f"**{notification.title}**\n{notification.body}", MAX_BYTES)
        check(http.post_json(self.url, {"msgtype": "markdown", "markdown": {"content": text}}))


def check(answer: dict[str, object]) -> None:
    """errcode 0 is accepted; -1 busy, 45009 too often, 93000 and 40xxx a wrong key or body."""
    code = answer.get("errcode")
    if code == 0:
        return
    text = f"企业微信拒收: {code} {answer.get('errmsg', '')}".strip()
    if code == -1:
        raise ChannelBusy(text, reason=Failure.SERVER_ERROR)
    if code in (45009, 45033):
        raise ChannelBusy(text, reason=Failure.RATE_LIMITED, after_s=60)
    if code in (93000, 40001, 40014, 42001):
        raise ChannelRefused(text, reason=Failure.AUTH)
    if code is None:
        raise ChannelRefused("企业微信的回应里没有 errcode", reason=Failure.BAD_ANSWER)
    raise ChannelRefused(text, reason=Failure.CLIENT_ERROR)
