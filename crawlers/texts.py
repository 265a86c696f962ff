"""Bytes to text and HTML to plain text, for pages that declare the wrong character set."""

from __future__ import annotations

import codecs
import re

import lxml.etree  # type: ignore[import-untyped]
import lxml.html  # type: ignore[import-untyped]

_META = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "gb_2312-80": "gb18030", "x-gbk": "gb18030", "big5-hkscs": "big5hkscs"}
_BLOCKS = frozenset(
    (
        "article",
        "blockquote",
        "figcaption",
        "figure",
        "section",
        "p",
        "div",
        "br",
        "li",
        "tr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "dd",
        "dt",
        "hr",
        "pre",
        "table",
    )
)
_SILENT = frozenset(
    ("script", "style", "noscript", "template", "head", "title", "iframe", "object", "svg", "button", "form", "nav")
)


def decode(body: bytes, *, declared: str = "", override: str = "") -> str:
    """The text of a page.

    Bytes that are valid UTF-8 with at least one character beyond ASCII are UTF-8 whatever is declared: GBK text
    is hardly ever valid UTF-8 by chance. Else the declared set (HTTP header first, then the document) competes
    with GB18030 and Big5 by the share of everyday characters, since both decode almost anything.
    """
    if override:
        return body.decode(override, "replace")
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(encoding, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as e:
        if len(body) - e.start < 4:  # cut in the middle of the last character
            return body.decode("utf-8", "replace")

    names = [declared, *(found.decode("ascii", "replace") for found in _META.findall(body[:2048]))]
    candidates = [encoding for encoding in map(_codec, names) if encoding and encoding != "utf-8"]
    scored = [
        (_everyday(body, encoding) + (0.1 if encoding in candidates else 0), encoding)
        for encoding in dict.fromkeys([*candidates, "gb18030", "big5hkscs"])
    ]
    score, best = max(scored, key=lambda pair: pair[0])
    if score > 0.2:
        return body.decode(best, "replace")
    return body.decode(candidates[0] if candidates else "utf-8", "replace")


def _codec(name: str) -> str | None:
    name = _WIDER.get(name.strip().lower(), name.strip().lower())
    try:
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        return None


def _everyday(body: bytes, encoding: str) -> float:
    """Share of the non-ASCII characters that are in the first level of GB2312 or Big5, minus what is broken."""
    text = body[:65536].decode(encoding, "replace")
    foreign = [c for c in text if c > "\x7f"]
    if not foreign:
        return 0.0
    level = "big5" if encoding.startswith("big5") else "gb2312"
    first, last = (0xA4, 0xC6) if level == "big5" else (0xB0, 0xD7)
    good = 0
    for c in foreign:
        raw = c.encode(level, "ignore")
        good += len(raw) == 2 and (first <= raw[0] <= last or raw[0] in (0xA1, 0xA3))
    return good / len(foreign) - 2 * sum(c == "\ufffd" for c in foreign) / len(foreign)


def sound(text: str) -> str:
    """Text without NUL and without halves of characters: JSON that was cut inside an emoji holds those."""
    return re.sub(r"[\x00\ud800-\udfff]", "", text)


def clean_markup(html: str) -> str:
    """HTML that lxml takes: no NUL and no other control characters, no XML declaration."""
    html = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", "", html)
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", html)


def plain(html: str) -> str:
    """The visible text of an HTML fragment, one line per block; plain text passes. `<img alt="[笑]">` keeps its alt."""
    if "<" not in html and "&" not in html:
        return _tidy(html)
    try:
        root = lxml.html.fragment_fromstring(clean_markup(html), create_parent="div")
    except (lxml.etree.ParserError, lxml.etree.LxmlError, ValueError, AssertionError):
        return _tidy(re.sub(r"<[^>]*>", " ", html))
    return node_text(root)


def node_text(root: lxml.etree._Element) -> str:
    """The visible text of an element, one line per block."""
    parts: list[str] = []
    skip: lxml.etree._Element | None = None
    for event, node in lxml.etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        tag = node.tag if isinstance(node.tag, str) else ""
        if skip is None and event == "start":
            if tag in _SILENT and node is not root:
                skip = node
                continue
            if tag in _BLOCKS:
                parts.append("\n")
            if tag == "img" and (node.get("alt") or "").startswith("["):
                parts.append(node.get("alt") or "")
            parts.append(re.sub(r"\s+", " ", node.text or "") if tag != "pre" else node.text or "")
        elif event != "start":
            if skip is node:
                skip = None
            if skip is None:
                if tag in _BLOCKS and event == "end":
                    parts.append("\n")
                if node is not root:
                    parts.append(re.sub(r"\s+", " ", node.tail or ""))
    return _tidy("".join(parts))


def _tidy(text: str) -> str:
    lines = [re.sub(r"[ \t\r\f\v\xa0]+", " ", line).strip() for line in sound(text).splitlines()]
    return "\n".join(line for line in lines if line)
