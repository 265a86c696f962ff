"""Foreign text made harmless for Markdown, with the words that were searched for marked in it."""

from __future__ import annotations

import re

from index import text as texts
from index.query import And, Near, Node, Or, Prefix, Words

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_JOINER = "\u2060"
"""WORD JOINER, invisible: the page's renderer still finds links, e-mails and emoji codes in escaped text."""


def escape(text: str) -> str:
    """One line of Markdown that shows exactly the text, whatever it holds."""
    one_line = "".join(c for c in " ".join(text.split()) if c.isprintable() and c != _JOINER)
    escaped = _PUNCTUATION.sub(r"\\\1", one_line)
    escaped = re.sub(r"([:@])", rf"\1{_JOINER}", escaped)
    return re.sub(r"(?i)(www)(?=\\?\.)", rf"\1{_JOINER}", escaped)


def words_of(node: Node | None) -> tuple[str, ...]:
    """The texts a query looks for (not those it excludes)."""
    match node:
        case Words(text) | Prefix(text):
            return (text,)
        case Near(parts, _):
            return parts
        case And(parts) | Or(parts):
            return tuple(word for part in parts for word in words_of(part))
        case _:
            return ()


def hits(text: str, words: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the words stand, as ranges of the text as it is written; folding may change lengths."""
    folded, origin = [], []
    for position, character in enumerate(text):
        for unit in texts.fold(character):
            folded.append(unit)
            origin.append(position)
    haystack = "".join(folded)
    ranges: list[tuple[int, int]] = []
    for word in sorted({texts.fold(word) for word in words if word.strip()}):
        start = haystack.find(word)
        while start >= 0:
            ranges.append((origin[start], origin[start + len(word) - 1] + 1))
            start = haystack.find(word, start + len(word))
    return _merged(ranges)


def snippet(text: str, words: tuple[str, ...] = (), *, limit: int = 140) -> str:
    """About `limit` characters of the text as Markdown, the first hit in view and all hits marked."""
    flat = " ".join(text.split())
    found = hits(flat, words)
    start = max(0, found[0][0] - limit // 3) if found and found[0][1] > limit else 0
    end = min(len(flat), start + limit)
    pieces = ["…"] if start else []
    position = start
    for low, high in found:
        if low < position or high > end:
            continue
        pieces += [escape_inner(flat[position:low]), f":orange-background[{escape_inner(flat[low:high])}]"]
        position = high
    pieces.append(escape_inner(flat[position:end]))
    return "".join([*pieces, "…"] if end < len(flat) else pieces)


def escape_inner(text: str) -> str:
    """escape() for a piece of a line: spaces at its ends stay."""
    if not text.strip():
        return " " if text else ""
    return (" " if text[0].isspace() else "") + escape(text) + (" " if text[-1].isspace() else "")


def badge(label: str, colour: str, icon: str = "") -> str:
    """A small badge inside a line of Markdown."""
    return f":{colour}-badge[{icon + ' ' if icon else ''}{escape(label)}]"


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
