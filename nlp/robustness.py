"""Whether a reading stays when a text is written another way: script, width, typos, brands, signs.

Each change keeps what the text says, so a label that flips was read off the surface. A change applies to a text
if it changes it and leaves words.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from nlp.brands import BRANDS
from nlp.clean import URL
from nlp.figures import Reader
from nlp.names import hiding
from nlp.rows import Row

_EMOTICON = re.compile(r"\[[^\[\]\s]{1,6}\]|[\u2600-\u27bf\U0001f000-\U0001faff]\ufe0f?")
_LAST_SIGN = re.compile(r"[。.!！~～…]+\s*$")
_WORD_END = re.compile(r"[\w\u4e00-\u9fff]$")
_WORD = re.compile(r"\w")

# 的, 地 and 得 between Chinese characters, but where they are part of a word.
_CHINESE = "[\u4e00-\u9fff]"
_DE = re.compile(
    rf"(?<={_CHINESE})(?:的(?!确|士|话)|(?<![当各本基产场外两工土草实目心])地(?![方址铁区点图板上下球面道毯产])"
    rf"|(?<![觉值记获取懂舍晓省赢难不])得(?![到分意了罪体知]))(?={_CHINESE})"
)
_SOUNDS = {
    "垃圾": "辣鸡", "什么": "神马", "喜欢": "稀饭", "没有": "木有", "非常": "灰常", "可以": "阔以", "朋友": "盆友",
    "好吃": "好次", "可爱": "阔爱", "东西": "东东", "这样": "酱紫", "投诉": "投su", "退款": "退kuan", "骗子": "片子",
    "差评": "叉评", "便宜": "便yi", "价格": "价各", "问题": "问提", "真的": "真滴", "大家": "大伽", "知道": "造",
    "怎么": "肿么", "不要": "表", "悲剧": "杯具", "厉害": "腻害", "开心": "开森", "同学": "童鞋", "老板": "老班",
    "小姐姐": "小结结", "你妹": "泥妹", "质量": "质亮", "假货": "甲货",
}  # fmt: skip
_SLIPS = {
    "已经": "以经", "因为": "应为", "再": "在", "做": "作", "那么": "哪么", "账号": "帐号", "好像": "好象",
    "收到": "受到", "他": "她", "坐": "座", "应该": "因该", "以后": "以候", "其他": "其它", "必须": "必需",
    "刚刚": "刚钢", "觉得": "觉的", "一直": "一只", "带": "戴", "反应": "反映", "耽误": "担误", "继续": "继序",
}  # fmt: skip
"""What an input method or a hurried hand makes of words."""

_SHORT_NAMES = ("鹿野", "青禾", "山岚", "岚序", "沐川", "云杪", "拾光", "禾木")
_LONG_NAMES = ("青禾优选生活", "Lumora Pro", "北岸鲸落", "山岚Studio", "Nuvio", "小鹿出没", "第七码头", "Orka X2")
"""Invented brands."""

HEADS = ("sentiment", "intent")


@dataclass(frozen=True, slots=True)
class Change:
    """One way of writing a text differently. most is the share of flips that the change may bring, None: no line."""

    name: str
    apply: Callable[[str], str]
    most: float | None = None


def flips(rows: Sequence[Row], reader: Reader) -> dict[str, dict[str, Any]]:
    """Per change: to how many texts it applies (n), the share of labels that flip per head and of severity >= 1.

    Where the rows have labels, also by how much the accuracy changes.
    """
    texts = [row.text for row in rows]
    changed = {change.name: [_changed(change, text) for text in texts] for change in CHANGES}
    variants = [text for of_change in changed.values() for text in of_change if text is not None]
    read = dict(zip([*texts, *variants], reader.read([*texts, *variants]), strict=True))
    return {name: _flips_of(rows, of_change, read) for name, of_change in changed.items()}


def _changed(change: Change, text: str) -> str | None:
    other = change.apply(text)
    return other if other != text and _WORD.search(other) else None


def _flips_of(rows: Sequence[Row], changed: Sequence[str | None], read: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [(row, read[row.text], read[other]) for row, other in zip(rows, changed, strict=True) if other is not None]
    if not pairs:
        return {"n": 0}
    found: dict[str, Any] = {"n": len(pairs)}
    for head in HEADS:
        found[head] = sum(getattr(one, head) != getattr(other, head) for _, one, other in pairs) / len(pairs)
    found["severity_at_least_1"] = sum((one.severity >= 1) != (other.severity >= 1) for _, one, other in pairs) / len(
        pairs
    )
    for head in HEADS:
        judged = [(getattr(row, head), getattr(one, head), getattr(other, head)) for row, one, other in pairs]
        judged = [said for said in judged if said[0] is not None]
        if judged:
            gain = sum((other == true) - (one == true) for true, one, other in judged)
            found[f"{head}_accuracy_change"] = gain / len(judged)
    return found


@cache
def _converter(name: str) -> Any:
    import opencc

    return opencc.OpenCC(name)


def _traditional(text: str) -> str:
    return str(_converter("s2t").convert(text))


def _taiwanese(text: str) -> str:
    return str(_converter("s2twp").convert(text))


def _without_emoticons(text: str) -> str:
    return _EMOTICON.sub("", text).strip()


def _full_width(text: str) -> str:
    """Every printable ASCII sign in its full-width form; addresses stay."""
    table = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
    parts = re.split(f"({URL.pattern})", text, flags=re.I)
    return "".join(part if place % 2 else part.translate(table) for place, part in enumerate(parts))


def _mixed_de(text: str) -> str:
    def other(found: re.Match[str]) -> str:
        choices = [sign for sign in "的地得" if sign != found[0]]
        return choices[zlib.crc32(text.encode()) % 2]

    return _DE.sub(other, text)


def _replaced(words: Mapping[str, str]) -> Callable[[str], str]:
    pattern = re.compile("|".join(sorted(words, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda found: words[found[0]], text)


def _brands_swapped(names: Sequence[str]) -> Callable[[str], str]:
    """The same brand becomes the same name wherever it stands."""

    def swap(text: str) -> str:
        return BRANDS.sub(lambda found: names[zlib.crc32(found[0].lower().encode()) % len(names)], text)

    return swap


def _brands_hidden(text: str) -> str:
    """As the service reads it where every one of these brands is a topic."""
    names = dict.fromkeys(BRANDS.findall(text))
    return hiding([[name] for name in names])(text) if names else text


def _without_last_sign(text: str) -> str:
    return _LAST_SIGN.sub("", text)


def _with_full_stop(text: str) -> str:
    return f"{text}。" if _WORD_END.search(text) else text


CHANGES = (
    Change("traditional", _traditional, 0.03),
    Change("taiwanese", _taiwanese, 0.03),
    Change("full_width", _full_width, 0.03),
    Change("brand_short", _brands_swapped(_SHORT_NAMES), 0.03),
    Change("brand_long", _brands_swapped(_LONG_NAMES), 0.03),
    Change("brand_hidden", _brands_hidden),
    Change("no_emoticons", _without_emoticons),
    Change("de", _mixed_de),
    Change("sounds", _replaced(_SOUNDS)),
    Change("slips", _replaced(_SLIPS)),
    Change("no_last_sign", _without_last_sign),
    Change("full_stop", _with_full_stop),
)
