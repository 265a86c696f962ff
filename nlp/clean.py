"""What becomes of a text: clean() for the store and the screen, own_words() for folding, for_model() for reading.

Nothing here trusts or runs what it reads; markup only ever becomes plain text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from index.text import fold

NAME_MARK = "\ue000"
URL_MARK = "\ue001"
FORWARD_MARK = "\ue002"
"""What for_model() puts in place of an @name, a URL and a forward sign. Private-use characters, so no text has them."""

MODEL_CHARS = 2000
"""The model reads at most so many characters: the beginning and, of longer texts, the last quarter from the end."""

_URL_CHARACTER = r"[^\s<>\"'，。！？；：、（）《》【】“”‘’一-鿿]"
URL = re.compile(rf"(?:(?:https?|ftp)://|www\.[a-z0-9][a-z0-9-]*\.){_URL_CHARACTER}+", re.I)
"""A web address in running Chinese text: it ends where Chinese or Chinese punctuation goes on without a blank."""

# Only what is a known tag with proper attributes counts as markup: "a<b 且 c>d" is a text. Everything is
# bounded and html.parser is not used, as its time grows with the square of what is broken.
_ATTRIBUTE = (
    r"\s{1,99}(?:[\w:@.-]{1,99}\s{0,9}=\s{0,9}(?:\"[^\"]{0,5000}\"|'[^']{0,5000}'|[^\s\"'<>]{1,5000})"
    r"|async|checked|controls|defer|disabled|hidden)"
)
_TAG = re.compile(
    r"</?(?P<name>a|abbr|article|audio|b|blockquote|body|br|button|center|code|dd|details|div|dl|dt|em|figure|font|footer"
    r"|form|h[1-6]|head|header|hr|html|i|iframe|img|input|label|li|link|main|mark|meta|nav|noscript|object|ol|option|p"
    r"|picture|pre|s|script|section|select|small|source|span|strong|style|sub|summary|sup|svg|table|tbody|td|textarea"
    rf"|tfoot|th|thead|time|title|tr|u|ul|video|wbr)(?:{_ATTRIBUTE}){{0,50}}\s{{0,99}}/?>"
    r"|<!doctype\b[^<>]{0,500}>|(?P<comment><!--)|<!\[cdata\[|\]\]>",
    re.I,
)
_BLOCK_TAG = re.compile(
    "article|blockquote|br|dd|details|div|dl|dt|figure|footer|form|h[1-6]|header|hr|li|main|nav|ol|option|p|pre|section"
    "|summary|table|td|th|tr|ul",
    re.I,
)
_COMMENT_END = re.compile("-->")
_SILENT_ENDS = {
    name: re.compile(rf"</{name}\s{{0,99}}>", re.I) for name in ("script", "style", "head", "iframe", "object", "svg")
}
"""What stands in these is never seen by a reader."""

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.I)

# C0 and C1 controls but tab and newline, soft hyphen, zero-width and direction marks, the byte order mark,
# halves of surrogate pairs and non-characters.
_INVISIBLE = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200c\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
)
_INVISIBLE_OR_OURS = re.compile(f"[{_INVISIBLE}{NAME_MARK}{URL_MARK}{FORWARD_MARK}]")
_INVISIBLE_BUT_OURS = re.compile(f"[{_INVISIBLE}]")
# A joiner holds an emoji family together; between anything else it only hides a word.
_LOOSE_JOINER = re.compile(
    "(?<![\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])\u200d|\u200d(?![\u2600-\u27bf\U0001f000-\U0001faff])"
)
_NEWLINES = re.compile(r"\r\n?|[\x85\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r" ?\n ?(?:\n ?)+")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0).isalnum()}
_FULL_WIDTH |= {0xFEE0 + ord(sign): ord(sign) for sign in "#$%&*+-/=@_"} | {0x3000: 0x20}

_FORWARD = re.compile(r"(?://|\|\|)\s*@[^\s:：/@]{1,40}\s*[:：]")
# 转发微博, 【转】, RT @name: at the beginning; never the first words of a sentence such as 转发到群里.
_FORWARD_PHRASE = re.compile(
    r"[\s\[【(（]*(?:转发微博|轉發微博|转发|轉發|转载|轉載|转|轉|repost|rt|fwd?)(?:[\]】)）\s:：，,。.]+|(?=@)|$)"
    r"(?:@[^\s:：/@]{1,40}\s*[:：]?)?\s*",
    re.I,
)
NAME = re.compile(r"@[\w\-·]{1,30}")


def clean(text: str) -> str:
    """The text as it is stored and shown: no markup, nothing invisible, tidy blanks, full-width letters plain."""
    return _tidy(text, without=_INVISIBLE_OR_OURS)


def own_words(text: str) -> str:
    """What the writer says, without the forward chain; of a bare forward, what is forwarded."""
    parts = (_without_forward_phrase(part) for part in _FORWARD.split(text))
    return next((part for part in parts if part), "")


def for_model(text: str) -> str:
    """The text as a model reads it: folded; a mark for every @name, address and forward sign. Marks that are there
    already stay, so that what was folded for training can be read like any other text."""
    text = URL.sub(URL_MARK, _tidy(text, without=_INVISIBLE_BUT_OURS))
    if len(text) > MODEL_CHARS:
        text = text[: MODEL_CHARS * 3 // 4] + "\n" + text[-MODEL_CHARS // 4 :]
    return fold(NAME.sub(NAME_MARK, _FORWARD.sub(FORWARD_MARK, text)))


def _tidy(text: str, *, without: re.Pattern[str]) -> str:
    if "<" in text or "&" in text:
        text = _without_markup(text)
    text = _NEWLINES.sub("\n", text)
    text = _LOOSE_JOINER.sub("", without.sub("", text)).translate(_FULL_WIDTH)
    text = _BLANKS.sub(" ", text)
    return _BLANK_LINES.sub("\n\n", text).replace(" \n", "\n").replace("\n ", "\n").strip()


def _without_forward_phrase(part: str) -> str:
    phrase = _FORWARD_PHRASE.match(part)
    return part[phrase.end() :].strip() if phrase else part.strip()


def _without_markup(text: str) -> str:
    """Tags out and entities decoded; a second round because feeds often carry markup that is escaped once more."""
    for _ in range(2):
        plain = _ENTITY.sub(_decoded, "".join(_visible(text)))
        if plain == text:
            break
        text = plain
    return text


def _visible(text: str) -> Iterator[str]:
    """The pieces of a text that are no markup. A comment or script that never ends is a text like any other."""
    at = 0
    endless: set[re.Pattern[str]] = set()
    for tag in _TAG.finditer(text):
        if tag.start() < at:
            continue
        yield text[at : tag.start()]
        at = tag.end()
        name = (tag["name"] or "").lower()
        ending = _COMMENT_END if tag["comment"] else None if tag[0].startswith("</") else _SILENT_ENDS.get(name)
        if ending is not None and ending not in endless:
            end = ending.search(text, at)
            if end is None:
                endless.add(ending)
            else:
                at = end.end()
        if tag["comment"] and ending in endless:
            yield tag[0]
        if _BLOCK_TAG.fullmatch(name):
            yield "\n"
    yield text[at:]


def _decoded(entity: re.Match[str]) -> str:
    return html.unescape(entity[0])
