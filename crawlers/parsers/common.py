"""What all parsers share: their result, the options of a source, and the one place where a mention is made.

Options that every kind of source understands (Source.options):
    kind         kind of the mentions: post, comment, review, article, question, complaint
    encoding     character set, only where the site declares a wrong one and guessing fails ("gb18030", "big5")
    max_pages    at most so many pages a run; never above crawl.max_pages
    delay_s      seconds between two requests to the host; below crawl.delay_s only if allow_private
    headers      extra request headers with plain values (User-Agent, Cookie and Authorization are refused)
    headers_env  request headers whose values are read from environment variables:
                 {"Authorization" = "VENDOR_TOKEN"}; sent to the host of the source's url only
    undated      "refuse" (default): an item without a readable date goes to the bad lines;
                 "collected": it gets the time of its first collection
    login_paths  parts of a path that show a redirect to a sign-in page, beside the well-known ones
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from crawlers.fields import digest, parse_count, parse_rating, parse_region, parse_time, plausible, url_key
from index.models import Engagement, Mention, MentionKind, Persona, Source
from settings import SourceSettings

_REGION_PREFIX = re.compile(r"^(?:发布于|来自|IP\s*属地\s*[::]?)\s*")
REFUSED_HEADERS = {"user-agent", "cookie", "authorization", "host"}


ITEM_FIELDS = (
    "id",
    "text",
    "title",
    "url",
    "published_at",
    "author",
    "author_id",
    "followers",
    "verified",
    "region",
    "likes",
    "comments",
    "reposts",
    "views",
    "rating",
    "parent_id",
    "kind",
)
"""What may be said of one mention, by the names that field maps and files use."""


class OptionsError(Exception):
    """The options of a source cannot be used; the text (Chinese) says which and why."""


class CommonOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: MentionKind = "post"
    encoding: str = ""
    max_pages: int | None = Field(None, ge=1)
    delay_s: float | None = Field(None, ge=0)
    headers: dict[str, str] = {}
    headers_env: dict[str, str] = {}
    undated: Literal["refuse", "collected"] = "refuse"
    login_paths: tuple[str, ...] = ()

    @field_validator("headers")
    @classmethod
    def _no_disguise(cls, value: dict[str, str]) -> dict[str, str]:
        refused = [name for name in value if name.lower() in REFUSED_HEADERS]
        if refused:
            raise ValueError(
                f"{'、'.join(refused)} 不能写在 headers 里（密钥请用 headers_env，User-Agent 请用 crawl.user_agent）"
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value or "utf-8")
        except LookupError as e:
            raise ValueError(f"不认识的字符集 {value}") from e
        return value


OptionsT = TypeVar("OptionsT", bound=CommonOptions)


def read_options(model: type[OptionsT], source: SourceSettings) -> OptionsT:
    """The options of a source, checked. Raises OptionsError."""
    try:
        return model.model_validate(source.options)
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(["options", *map(str, first["loc"])])
        known = "、".join(model.model_fields)
        hint = f"；可用的选项有：{known}" if first["type"] == "extra_forbidden" else ""
        raise OptionsError(f"来源 {source.id} 的设置 {place} 有误：{first['msg']}{hint}") from e


@dataclass(frozen=True)
class BadLine:
    """Something that should have been a mention, and why it is not. where is a URL, or `行 7`."""

    where: str
    reason: str
    line: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parsed:
    """What one page holds. problem is set when the page does not have the expected shape at all."""

    mentions: tuple[Mention, ...] = ()
    bad: tuple[BadLine, ...] = ()
    links: tuple[str, ...] = ()
    """Pages to read for their mentions."""
    next_url: str | None = None
    """The next page of the same list."""
    cursor: str | None = None
    """Where to go on, for sources that page by a cursor."""
    more: bool = True
    """False where the answer itself says that this is the last page."""
    problem: str = ""
    refused: Literal["", "login", "blocked"] = ""
    """The site answered, but with a refusal in the body."""

    @property
    def n_items(self) -> int:
        return len(self.mentions) + len(self.bad)


@dataclass(frozen=True)
class Draft:
    """What was read of one mention, before any check. Ids are the platform's own, without its name."""

    text: str = ""
    title: str = ""
    url: str = ""
    native_id: str = ""
    published: object = None
    kind: MentionKind | None = None
    author: str = ""
    author_id: str = ""
    followers: object = None
    verified: object = None
    region: str = ""
    likes: object = None
    comments: object = None
    reposts: object = None
    views: object = None
    rating: object = None
    parent_id: str = ""


def finish(
    draft: Draft, *, source: SourceSettings, options: CommonOptions, now: datetime, where: str
) -> Mention | BadLine:
    """The mention, or why there is none."""
    text, title = _text_and_title(draft.text.strip(), draft.title.strip())
    line = {"text": text[:200], "published_at": str(draft.published or ""), "url": draft.url}
    if not text:
        return BadLine(where, "没有正文", line)

    platform = source.platform
    native_id = draft.native_id.strip() or digest(url_key(draft.url) or _content(draft))
    mention_id = f"{platform}:{native_id}"
    published_at = parse_time(draft.published, now=now)
    if published_at is None and options.undated == "collected":
        published_at = _first_seen(source, mention_id) or now
    if published_at is None:
        said = f"看不懂发布时间“{draft.published}”" if draft.published else "没有发布时间"
        return BadLine(where, said, line)
    if not plausible(published_at, now):
        return BadLine(where, f"发布时间 {published_at:%Y-%m-%d} 不可信（早于 1995 年或晚于现在一天以上）", line)

    return Mention(
        id=mention_id,
        platform=platform,
        kind=draft.kind or options.kind,
        url=draft.url,
        title=title,
        text=text,
        persona=_persona(draft, platform),
        published_at=published_at,
        collected_at=now,
        engagement=Engagement(
            likes=parse_count(draft.likes),
            comments=parse_count(draft.comments),
            reposts=parse_count(draft.reposts),
            views=parse_count(draft.views),
        ),
        rating=parse_rating(draft.rating),
        parent_id=f"{platform}:{draft.parent_id}" if draft.parent_id else None,
        source=source.id,
    )


def _first_seen(source: SourceSettings, mention_id: str) -> datetime | None:
    """When an earlier run first met an undated item, so that its date does not move with every crawl."""
    known = source.state.get("first_seen") if isinstance(source, Source) else None
    said = known.get(mention_id) if isinstance(known, dict) else None
    try:
        return datetime.fromisoformat(said) if said else None
    except (TypeError, ValueError):
        return None


def _text_and_title(text: str, title: str) -> tuple[str, str]:
    """Says nothing twice: articles repeat their headline, feeds of short posts cut the title from the text."""
    if not text:
        return title, ""
    first_line, _, rest = text.partition("\n")
    if title and first_line == title and rest:
        return rest, title
    if title and text.startswith(title.removesuffix("…").removesuffix("...")):
        return text, ""
    return text, title


def _content(draft: Draft) -> str:
    """What identifies a mention that has neither id nor URL; 3分钟前 says something else at every crawl."""
    said = str(draft.published or "")
    return f"{draft.text}|{draft.author}|{'' if re.search('[前刚今昨周]', said) else said}"


def _persona(draft: Draft, platform: str) -> Persona | None:
    name, account = draft.author.strip(), draft.author_id.strip()
    if not name and not account:
        return None
    return Persona(
        id=f"{platform}:{account or name}",
        name=name or account,
        followers=parse_count(draft.followers),
        verified=draft.verified if isinstance(draft.verified, bool) else None,
        region=_REGION_PREFIX.sub("", draft.region.strip()) or parse_region(draft.published),
    )


def sort_out(results: list[Mention | BadLine]) -> tuple[tuple[Mention, ...], tuple[BadLine, ...]]:
    """Mentions (each id once, the first stays) and bad lines apart."""
    mentions = {one.id: one for one in reversed(results) if isinstance(one, Mention)}
    bad = tuple(one for one in results if isinstance(one, BadLine))
    return tuple(reversed(mentions.values())), bad
