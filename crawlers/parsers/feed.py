"""A feed -> mentions: RSS 0.9-2.0, Atom, RDF (feedparser) and JSON Feed, RSSHub's output included.

The source's url is the feed. Options beside the common ones (parsers/common.py):
    kind          default "article"
    max_items     only the first so many entries (default: all)
    follow        true: read the page of each entry (robots.txt permitting) and take its article text where the
                  feed's own text is shorter than follow_below characters (default false, 200)
"""

from __future__ import annotations

import io
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

import feedparser
from pydantic import Field

from crawlers.fields import native_id
from crawlers.parsers.common import CommonOptions, Draft, Parsed, finish, read_options, sort_out
from crawlers.texts import decode, plain, sound
from index.models import MentionKind
from settings import SourceSettings

# Relative links and markup are dealt with here: feedparser's own passes cost most of its time.
_PARSE_OPTIONS = {"resolve_relative_uris": False, "sanitize_html": False}
_REFERENCE = re.compile(r"&#([xX][0-9a-fA-F]{1,8}|\d{1,10});")


class FeedOptions(CommonOptions):
    kind: MentionKind = "article"
    max_items: int | None = Field(None, ge=1)
    follow: bool = False
    follow_below: int = Field(200, ge=1)


def parse(body: bytes, url: str, *, source: SourceSettings, now: datetime, charset: str = "") -> Parsed:
    """The entries of a feed; charset is what the HTTP header declares."""
    options = read_options(FeedOptions, source)
    text = decode(body, declared=charset, override=options.encoding)
    is_json = text.lstrip("\ufeff \t\r\n").startswith("{")
    drafts = _json_feed(text, url) if is_json else _xml_feed(text, url)
    if drafts is None:
        return Parsed(problem="返回的内容不是 RSS、Atom 或 JSON Feed")
    drafts = drafts[: options.max_items]
    results = [
        finish(draft, source=source, options=options, now=now, where=draft.url or f"{url} 第 {position} 条")
        for position, draft in enumerate(drafts, start=1)
    ]
    mentions, bad = sort_out(results)
    return Parsed(mentions=mentions, bad=bad)


def _xml_feed(text: str, url: str) -> list[Draft] | None:
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", "", text)
    text = _REFERENCE.sub(_kept_if_character, text)
    headers = {"content-type": "application/xml; charset=utf-8", "content-location": url}
    try:
        feed = feedparser.parse(io.BytesIO(text.encode()), response_headers=headers, **_PARSE_OPTIONS)
    except Exception:  # noqa: BLE001 - feedparser's loose parser can stumble anywhere on garbage; that is "not a feed"
        return None
    if not feed.get("version") and not feed.entries:
        return None
    return [_entry(entry, url) for entry in feed.entries]


def _kept_if_character(reference: re.Match[str]) -> str:
    """A numeric reference as it stands, or nothing: one to half an emoji would cost the whole feed."""
    digits = reference[1]
    code = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
    is_character = code in (0x9, 0xA, 0xD) or 0x20 <= code < 0xD800 or 0xE000 <= code <= 0x10FFFF
    return reference[0] if is_character else ""


def _entry(entry: Any, base: str) -> Draft:
    link = _absolute(base, _text(entry, "link"))
    guid = _text(entry, "id")
    contents = [part.get("value") or "" for part in entry.get("content") or []]
    html = max([*contents, entry.get("summary") or ""], key=len)
    author = entry.get("author_detail") or {}
    return Draft(
        text=plain(html),
        title=plain(entry.get("title") or ""),
        url=link or (guid if guid.startswith("http") else ""),
        native_id=native_id(guid, link),
        published=_text(entry, "published") or _text(entry, "updated") or _text(entry, "created"),
        author=plain(author.get("name") or entry.get("author") or ""),
        comments=entry.get("slash_comments"),
    )


def _json_feed(text: str, url: str) -> list[Draft] | None:
    try:
        feed = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        return None
    return [_json_item(item, url) for item in feed["items"] if isinstance(item, dict)]


def _json_item(item: dict[str, Any], base: str) -> Draft:
    authors = item.get("authors") if isinstance(item.get("authors"), list) else [item.get("author")]
    names = [_text(one, "name") for one in authors or [] if isinstance(one, dict)]
    extra = item["_extra"] if isinstance(item.get("_extra"), dict) else {}
    link = _absolute(base, _text(item, "url") or _text(item, "external_url"))
    html = _text(item, "content_html")
    return Draft(
        text=plain(html) if html else _text(item, "content_text") or _text(item, "summary"),
        title=plain(_text(item, "title")),
        url=link,
        native_id=native_id(_text(item, "id"), link),
        published=_text(item, "date_published") or _text(item, "date_modified"),
        author="、".join(filter(None, names)),
        likes=extra.get("likes") or extra.get("upvotes"),
        comments=extra.get("comments"),
    )


def _text(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    return sound(str(value)) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _absolute(base: str, link: str) -> str:
    """The link as it stands if it is absolute: it is evidence, byte for byte."""
    if not link or re.match(r"[a-zA-Z][\w+.-]*:", link):
        return link
    try:
        return urljoin(base, link)
    except ValueError:
        return link
