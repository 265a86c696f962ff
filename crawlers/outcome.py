"""What a run of a spider left in its stats, and the one verdict on it: judge() is pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from index.models import Frozen, Outcome

BAD_SHARE = 0.2
"""More bad lines than this share of all items make a run partial."""


class PageEnd(StrEnum):
    """How one page ended."""

    PARSED = "parsed"
    NOT_MODIFIED = "not_modified"
    UNRECOGNISED = "unrecognised"
    LOGIN = "login"
    CAPTCHA = "captcha"
    BLOCKED = "blocked"
    BUSY = "busy"
    ROBOTS = "robots"
    ADDRESS = "address"
    REDIRECTS = "redirects"
    TOO_BIG = "too_big"
    SLOW = "slow"
    NETWORK = "network"
    SERVER = "server"
    GONE = "gone"
    FILE = "file"
    ERROR = "error"


GOOD = (PageEnd.PARSED, PageEnd.NOT_MODIFIED)


class CrawlStats(Frozen):
    """One run's stats, as the child process leaves them in `<run_id>.stats.json`."""

    finish_reason: str = ""
    n_requests: int = 0
    n_bytes: int = 0
    n_items: int = 0
    n_bad: int = 0
    first: PageEnd | None = None
    """How the source's own url ended; the rest are pages found from there."""
    ends: dict[PageEnd, int] = Field(default_factory=dict)
    examples: dict[PageEnd, str] = Field(default_factory=dict)
    """One sentence of detail for each kind of end that is not good."""
    bad_reasons: tuple[str, ...] = ()
    retry_after_s: float | None = None
    n_pages_left: int = 0
    """Known pages that were not read because of max_pages."""
    state: dict[str, Any] = Field(default_factory=dict)
    """What the next run is to be given, if this one reached all its pages."""
    problem: str = ""
    """Why the run could not start (options, environment), in Chinese."""

    @property
    def n_failed(self) -> int:
        return sum(count for end, count in self.ends.items() if end not in GOOD)

    @property
    def complete(self) -> bool:
        return self.finish_reason == "finished" and self.n_failed == 0 and bool(self.ends)


# What the end of the source's own page says of the whole run when there is no mention at all.
_OUTCOMES = {
    PageEnd.UNRECOGNISED: Outcome.CHANGED,
    PageEnd.LOGIN: Outcome.LOGIN_EXPIRED,
    PageEnd.CAPTCHA: Outcome.BLOCKED,
    PageEnd.BLOCKED: Outcome.BLOCKED,
    PageEnd.BUSY: Outcome.BLOCKED,
    PageEnd.ROBOTS: Outcome.BLOCKED,
}
_ADVICE = {
    PageEnd.UNRECOGNISED: "请核对来源网址和选项里的选择器",
    PageEnd.LOGIN: "本服务只采集无需登录的公开页面，请换用公开地址、官方接口或导入",
    PageEnd.CAPTCHA: "本服务不破解验证码，请放慢采集间隔或换用官方接口",
    PageEnd.BLOCKED: "请放慢采集间隔，或与对方联系、换用官方接口",
    PageEnd.BUSY: "请放慢采集间隔，稍后会自动再试",
    PageEnd.ROBOTS: "请遵从，停用此来源或换用官方接口",
    PageEnd.ADDRESS: "如确是内网来源，请在来源上设置 allow_private = true（只对来源自己的主机有效）",
    PageEnd.REDIRECTS: "请核对来源网址",
    PageEnd.TOO_BIG: "请核对网址，确需读取时调大 crawl.max_bytes",
    PageEnd.SLOW: "稍后会自动再试",
    PageEnd.NETWORK: "请核对网址与网络，稍后会自动再试",
    PageEnd.SERVER: "稍后会自动再试",
    PageEnd.GONE: "请核对来源网址",
    PageEnd.FILE: "请改好文件后重新放入收件目录",
    PageEnd.ERROR: "请把此信息告诉维护者",
}


def judge(stats: CrawlStats | None, *, killed: bool, run_timeout_s: float, log: str = "") -> tuple[Outcome, str]:
    """The outcome and one Chinese sentence for people. stats is None if the child left none."""
    if stats is None:
        if killed:
            return (
                Outcome.TIMEOUT,
                f"采集超过 {run_timeout_s:g} 秒仍未结束，已强行停止，请减少 max_pages 或检查对方网站",
            )
        return Outcome.FAILED, f"采集进程意外结束，没有留下结果{_detail(log)}，稍后会自动再试"
    if stats.problem:
        return Outcome.FAILED, stats.problem
    if killed or stats.finish_reason == "closespider_timeout":
        return (
            Outcome.TIMEOUT,
            f"采集超过 {run_timeout_s:g} 秒未完成，已读到 {stats.n_items} 条，请减少 max_pages 或放宽 run_timeout_s",
        )
    if stats.finish_reason != "finished":
        return (
            Outcome.FAILED,
            f"采集中途停止（{stats.finish_reason or '原因不明'}），已读到 {stats.n_items} 条，稍后会自动再试",
        )

    n_pages = sum(stats.ends.values())
    worst = _worst(stats)
    if stats.n_items and worst:
        return (
            Outcome.PARTIAL,
            f"读到 {stats.n_items} 条，但 {n_pages} 个页面中有 {stats.n_failed} 个没有读成：{_said(stats, worst)}",
        )
    if worst:
        outcome = _OUTCOMES.get(worst, Outcome.FAILED)
        return outcome, f"{_said(stats, worst)}，{_ADVICE[worst]}{_wait(stats)}"
    if not n_pages:
        return Outcome.FAILED, "一个页面也没有读到，请核对来源网址"
    if stats.n_bad and not stats.n_items:
        return (
            Outcome.CHANGED,
            f"{stats.n_bad} 条内容都不能识别（{_first_reason(stats)}），{_ADVICE[PageEnd.UNRECOGNISED]}",
        )
    if stats.n_bad > BAD_SHARE * (stats.n_items + stats.n_bad):
        return (
            Outcome.PARTIAL,
            f"读到 {stats.n_items} 条，另有 {stats.n_bad} 条不能识别（{_first_reason(stats)}），请核对选项",
        )
    if not stats.n_items:
        reason = "自上次以来没有更新" if stats.first is PageEnd.NOT_MODIFIED else "页面正常，没有新的内容"
        return Outcome.EMPTY, reason
    tail = f"，{stats.n_bad} 条不能识别（{_first_reason(stats)}）" if stats.n_bad else ""
    left = f"，到达页数上限，另有 {stats.n_pages_left} 页没有读" if stats.n_pages_left else ""
    return Outcome.OK, f"读到 {stats.n_items} 条{tail}{left}"


def _worst(stats: CrawlStats) -> PageEnd | None:
    """The end to tell of: that of the source's own page, else the most frequent one that is not good."""
    if stats.first is not None and stats.first not in GOOD:
        return stats.first
    failed = {end: count for end, count in stats.ends.items() if end not in GOOD}
    return max(failed, key=lambda end: failed[end], default=None)


def _said(stats: CrawlStats, end: PageEnd) -> str:
    return stats.examples.get(end, end.value)


def _first_reason(stats: CrawlStats) -> str:
    return stats.bad_reasons[0] if stats.bad_reasons else "原因见坏行"


def _wait(stats: CrawlStats) -> str:
    return f"（对方要求 {stats.retry_after_s:g} 秒后再来）" if stats.retry_after_s else ""


def _detail(text: str) -> str:
    last = text.strip().splitlines()[-1:] if text.strip() else []
    return f"（{last[0][:200]}）" if last else ""
