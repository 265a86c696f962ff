"""E-mail by SMTP: `smtp://user@host:587` or `smtps://user@host:465`, the password from the environment."""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from alerts.channels.base import ChannelBusy, ChannelRefused, Failure
from alerts.messages.markup import plain
from index.models import Notification

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Email:
    """Message-ID is built from the notification, so that a repeat can be told by mail programs."""

    id: str
    host: str
    port: int
    user: str
    password: str
    sender: str
    to: tuple[str, ...]
    implicit_tls: bool

    @classmethod
    def from_url(cls, channel_id: str, url: str, password: str, to: tuple[str, ...]) -> Email:
        """Raises ValueError with what is wrong with the address."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("邮件地址应写成 smtp://用户@主机:端口 或 smtps://用户@主机:端口")
        if parts.password:
            raise ValueError("密码不能写在地址里, 请放进 secret_env 指定的环境变量")
        if not to:
            raise ValueError("邮件渠道需要收件人 to")
        user = unquote(parts.username or "")
        implicit = parts.scheme == "smtps"
        return cls(
            id=channel_id,
            host=parts.hostname,
            port=parts.port or (465 if implicit else 587),
            user=user,
            password=password,
            sender=user if "@" in user else f"{user or 'wensheng'}@{parts.hostname}",
            to=to,
            implicit_tls=implicit,
        )

    def send(self, notification: Notification) -> None:
        message = self._message(notification)
        try:
            with self._connect() as server:
                self._sign_in(server)
                server.send_message(message, from_addr=self.sender, to_addrs=list(self.to))
        except smtplib.SMTPAuthenticationError as e:
            raise ChannelRefused("邮件服务器不接受用户名或密码", reason=Failure.AUTH) from e
        except smtplib.SMTPRecipientsRefused as e:
            raise _by_code(max(code for code, _ in e.recipients.values()), "收件人被拒收") from e
        except smtplib.SMTPResponseException as e:
            raise _by_code(e.smtp_code, "邮件被拒收") from e
        except TimeoutError as e:
            raise ChannelBusy("邮件服务器没有回应", reason=Failure.TIMEOUT) from e
        except ssl.SSLError as e:
            raise ChannelRefused(f"邮件服务器的加密连接失败: {e.reason}", reason=Failure.CONFIG) from e
        except (OSError, smtplib.SMTPException) as e:
            raise ChannelBusy(f"连接不上邮件服务器: {type(e).__name__}", reason=Failure.UNREACHABLE) from e

    def _message(self, notification: Notification) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(notification.title.split())
        message["From"] = self.sender
        message["To"] = ", ".join(self.to)
        message["Date"] = format_datetime(notification.created_at)
        message["Message-ID"] = f"<{sha256(notification.id.encode()).hexdigest()[:32]}@{self.sender.split('@')[-1]}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Wensheng-Id"] = notification.id.encode("ascii", "backslashreplace").decode()
        message.set_content(plain(notification.body))
        return message

    def _connect(self) -> smtplib.SMTP:
        if self.implicit_tls:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        server.ehlo_or_helo_if_needed()
        if server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
        elif self.password and not _is_here(self.host):
            server.close()
            raise ChannelRefused("邮件服务器不支持加密, 不能在明文连接上发送密码", reason=Failure.CONFIG)
        return server

    def _sign_in(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        if self.user and self.password:
            server.login(self.user, self.password)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _by_code(code: int, text: str) -> ChannelBusy | ChannelRefused:
    if 400 <= code < 500:
        return ChannelBusy(f"{text}: {code}", reason=Failure.SERVER_ERROR)
    return ChannelRefused(f"{text}: {code}", reason=Failure.CLIENT_ERROR)
