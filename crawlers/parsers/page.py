"""HTML pages -> mentions: a list page with links to article or thread pages, or such a page by itself.

The source's url is the list page if `links` is given, else the article or thread page itself. A selector is CSS
(`div.post h1`, `a::attr(href)`) or, when it starts with "/", "./" or "(", XPath (within a reply: "./"). The first
hit that is not empty counts; an element stands for its text.
Character sets (GB18030, Big5, UTF-8) are found out even when the site declares a wrong one.

Options beside the common ones (parsers/common.py):
    kind          default "article" (use "post" for forum threads)
    links         selector of the links to article or thread pages on a list page
    next          selector of the link to the next list page
    id_pattern    regular expression on the page's url; its first group is the native id (default: hash of the url)
    id            selector of the native id, where the page shows one (id_pattern then picks a part of it too)
    title         selector (default: og:title, h1, title)
    text          selector (default: the article found by trafilatura)
    published_at  selector (default: meta tags, JSON-LD, <time>, a date with a clock near the top,
                  then htmldate)
    author, author_id, region, followers, likes, comments, reposts, views    selectors, no default
    thread_next   selector of the link to the next page of the same thread
    replies       a table: replies on the page become mentions of kind "comment" with parent_id
        each          selector of one reply (needed)
        text, published_at      selectors within the reply (needed)
        id            selector within the reply (default: hash of its content); id_pattern picks a part of it
        author, author_id, region, likes    selectors within the reply
        kind          default "comment"
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

import lxml.etree  # type: ignore[import-untyped]
from parsel import Selector
from parsel.csstranslator import HTMLTranslator
from pydantic import BaseModel, ConfigDict, field_validator

from crawlers.fields import digest, native_id, parse_time
from crawlers.parsers.common import BadLine, CommonOptions, Draft, Parsed, finish, read_options, sort_out
from crawlers.texts import clean_markup, decode, node_text
from index.models import Mention, MentionKind
from settings import SourceSettings

_DATE_META = (
    "article:published_time",
    "og:published_time",
    "datePublished",
    "publishdate",
    "PubDate",
    "pubdate",
    "weibo: article:create_at",
    "bytedance:published_time",
)
_WRITTEN = re.compile(r"20\d\d\s*[-/年.]\s*\d{1,2}\s*[-/月.]\s*\d{1,2}日?\s*\d{1,2}:\d{2}(?::\d{2})?")
_TOP = 1500
"""So many characters of the visible text are looked at for a written date."""


def _checked_selector(value: str) -> str:
    try:
        lxml.etree.XPath(_xpath(value)) if value else None
    except (lxml.etree.XPathSyntaxError, ValueError, SyntaxError) as e:
        raise ValueError(f"选择器 {value!r} 写错了") from e
    return value


class Selectors(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = ""
    published_at: str = ""
    id: str = ""
    id_pattern: str = ""
    author: str = ""
    author_id: str = ""
    region: str = ""
    followers: str = ""
    likes: str = ""
    comments: str = ""
    reposts: str = ""
    views: str = ""

    @field_validator("*")
    @classmethod
    def _readable(cls, value: Any, info: Any) -> Any:
        if not isinstance(value, str) or info.field_name in ("kind", "encoding", "undated"):
            return value
        if info.field_name == "id_pattern":
            return _checked_pattern(value)
        return _checked_selector(value)


def _checked_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as e:
        raise ValueError(f"正则表达式 {value!r} 写错了") from e
    return value


class ReplySelectors(Selectors):
    each: str
    text: str
    published_at: str
    kind: MentionKind = "comment"


class PageOptions(CommonOptions, Selectors):
    kind: MentionKind = "article"
    links: str = ""
    next: str = ""
    title: str = ""
    thread_next: str = ""
    replies: ReplySelectors | None = None


def parse_list(body: bytes, url: str, *, source: SourceSettings, charset: str = "") -> Parsed:
    """The links of a list page and of the next one; a problem if there is no link at all."""
    options = read_options(PageOptions, source)
    root = _root(decode(body, declared=charset, override=options.encoding))
    if root is None:
        return Parsed(problem="返回的内容不是网页")
    links = tuple(dict.fromkeys(_links(root, options.links, url)))
    if not links:
        return Parsed(problem=f"列表页上找不到链接（选择器 links = {options.links!r}）")
    return Parsed(links=links, next_url=next(iter(_links(root, options.next, url)), None))


def parse(body: bytes, url: str, *, source: SourceSettings, now: datetime, charset: str = "") -> Parsed:
    """The article or opening post of a page, and its replies."""
    options = read_options(PageOptions, source)
    html = decode(body, declared=charset, override=options.encoding)
    root = _root(html)
    if root is None:
        return Parsed(problem="返回的内容不是网页")

    page_id = _matched(options.id_pattern, url) or native_id("", url)
    results: list[Mention | BadLine] = []
    draft = _opening(root, html, url, page_id, options, now)
    if draft is not None:
        results.append(finish(draft, source=source, options=options, now=now, where=url))
    if options.replies:
        for position, node in enumerate(_select(root, options.replies.each), start=1):
            reply = _reply(node, url, page_id, options.replies)
            results.append(finish(reply, source=source, options=options, now=now, where=f"{url} 第 {position} 条回复"))
    next_url = next(iter(_links(root, options.thread_next, url)), None)
    if not results:
        return Parsed(problem="页面上找不到正文", next_url=next_url)
    mentions, bad = sort_out(results)
    return Parsed(mentions=mentions, bad=bad, next_url=next_url)


def article(body: bytes, *, charset: str = "", encoding: str = "") -> str:
    """The article text of a page, empty if there is none (for feeds that only give a summary)."""
    return _article(decode(body, declared=charset, override=encoding))


def _opening(root: Selector, html: str, url: str, page_id: str, options: PageOptions, now: datetime) -> Draft | None:
    """The page's own text. None where selectors find nothing: later pages of a thread may hold replies only."""
    if options.text:
        text = _value(root, options.text)
        if not text:
            return None
    else:
        text = _article(html)
    title = _value(root, options.title) if options.title else _title(root)
    if not text and not options.title:
        return None  # a <title> alone is no article
    published: object = _value(root, options.published_at) if options.published_at else _published(root, html, url, now)
    draft = Draft(text=text, title=title, url=url, published=published, native_id=_own_id(root, options) or page_id)
    return _with_fields(draft, root, options)


def _reply(node: Selector, url: str, page_id: str, options: ReplySelectors) -> Draft:
    draft = _with_fields(
        Draft(
            text=_value(node, options.text),
            url=url,
            published=_value(node, options.published_at),
            kind=options.kind,
            parent_id=page_id,
        ),
        node,
        options,
    )
    own = _own_id(node, options) or digest(f"{page_id}|{draft.author}|{draft.text}")
    return replace(draft, native_id=own)


def _own_id(node: Selector, options: Selectors) -> str:
    said = _value(node, options.id)
    return native_id(_matched(options.id_pattern, said) or said)


def _with_fields(draft: Draft, node: Selector, options: Selectors) -> Draft:
    return replace(
        draft,
        author=_value(node, options.author),
        author_id=_value(node, options.author_id),
        region=_value(node, options.region),
        followers=_value(node, options.followers),
        likes=_value(node, options.likes),
        comments=_value(node, options.comments),
        reposts=_value(node, options.reposts),
        views=_value(node, options.views),
    )


# ------------------------------------------------------------------------------------------- reading HTML


def _root(html: str) -> Selector | None:
    html = clean_markup(html)
    if not re.search(r"<\s*[a-zA-Z!]", html):
        return None
    try:
        selector = Selector(text=html, type="html")
        return selector if selector.root is not None and selector.xpath("//body//*") else None
    except (ValueError, lxml.etree.LxmlError):
        return None


def _xpath(selector: str) -> str:
    if selector.startswith(("/", "./", "(")):
        return selector
    return HTMLTranslator().css_to_xpath(selector)


def _select(node: Selector, selector: str) -> list[Selector]:
    return list(node.xpath(_xpath(selector))) if selector else []


def _value(node: Selector, selector: str) -> str:
    """The text of the first hit: an attribute or text node as it is, an element as plain text."""
    for hit in _select(node, selector):
        root = hit.root
        text = node_text(root) if isinstance(root, lxml.etree._Element) else str(root).strip()
        if text:
            return text
    return ""


def _links(node: Selector, selector: str, base: str) -> list[str]:
    links = []
    for hit in _select(node, selector):
        root = hit.root
        link = (root.get("href") or "") if isinstance(root, lxml.etree._Element) else str(root)
        try:
            link = urljoin(base, link.strip()).partition("#")[0]
        except ValueError:
            continue
        if link.startswith(("http://", "https://")):
            links.append(link)
    return links


def _matched(pattern: str, text: str) -> str:
    match = re.search(pattern, text) if pattern else None
    return (match[1] if match.re.groups else match[0]) or "" if match else ""


def _title(root: Selector) -> str:
    for query in ("//meta[@property='og:title']/@content", "//h1", "//title"):
        for hit in root.xpath(query):
            text = " ".join((hit.root if isinstance(hit.root, str) else hit.xpath("string()").get("")).split())
            if text:
                return text
    return ""


def _article(html: str) -> str:
    import trafilatura

    try:
        return trafilatura.extract(clean_markup(html), include_comments=False, favor_precision=True) or ""
    except Exception:  # noqa: BLE001 - trafilatura promises None, but odd trees still raise from lxml deep inside
        return ""


def _published(root: Selector, html: str, url: str, now: datetime) -> str:
    """What the page says of its time, with the offset where there is one; htmldate has the last word."""
    for name in _DATE_META:
        for said in root.xpath("//meta[@property=$n or @name=$n or @itemprop=$n]/@content", n=name).getall():
            if parse_time(said, now=now):
                return said
    for block in root.xpath("//script[@type='application/ld+json']/text()").getall():
        said = _json_ld_date(block)
        if said and parse_time(said, now=now):
            return said
    for said in root.xpath("//time/@datetime | //*[@itemprop='datePublished']/@content").getall():
        if parse_time(said, now=now):
            return said
    return _written_date(root, now) or _found_date(html, url, now)


def _json_ld_date(block: str) -> str:
    try:
        data = json.loads(block, strict=False)
    except (ValueError, RecursionError):
        return ""
    nodes = data if isinstance(data, list) else data.get("@graph", [data]) if isinstance(data, dict) else []
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, dict) and isinstance(node.get("datePublished"), str):
            return str(node["datePublished"])
    return ""


def _written_date(root: Selector, now: datetime) -> str:
    """The first full date with a clock time near the top of the visible text, as Chinese news sites print it."""
    body = root.xpath("//body")
    match = _WRITTEN.search(node_text(body[0].root)[:_TOP]) if body else None
    return match[0] if match and parse_time(match[0], now=now) else ""


def _found_date(html: str, url: str, now: datetime) -> str:
    from htmldate import find_date

    try:
        found = find_date(
            clean_markup(html),
            url=url,
            original_date=True,
            extensive_search=False,  # the extensive one takes the year of a copyright line for a date
            outputformat="%Y-%m-%d %H:%M",
            max_date=now.replace(tzinfo=None),
        )
    except Exception:  # noqa: BLE001 - as for trafilatura: lxml can raise from deep inside on garbage
        return ""
    return found or ""
