"""Every other service by Apprise. Not for WeCom, DingTalk and Feishu: Apprise takes their refusals for success."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.channels.base import ChannelBusy, ChannelRefused, Failure
from index.models import Notification

REFUSED_SCHEMES = ("dingtalk", "feishu", "lark", "wecombot", "schan", "bark")
"""Plugins that report success whatever the service answers, so a lost alert would look sent."""


@dataclass(frozen=True)
class Apprise:
    id: str
    url: str

    def __post_init__(self) -> None:
        scheme = self.url.partition("://")[0].lower()
        if scheme in REFUSED_SCHEMES:
            raise ValueError(
                f"apprise 的 {scheme} 插件不检查对方是否拒收; 请用 wecom、dingtalk、feishu 或 webhook 渠道"
            )
        import apprise

        if not apprise.Apprise().add(self.url):
            raise ValueError("apprise 不认识这个地址")

    def send(self, notification: Notification) -> None:
        import apprise

        service = apprise.Apprise()
        if not service.add(self.url):
            raise ChannelRefused("apprise 不认识这个地址", reason=Failure.CONFIG)
        told = service.notify(
            title=notification.title, body=notification.body, body_format=apprise.NotifyFormat.MARKDOWN
        )
        if not told:
            raise ChannelBusy("对方没有接受这条消息 (apprise 不说明原因)", reason=Failure.SERVER_ERROR)
