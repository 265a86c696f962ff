"""Apple's customer-review JSON -> mentions of kind "review".

The source's url names the app and the country, in any spelling of Apple's:
    https://itunes.apple.com/cn/rss/customerreviews/page=1/id=APPID/sortby=mostrecent/json
Pages 1..10 are read until one holds no review; if the first is empty the other spellings are tried
(sortBy=mostRecent, no sortby), because the CDN sometimes serves one of them empty.
A review is: title, text, rating, author, time (its offset kept), helpful votes as likes. No options but the common ones
(parsers/common.py; max_pages up to 10).
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from pydantic import Field

from crawlers.fields import native_id
from crawlers.parsers.common import CommonOptions, Draft, OptionsError, Parsed, finish, read_options, sort_out
from crawlers.texts import decode, sound
from index.models import MentionKind
from settings import SourceSettings

LAST_PAGE = 10
_PLACE = re.compile(
    r"^(?P<root>https?://[^/]+/(?P<country>[a-z]{2})/rss/customerreviews/)(?:.*/)?id=(?P<app>\d+)", re.IGNORECASE
)


class AppStoreOptions(CommonOptions):
    kind: MentionKind = "review"
    max_pages: int | None = Field(None, ge=1, le=LAST_PAGE)


def spellings(url: str, page: int) -> list[str]:
    """The URLs under which Apple serves that page, the usual one first. Raises OptionsError."""
    place = _PLACE.match(url)
    if not place:
        raise OptionsError(
            f"App Store 的网址应像 https://itunes.apple.com/cn/rss/customerreviews/id=APPID/json，而不是 {url}"
        )
    app = f"{place['root']}page={page}/id={place['app']}"
    return [f"{app}/sortby=mostrecent/json", f"{app}/sortBy=mostRecent/json", f"{app}/json"]


def parse(body: bytes, url: str, *, source: SourceSettings, now: datetime, charset: str = "") -> Parsed:
    """The reviews of one page; an answer without `entry` is an empty page."""
    options = read_options(AppStoreOptions, source)
    try:
        data = json.loads(decode(body, declared=charset, override=options.encoding))
    except (ValueError, RecursionError):
        return Parsed(problem="返回的内容不是 JSON")
    feed = data.get("feed") if isinstance(data, dict) else None
    if not isinstance(feed, dict):
        return Parsed(problem="返回的 JSON 里没有 feed，不是 App Store 评论")
    entries = feed.get("entry", [])
    entries = entries if isinstance(entries, list) else [entries]
    drafts = [_draft(entry, url) for entry in entries if isinstance(entry, dict) and "im:rating" in entry]
    results = [
        finish(draft, source=source, options=options, now=now, where=f"{url} 评论 {draft.native_id}")
        for draft in drafts
    ]
    mentions, bad = sort_out(results)
    return Parsed(mentions=mentions, bad=bad)


def _draft(entry: dict[str, Any], url: str) -> Draft:
    author = entry["author"] if isinstance(entry.get("author"), dict) else {}
    account = re.search(r"/id(\d+)", _label(author.get("uri")))
    link = entry["link"] if isinstance(entry.get("link"), dict) else {}
    attributes = link.get("attributes") if isinstance(link.get("attributes"), dict) else {}
    href = attributes.get("href") if attributes else None
    return Draft(
        text=_label(entry.get("content")),
        title=_label(entry.get("title")),
        url=sound(href) if isinstance(href, str) else url,
        native_id=native_id(_label(entry.get("id"))),
        published=_label(entry.get("updated")),
        author=_label(author.get("name")),
        author_id=account[1] if account else "",
        likes=_label(entry.get("im:voteSum")),
        rating=_label(entry.get("im:rating")),
    )


def _label(value: object) -> str:
    label = value.get("label") if isinstance(value, dict) else None
    return sound(str(label)) if isinstance(label, (str, int)) else ""
