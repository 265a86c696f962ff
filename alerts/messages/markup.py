"""Markdown that three bots read alike, in which nothing that strangers wrote can act."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

# Backslashes are not understood by every bot, so signs that act are replaced by their full-width twins.
_ACTING = str.maketrans({sign: chr(ord(sign) + 0xFEE0) for sign in "<>[]()`*_#~|@\\&!"})
_LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]*)\)")
_DASHES = re.compile(r"[-=+]{2,}")


def inert(text: str, limit: int = 120) -> str:
    """A stranger's text on one line, without signs that bots or mail programs act on."""
    seen = "".join(sign if unicodedata.category(sign)[0] != "C" else " " for sign in text)
    line = _DASHES.sub("—", " ".join(seen.split()))
    # Bots turn a bare address into a link; without its scheme it stays text.
    line = re.sub(r"(?i)\b(https?|ftp|javascript|data)\s*:/*", r"\1：", line).replace("://", "：//")
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return line.translate(_ACTING)


def link(text: str, url: str) -> str:
    """A Markdown link if the address is one of the web, else only the text (already inert)."""
    if not re.match(r"https?://[^\s/]", url):
        return text
    safe = quote(url, safe="%/:=&?~#+!$,;'@-._")
    return f"[{text}]({safe})"


def plain(markdown: str) -> str:
    """The same without Markdown, for mail."""
    text = _LINK.sub(r"\1 \2", markdown).replace("**", "")
    return re.sub(r"(?m)^> ", "  ", text)


def cut_bytes(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, cut at a line or at least between characters."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    kept = raw[: limit - 8].decode("utf-8", "ignore")
    head, _, _ = kept.rpartition("\n")
    return (head if len(head) > len(kept) // 2 else kept) + "\n…"
