"""One file a kind of channel; build() turns settings and environment into a sender."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from alerts.channels.apprise_ import Apprise
from alerts.channels.base import Channel, ChannelRefused, Failure
from alerts.channels.dingtalk import Dingtalk
from alerts.channels.email import Email
from alerts.channels.feishu import Feishu
from alerts.channels.webhook import Webhook
from alerts.channels.wecom import Wecom
from settings import ChannelSettings


def build(settings: ChannelSettings, environ: Mapping[str, str], clock: Callable[[], datetime]) -> Channel:
    """Raises ChannelRefused (reason config) that names the variable or option to mend."""
    url = _variable(settings, "url_env", environ) if settings.url_env else settings.url
    if not url:
        raise _wrong(settings, "没有地址; 请填 url, 或用 url_env 指定存放地址的环境变量")
    secret = _variable(settings, "secret_env", environ) if settings.secret_env else ""
    try:
        return _build(settings, url, secret, clock)
    except ValueError as e:
        raise _wrong(settings, str(e)) from e


def _build(settings: ChannelSettings, url: str, secret: str, clock: Callable[[], datetime]) -> Channel:
    if settings.kind == "email":
        return Email.from_url(settings.id, url, secret, settings.to)
    if settings.kind == "apprise":
        return Apprise(settings.id, url)
    if not url.startswith(("http://", "https://")):
        raise ValueError("地址必须以 http:// 或 https:// 开头")
    if settings.kind == "wecom":
        return Wecom(settings.id, url)
    if settings.kind == "dingtalk":
        return Dingtalk(settings.id, url, clock, secret)
    if settings.kind == "feishu":
        return Feishu(settings.id, url, clock, secret)
    return Webhook(settings.id, url, secret)


def _variable(settings: ChannelSettings, option: str, environ: Mapping[str, str]) -> str:
    name: str = getattr(settings, option)
    value = environ.get(name, "").strip()
    if not value:
        raise _wrong(settings, f"环境变量 {name} 没有设置 ({option})")
    return value


def _wrong(settings: ChannelSettings, what: str) -> ChannelRefused:
    return ChannelRefused(f"渠道 {settings.id}: {what}", reason=Failure.CONFIG)
