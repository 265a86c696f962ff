"""What delivery asks of a channel, and the one error tree of all of them.

ChannelError
├── ChannelBusy      trying again may help: unreachable, timeout, rate_limited, server_error
└── ChannelRefused   trying again will not help: auth, client_error, redirect, bad_answer, config
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from index.models import Notification


class Failure(StrEnum):
    """Why a message could not be sent; kept in Notification.reason and counted."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    AUTH = "auth"
    CLIENT_ERROR = "client_error"
    REDIRECT = "redirect"
    BAD_ANSWER = "bad_answer"
    CONFIG = "config"


FAILURE_WORDS = {
    Failure.UNREACHABLE: "连接不上",
    Failure.TIMEOUT: "没有回应",
    Failure.RATE_LIMITED: "对方限流",
    Failure.SERVER_ERROR: "对方出错",
    Failure.AUTH: "密钥或权限不对",
    Failure.CLIENT_ERROR: "对方不接受这条消息",
    Failure.REDIRECT: "地址要求跳转",
    Failure.BAD_ANSWER: "回应看不懂",
    Failure.CONFIG: "渠道没有设置好",
}


class ChannelError(Exception):
    """The message was not accepted; the text (Chinese) says what the other side said."""

    def __init__(self, message: str, *, reason: Failure) -> None:
        super().__init__(message)
        self.reason = reason


class ChannelBusy(ChannelError):
    """Worth another try; after_s is how long the other side asked to wait, if it did."""

    def __init__(self, message: str, *, reason: Failure, after_s: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.after_s = after_s


class ChannelRefused(ChannelError):
    """Not worth another try; a person must mend something."""


class Channel(Protocol):
    @property
    def id(self) -> str:
        """As in the settings."""

    def send(self, notification: Notification) -> None:
        """Hand the message over; returns only if the other side accepted it. Raises ChannelError."""
