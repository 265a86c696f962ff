"""Labelled rows to measure on: mentions with all labels, and held-out corpora with some."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from index.models import ASPECTS, Intent, Sentiment
from nlp.classifier import NlpError

CLASSES: dict[str, tuple[str, ...]] = {
    "intent": tuple(Intent),
    "sentiment": tuple(Sentiment),
    "severity": ("0", "1", "2"),
}
_SHORT_NAMES = {"t": "text", "i": "intent", "s": "sentiment", "a": "aspects", "acsa": "judged", "fs": "food_safety"}
"""Names of the fields of the corpora rows."""

NUMBERS = range(len(Sentiment))
"""How the corpora write sentiment: 0 negative, 1 neutral, 2 positive."""

CATEGORIES = {
    "功效": "efficacy", "使用体验": "efficacy", "包装": "packaging", "物流": "logistics", "真伪": "authenticity",
    "服务": "service", "气味": "smell", "价格": "price", "成分": "quality", "新鲜度": "quality", "尺寸": "size",
    "动力": "efficacy", "操控": "efficacy", "油耗": "efficacy", "配置": "efficacy", "安全性": "safety",
    "内饰": "appearance", "舒适性": "quality", "外观": "appearance", "空间": "size",
}  # fmt: skip
"""Aspect of the categories under which two corpora (cosmetics, cars) were judged."""


@dataclass(frozen=True, slots=True)
class Row:
    """A text and what is true of it; None where the row has no such label.

    polarity says how some of its aspects are spoken of. pair is the number that two rows of a set share,
    kind what a set calls a row.
    """

    text: str
    intent: str | None = None
    sentiment: str | None = None
    severity: str | None = None
    aspects: frozenset[str] | None = None
    polarity: Mapping[str, str] | None = None
    food_safety: bool | None = None
    pair: int | None = None
    kind: str | None = None


def read_rows(file: Path) -> list[Row]:
    """Rows of a JSON lines file, also gzipped. Raises NlpError with the line of the mistake."""
    if not file.is_file():
        raise NlpError(f"找不到数据文件 {file}; 请给出 .jsonl 或 .jsonl.gz 文件")
    rows = []
    try:
        with opened(file) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    rows.append(_row(line, f"{file} 第 {number} 行"))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as e:
        raise NlpError(f"数据文件 {file} 读不了: {e}") from e
    if not rows:
        raise NlpError(f"数据文件 {file} 里没有数据行")
    return rows


def sample(rows: Sequence[Row], n: int) -> list[Row]:
    """n rows in their order, the same every time, whatever order the file has; all if there are no more."""
    if len(rows) <= n:
        return list(rows)
    drawn = sorted(range(len(rows)), key=lambda at: (zlib.crc32(rows[at].text.encode()), at))[:n]
    return [rows[at] for at in sorted(drawn)]


def opened(file: Path) -> IO[str]:
    """A text file, unpacked if its name ends in .gz."""
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8")
    return file.open(encoding="utf-8")


def parsed(line: str, place: str) -> dict[str, Any]:
    """One row. place says for people where it stands; raises NlpError with it."""
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as e:
        raise NlpError(f"{place}不是有效的 JSON: {e}") from e
    if not isinstance(raw, dict):
        raise NlpError(f'{place}应是一个 JSON 对象, 如 {{"text": "…", "intent": "complaint"}}')
    return raw


def _row(line: str, place: str) -> Row:
    raw = parsed(line, place)
    if "text" not in raw:
        raw = {_SHORT_NAMES[name]: value for name, value in raw.items() if name in _SHORT_NAMES}
        number = raw.get("sentiment")
        if isinstance(number, int) and number in NUMBERS:
            raw["sentiment"] = CLASSES["sentiment"][number]
    if not isinstance(raw.get("text"), str):
        raise NlpError(f"{place}缺少文本字段 text (字符串)")
    known = {head: _label(head, raw.get(head), place) for head in CLASSES}
    return Row(
        text=raw["text"],
        aspects=_aspects(raw.get("aspects"), place),
        polarity=_polarity(raw.get("judged"), place),
        food_safety=_yes_or_no(raw.get("food_safety"), place),
        pair=raw.get("pair"),
        kind=raw.get("kind"),
        **known,
    )


def _label(head: str, value: object, place: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or str(value) not in CLASSES[head]:
        raise NlpError(f"{place}的 {head} 是未知的标签 {value!r}; 可用的有 {', '.join(CLASSES[head])}")
    return str(value)


def _aspects(value: object, place: str) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise NlpError(f'{place}的 aspects 应是列表, 如 ["taste", "price"]')
    for name in value:
        if name not in ASPECTS:
            raise NlpError(f"{place}的 aspects 里有未知的方面 {name!r}; 可用的有 {', '.join(ASPECTS)}")
    return frozenset(value)


def _polarity(value: Any, place: str) -> dict[str, str] | None:
    """Of aspects whose judged categories all say the same; one that is judged both ways has no polarity."""
    if value is None:
        return None
    judged: dict[str, set[int]] = {}
    try:
        for category, number in value:
            if category in CATEGORIES:
                judged.setdefault(CATEGORIES[category], set()).add(NUMBERS.index(int(number)))
        return {name: CLASSES["sentiment"][min(said)] for name, said in judged.items() if len(said) == 1}
    except (TypeError, ValueError, IndexError) as e:
        raise NlpError(f'{place}的 acsa 应是 [[类别, 0 到 2], …], 如 [["物流", 2]]') from e


def _yes_or_no(value: object, place: str) -> bool | None:
    if value not in (None, 0, 1):
        raise NlpError(f"{place}的 fs 应是 0 或 1, 现为 {value!r}")
    return None if value is None else bool(value)
