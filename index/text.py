"""One folding and one tokenisation of Chinese text, shared by both stores and by the topic matcher.

fold() makes texts comparable: NFKC, lower case, traditional characters as simplified ones, one by one,
so that a substring of a text is still one after folding. tokens() turns folded text into the bigrams
that both stores index: every Chinese character yields itself with its successor, or alone at the end of
a Chinese run; a Latin word or a number yields itself, and so does an emoji; a run of anything else
yields one break token, so that a phrase never reaches across punctuation. "Chinese" here is every
letter beyond ASCII. TEXT_VERSION is stored with an index: another one means rebuild.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from operator import add

TEXT_VERSION = 1
BREAK = "␣"

_EMOJI = "\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_LATIN = ("[a-z]", "[0-9]")
_CHINESE = r"[^\W_a-z0-9]"
_OTHER = rf"(?:[^\w{_EMOJI}]|_)+"
_RUN = re.compile(rf"([a-z]+|[0-9]+|[{_EMOJI}])|({_CHINESE}+)|{_OTHER}")

# normalize() takes a tenth of the time on a text that it need not change, and most texts have nothing but these.
_COMMON_WIDE = tuple((wide, unicodedata.normalize("NFKC", wide)) for wide in "，！？：；（）～…\u3000")

# Written between characters to hide a word from filters, or left over from emoji; they are no part of what is said.
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff]")


@cache
def _simplified() -> tuple[re.Pattern[str], dict[str, str]]:
    """Character table of OpenCC's t2s; per character, because word-wise conversion would break substrings.

    With a pattern of its characters: most texts have none, and str.translate would look at each of theirs.
    """
    import opencc

    converter = opencc.OpenCC("t2s")
    table: dict[str, str] = {}
    for block in (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xF900, 0xFB00)):
        for code in block:
            character = unicodedata.normalize("NFKC", chr(code))
            simplified = converter.convert(character)
            if simplified != character and len(simplified) == 1:
                table[chr(code)] = simplified
    # A few simplified forms are themselves variants of others: followed to the end, folding twice changes nothing.
    table = {character: table.get(simplified, simplified) for character, simplified in table.items()}
    return re.compile(f"[{''.join(table)}]"), table


def fold(text: str) -> str:
    """The comparable form of a text; idempotent."""
    if text.isascii():
        return text.lower()
    traditional, table = _simplified()
    text = _INVISIBLE.sub("", text)
    for wide, narrow in _COMMON_WIDE:
        text = text.replace(wide, narrow)
    folded = unicodedata.normalize("NFKC", text).lower()
    return traditional.sub(lambda found: table[found[0]], folded)


def search_text(title: str, text: str) -> str:
    """What is searched of a mention, folded: its title and its text, which no phrase joins."""
    return fold(f"{title}\n{text}") if title else fold(text)


def units(folded: str) -> list[str]:
    """The text as single Chinese characters, Latin words, numbers, emoji and breaks."""
    found: list[str] = []
    for word, chinese in _RUN.findall(folded):
        if chinese:
            found.extend(chinese)
        else:
            found.append(word or BREAK)
    return found


def tokens(folded: str) -> str:
    """The text as tokens with a space between, for the full-text index."""
    found: list[str] = []
    for word, chinese in _RUN.findall(folded):
        if chinese:
            found.extend(map(add, chinese, chinese[1:]))
            found.append(chinese[-1])
        else:
            found.append(word or BREAK)
    return " ".join(found)


def phrase(folded: str) -> tuple[str, bool] | None:
    """The words as tokens that must follow each other, and whether the last token is only the start of one.

    A Chinese character at the end stands for every bigram that begins with it, unless the bigram before
    it covers it already. None if there is nothing but punctuation.
    """
    found = tokens(folded).split(" ")
    while found and found[0] in ("", BREAK):
        del found[0]
    while found and found[-1] in ("", BREAK):
        del found[-1]
    if not found:
        return None
    if not _is_chinese(found[-1]):
        return " ".join(found), False
    if len(found) > 1 and len(found[-2]) == 2 and _is_chinese(found[-2]) and found[-2][1] == found[-1]:
        return " ".join(found[:-1]), False
    return " ".join(found), True


def _is_chinese(token: str) -> bool:
    return re.match(_CHINESE, token) is not None


@lru_cache(maxsize=100_000)
def pattern(folded: str) -> re.Pattern[str] | None:
    """Finds the words in folded text just as the index does; None if there is nothing but punctuation."""
    pieces = [_OTHER if unit == BREAK else whole(unit) for unit in trimmed(units(folded))]
    return re.compile("".join(pieces)) if pieces else None


def whole(folded: str) -> str:
    """Pattern of these very characters where they are cut out of no Latin word and no number."""
    behind = "".join(f"(?!{kind})" for kind in _LATIN if re.match(kind, folded[-1]))
    return _begun(folded) + behind


@lru_cache(maxsize=100_000)
def prefix_pattern(folded: str) -> re.Pattern[str]:
    """Finds where a word or number begins with these characters."""
    return re.compile(_begun(folded))


def _begun(folded: str) -> str:
    before = "".join(f"(?<!{kind})" for kind in _LATIN if re.match(kind, folded))
    return before + re.escape(folded)


def contains(folded: str, words: str) -> bool:
    """Whether folded text contains folded words, as the full-text index would say."""
    if words.isalnum() and not _HAS_ASCII.search(words):
        return words in folded
    found = pattern(words)
    return found is not None and found.search(folded) is not None


_HAS_ASCII = re.compile("[a-z0-9]")


def trimmed(parts: list[str]) -> list[str]:
    """Without the breaks at both ends."""
    start, end = 0, len(parts)
    while start < end and parts[start] == BREAK:
        start += 1
    while end > start and parts[end - 1] == BREAK:
        end -= 1
    return parts[start:end]
