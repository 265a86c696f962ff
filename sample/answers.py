"""What the site's pages share: an answer, the posts of a moment, addresses of posts, counts and times as shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from html import escape
from typing import Any

from sample.posts import PLATFORMS, Post
from sample.timeline import BEIJING

BRAND_APP, COMPETITOR_APP = "1600000001", "1600000002"


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """The site at one moment: what has been posted (oldest first), and the address it is reached under."""

    posts: Sequence[Post]
    now: datetime
    base: str

    def of(self, platform: str) -> list[Post]:
        """The posts of one platform, newest first."""
        return [post for post in reversed(self.posts) if post.platform == platform]

    def url(self, post: Post) -> str:
        return self.base + path_of(post)


def path_of(post: Post) -> str:
    """Where a post can be read by people."""
    if post.platform == "shequ":
        return f"/shequ/thread-{post.floor_of or post.id}-1.html" + (f"#p{post.id}" if post.floor_of else "")
    return {
        "weiyan": f"/weiyan/detail/{post.id}",
        "appstore": f"/cn/app/id{app_of(post)}/review/{post.id}",
        "pinglun": f"/pinglun/review/{post.id}",
        "wenzhang": f"/wenzhang/a/{post.id}.html",
        "tousu": f"/tousu/view/{post.id}",
    }[post.platform]


def app_of(post: Post) -> str:
    return COMPETITOR_APP if post.about == "competitor" else BRAND_APP


def as_json(value: Any, *, content_type: str = "application/json; charset=utf-8", status: int = 200) -> Answer:
    return Answer(json.dumps(value, ensure_ascii=False, indent=None).encode(), content_type, status)


def with_validators(answer: Answer, newest_at: datetime | None) -> Answer:
    """The answer with ETag and Last-Modified, by which a crawler can ask whether anything changed."""
    headers = {"ETag": f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"', "Cache-Control": "public, max-age=60"}
    if newest_at:
        headers["Last-Modified"] = format_datetime(newest_at.replace(microsecond=0), usegmt=True)
    return Answer(answer.body, answer.content_type, answer.status, headers)


def unchanged(answer: Answer, *, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """Whether the asker has this already; the ETag decides where it is given (RFC 9110, 13.2.2)."""
    if "ETag" not in answer.headers:
        return False
    if if_none_match:
        return answer.headers["ETag"] in [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    if not if_modified_since or "Last-Modified" not in answer.headers:
        return False
    try:
        since = parsedate_to_datetime(if_modified_since)
    except ValueError:
        return False
    return parsedate_to_datetime(answer.headers["Last-Modified"]) <= since


def shown_count(n: int) -> str:
    """As Chinese sites show it: 9876, 1.2万."""
    return str(n) if n < 10_000 else f"{n / 10_000:.1f}万"


def shown_time(at: datetime, now: datetime) -> str:
    """As forums show it: 刚刚, 3分钟前, 今天 09:12, 昨天 12:30, 11-16 08:30, 2025-12-30 08:30."""
    local, today = at.astimezone(BEIJING), now.astimezone(BEIJING)
    if now - at < timedelta(minutes=1):
        return "刚刚"
    if now - at < timedelta(hours=1):
        return f"{int((now - at).total_seconds() // 60)}分钟前"
    if local.date() == today.date():
        return f"今天 {local:%H:%M}"
    if local.date() == today.date() - timedelta(days=1):
        return f"昨天 {local:%H:%M}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def paragraphs(text: str) -> str:
    return "<br>\n".join(escape(line) for line in text.splitlines())


def page(title: str, inside: str) -> str:
    return (
        '<!DOCTYPE html><html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><header><a href='/'>示例站点</a></header><main>{inside}</main></body></html>"
    )


def post_page(post: Post) -> Answer:
    """One post by itself, for people who follow its link."""
    local = post.published_at.astimezone(BEIJING)
    title = post.title or f"{post.author.name}的{PLATFORMS[post.platform]}"
    stars = f"<p>{'★' * post.rating}{'☆' * (5 - post.rating)}</p>" if post.rating else ""
    inside = (
        f'<article><h1>{escape(title)}</h1><p class="by">{escape(PLATFORMS[post.platform])} · '
        f'<span class="author">{escape(post.author.name)}</span> · '
        f'<time datetime="{local.isoformat(timespec="seconds")}">{local:%Y-%m-%d %H:%M}</time> · '
        f'{escape(post.author.region)}</p>{stars}<div class="content"><p>{paragraphs(post.text)}</p></div></article>'
    )
    return Answer(page(title, inside).encode())


_STYLE = (
    "body{font:16px/1.7 system-ui,'Noto Sans SC',sans-serif;margin:0;background:#f6f5f2;color:#222}"
    "header{padding:.8em 1.2em;background:#2f4f45}header a{color:#fff;text-decoration:none}"
    "main{max-width:46em;margin:1.5em auto;padding:1.2em;background:#fff;border-radius:8px}"
    "h1{font-size:1.3em;margin-top:0}.by{color:#777;font-size:.9em}pre{white-space:pre-wrap;font:inherit}"
    "li{margin:.4em 0}.message{border-left:4px solid #c60;padding:.2em 1em;margin:1em 0;background:#fbf7f0}"
)
