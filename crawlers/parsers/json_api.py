"""Any JSON API or licensed data feed -> mentions, by a field map of JMESPath expressions in the source's options.

The source's url is the first request. Options beside the common ones (parsers/common.py):
    kind          default "post"
    items         JMESPath of the list of items in the answer (needed), e.g. "data.list"
    fields        a table of JMESPath expressions within one item; text and published_at are needed:
                  id, text, title, url, published_at, author, author_id, followers, verified, region,
                  likes, comments, reposts, views, rating (1-5), parent_id, kind
    html          true: text is HTML and becomes plain text
    url_template  "https://example.com/p/{id}" where an item has no url
    code          JMESPath of the answer's own result code, with ok_codes (default [0, 200, "0", "200", "ok"]),
                  login_codes, blocked_codes and error (JMESPath of the message)
    paging, one of
        page_param    query parameter counted up from page_start (default 1) by page_step (default 1; use the
                      page size where the parameter is an offset) until a page holds no item
        cursor_param  query parameter that gets the value of `cursor` (JMESPath, needed then) until that is empty
        next          JMESPath of the next page's URL
    has_more      JMESPath; paging ends when it is false
    keep_cursor   true: the last cursor is kept and the next run goes on from there (default false)
    body          a table: the request is a POST with this as JSON; paging parameters go into it
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal, get_args
from urllib.parse import quote

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import Field, field_validator, model_validator
from w3lib.url import add_or_replace_parameters

from crawlers.fields import native_id
from crawlers.parsers.common import ITEM_FIELDS, BadLine, CommonOptions, Draft, Parsed, finish, read_options, sort_out
from crawlers.texts import decode, plain, sound
from index.models import Mention, MentionKind
from settings import SourceSettings


class JsonOptions(CommonOptions):
    items: str
    fields: dict[str, str]
    html: bool = False
    url_template: str = ""
    code: str = ""
    ok_codes: tuple[int | str, ...] = (0, 200, "0", "200", "ok")
    login_codes: tuple[int | str, ...] = ()
    blocked_codes: tuple[int | str, ...] = ()
    error: str = ""
    page_param: str = ""
    page_start: int = 1
    page_step: int = Field(1, ge=1)
    cursor_param: str = ""
    cursor: str = ""
    next: str = ""
    has_more: str = ""
    keep_cursor: bool = False
    body: dict[str, Any] | None = None

    @field_validator("items", "code", "error", "cursor", "next", "has_more")
    @classmethod
    def _compiles(cls, value: str) -> str:
        return _checked(value)

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(value) - set(ITEM_FIELDS))
        if unknown:
            raise ValueError(f"fields 里不认识的字段 {'、'.join(unknown)}；可用：{'、'.join(ITEM_FIELDS)}")
        missing = [name for name in ("text", "published_at") if name not in value]
        if missing:
            raise ValueError(f"fields 里缺 {'、'.join(missing)}")
        return {name: _checked(expression) for name, expression in value.items()}

    @model_validator(mode="after")
    def _one_way_of_paging(self) -> JsonOptions:
        if sum(map(bool, (self.page_param, self.cursor_param, self.next))) > 1:
            raise ValueError("page_param、cursor_param、next 只能用一个")
        if bool(self.cursor_param) != bool(self.cursor):
            raise ValueError("cursor_param 和 cursor 要一起给出")
        return self


def _checked(expression: str) -> str:
    try:
        jmespath.compile(expression) if expression else None
    except JMESPathError as e:
        raise ValueError(f"JMESPath 表达式 {expression!r} 写错了") from e
    return expression


def page_url(
    url: str, options: JsonOptions, *, page: int = 0, cursor: str | None = None
) -> tuple[str, dict[str, Any] | None]:
    """URL and JSON body of the request for the page-th page (from 0) or for a cursor."""
    extra: dict[str, Any] = {}
    if options.page_param:
        extra[options.page_param] = options.page_start + page * options.page_step
    if options.cursor_param and cursor:
        extra[options.cursor_param] = cursor
    if options.body is not None:
        return url, options.body | extra
    return (add_or_replace_parameters(url, {name: str(value) for name, value in extra.items()}) if extra else url), None


def parse(body: bytes, url: str, *, source: SourceSettings, now: datetime, charset: str = "") -> Parsed:
    """The items of one answer; next_url or cursor says where to go on."""
    options = read_options(JsonOptions, source)
    try:
        data = json.loads(decode(body, declared=charset, override=options.encoding))
    except (ValueError, RecursionError):
        return Parsed(problem="返回的内容不是 JSON")

    if refusal := _refusal(data, options):
        return refusal
    items = _search(options.items, data)
    if items is None:
        return Parsed(problem=f"返回的 JSON 里找不到 items（{options.items}）")
    items = items if isinstance(items, list) else [items]
    results: list[Mention | BadLine] = []
    for position, item in enumerate(items, start=1):
        draft = _draft(item, options)
        where = draft.url or f"{url} 第 {position} 条"
        results.append(finish(draft, source=source, options=options, now=now, where=where))
    mentions, bad = sort_out(results)
    if items and not mentions and not any(line.line.get("text") for line in bad):
        return Parsed(bad=bad, problem=f"{len(items)} 条里没有一条有正文（fields.text = {options.fields['text']}）")
    more = not options.has_more or bool(_search(options.has_more, data))
    cursor = _search(options.cursor, data)
    next_url = _search(options.next, data)
    return Parsed(
        mentions=mentions,
        bad=bad,
        cursor=str(cursor) if more and cursor not in (None, "", False, 0, "0") else None,
        next_url=(_string(next_url) or None) if more else None,
        more=more,
    )


def _refusal(data: Any, options: JsonOptions) -> Parsed | None:
    """The answer's own code, where it says no."""
    if not options.code:
        return None
    code = _search(options.code, data)
    if code in options.ok_codes or code is None:
        return None
    said = _string(_search(options.error, data))[:100]
    message = f"接口返回代码 {code}" + (f"（{said}）" if said else "")
    refused: Literal["", "login", "blocked"] = ""
    if code in options.login_codes:
        refused = "login"
    elif code in options.blocked_codes:
        refused = "blocked"
    return Parsed(problem=message, refused=refused)


def _draft(item: Any, options: JsonOptions) -> Draft:
    read = {name: _search(expression, item) for name, expression in options.fields.items()}
    said = _string(read.get("id"))
    url = _string(read.get("url"))
    if not url and said and options.url_template:
        url = options.url_template.replace("{id}", quote(said, safe=""))
    text, title = _string(read.get("text")), _string(read.get("title"))
    kind = read.get("kind")
    return Draft(
        text=plain(text) if options.html else text,
        title=plain(title) if options.html else title,
        url=url,
        native_id=native_id(said, url),
        published=_published(read.get("published_at")),
        kind=kind if kind in get_args(MentionKind) else None,
        author=_string(read.get("author")),
        author_id=_string(read.get("author_id")),
        followers=read.get("followers"),
        verified=read.get("verified"),
        region=_string(read.get("region")),
        likes=read.get("likes"),
        comments=read.get("comments"),
        reposts=read.get("reposts"),
        views=read.get("views"),
        rating=read.get("rating"),
        parent_id=native_id(_string(read.get("parent_id"))),
    )


def _published(value: Any) -> object:
    return sound(value) if isinstance(value, str) else value


def _search(expression: str, data: Any) -> Any:
    try:
        return jmespath.search(expression, data) if expression else None
    except (JMESPathError, TypeError, ValueError, RecursionError):  # a function applied to what it does not take
        return None


def _string(value: Any) -> str:
    return sound(str(value)) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
