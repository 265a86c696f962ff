"""The fields of the query language: their names, their allowed values, and what they say of a mention."""

from __future__ import annotations

import difflib
from typing import get_args

from index.models import ASPECTS, Intent, Mention, MentionKind, Sentiment
from index.text import fold

SENTIMENTS = {"负面": "negative", "中性": "neutral", "正面": "positive"}
_INTENTS = {
    "投诉": "complaint",
    "表扬": "praise",
    "咨询": "question",
    "提问": "question",
    "建议": "suggestion",
    "购买": "purchase",
    "其他": "other",
}
_KINDS = {
    "帖子": "post",
    "评论": "comment",
    "评价": "review",
    "文章": "article",
    "问答": "question",
    "投诉": "complaint",
}
_ASPECTS = {
    "物流": "logistics",
    "包装": "packaging",
    "质量": "quality",
    "价格": "price",
    "服务": "service",
    "售后": "aftersale",
    "正品": "authenticity",
    "食品安全": "food_safety",
    "口味": "taste",
    "分量": "portion",
    "功效": "efficacy",
    "气味": "smell",
    "尺码": "size",
    "环境": "environment",
    "外观": "appearance",
    "安全": "safety",
}
_PLATFORMS = {
    "微博": "weibo",
    "小红书": "xiaohongshu",
    "抖音": "douyin",
    "知乎": "zhihu",
    "b站": "bilibili",
    "黑猫": "heimao",
    "论坛": "forum",
    "新闻": "news",
}
_TRUE = {
    "true": "true",
    "yes": "true",
    "1": "true",
    "是": "true",
    "false": "false",
    "no": "false",
    "0": "false",
    "否": "false",
}

_NAMES = {
    "platform": "平台",
    "source": "来源",
    "topic": "主题",
    "sentiment": "情感",
    "intent": "意图",
    "severity": "严重",
    "aspect": "方面",
    "kind": "类型",
    "author": "作者",
    "verified": "认证",
    "region": "地区",
}
_BY_CHINESE = {chinese: name for name, chinese in _NAMES.items()}
_ALIASES = {"platform": _PLATFORMS, "sentiment": SENTIMENTS, "intent": _INTENTS, "kind": _KINDS, "verified": _TRUE}
_ALLOWED: dict[str, tuple[str, ...]] = {
    "sentiment": tuple(Sentiment),
    "intent": tuple(Intent),
    "severity": ("0", "1", "2"),
    "kind": get_args(MentionKind),
    "verified": ("true", "false"),
}


def field_name(written: str) -> str:
    """The field that is meant. Raises ValueError with a Chinese sentence that lists the fields."""
    folded = fold(written)
    name = _BY_CHINESE.get(folded, folded)
    if name not in _NAMES:
        near = difflib.get_close_matches(folded, [*_NAMES, *_BY_CHINESE], n=1)
        hint = f"是不是 {near[0]}? " if near else ""
        known = ", ".join(f"{each}({chinese})" for each, chinese in _NAMES.items())
        raise ValueError(f"没有名为 {written} 的字段. {hint}可用的有 {known}; 要查找冒号本身请加引号")
    return name


def field_value(name: str, written: str) -> str:
    """The value as the stores keep it. Raises ValueError with a Chinese sentence that lists the allowed ones."""
    if name == "aspect":
        return _aspect_value(written)
    if name in ("source", "topic"):
        return written.strip()
    folded = fold(written.strip())
    value = _ALIASES.get(name, {}).get(folded, folded)
    allowed = _ALLOWED.get(name)
    if allowed is not None and value not in allowed:
        chinese = _ALIASES.get(name, {})
        shown = ", ".join([*allowed, *(each for each in chinese if not each.isascii())])
        raise ValueError(f"字段 {name} 没有 {written} 这个值, 可用的有 {shown}")
    return value


def _aspect_value(written: str) -> str:
    aspect, _, polarity = fold(written.strip()).partition(":")
    aspect, polarity = _ASPECTS.get(aspect, aspect), SENTIMENTS.get(polarity, polarity)
    if aspect not in ASPECTS:
        raise ValueError(f"字段 aspect 没有 {written} 这个值, 可用的有 {', '.join([*ASPECTS, *_ASPECTS])}")
    if polarity and polarity not in tuple(Sentiment):
        raise ValueError(f"方面的倾向只能是 {', '.join([*Sentiment, *SENTIMENTS])}, 例如 aspect:taste:negative")
    return f"{aspect}:{polarity}" if polarity else aspect


def holds(name: str, value: str, mention: Mention) -> bool:
    """Whether the field of this mention has this value (as field_value returns it)."""
    persona = mention.persona
    if name == "topic":
        return value in mention.topics
    if name == "aspect":
        said = {(each.name, str(each.polarity)) for each in mention.aspects}
        aspect, _, polarity = value.partition(":")
        return any(each == aspect and polarity in ("", how) for each, how in said)
    if name == "severity":
        return mention.severity == int(value)
    if name == "author":
        return persona is not None and value in (fold(persona.name), fold(persona.id))
    if name == "verified":
        return persona is not None and persona.verified is (value == "true")
    if name == "region":
        return persona is not None and persona.region is not None and fold(persona.region) == value
    own: str | None = getattr(mention, name)
    return own == value
