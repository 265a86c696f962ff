"""Invented people: platform accounts with nicknames, and customers with names; seeded, no two alike on one platform."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

REGIONS = (
    ("浙江", 15), ("江苏", 13), ("上海", 12), ("广东", 11), ("北京", 8), ("四川", 7), ("湖北", 5), ("山东", 5),
    ("福建", 4), ("安徽", 4), ("湖南", 4), ("河南", 4), ("陕西", 3), ("重庆", 3), ("辽宁", 2), ("天津", 2),
    ("江西", 2), ("河北", 2), ("云南", 1), ("广西", 1), ("贵州", 1), ("黑龙江", 1), ("吉林", 1), ("山西", 1),
    ("海南", 1), ("甘肃", 1), ("内蒙古", 1), ("新疆", 1), ("香港", 1), ("台湾", 1),
)  # fmt: skip

_WORDS: dict[str, list[str]] = {
    kind: words.split()
    for kind, words in json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8")).items()
}
_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎"
_GIVEN = "晨雨欣怡子涵思远嘉宁若溪文博梓轩静姝书瑶一诺俊熙芷若明哲可心浩然依诺婉清安琪泽宇佳慧景行语桐亦凡云舒知远乐瑶"


@dataclass(frozen=True, slots=True)
class Person:
    """One account on one platform."""

    account: str
    name: str
    followers: int
    verified: bool
    region: str


def region(rng: Random) -> str:
    names = [name for name, _ in REGIONS]
    return rng.choices(names, [weight for _, weight in REGIONS])[0]


def people(n: int, rng: Random) -> list[Person]:
    """n accounts; most have a few hundred followers, one in thirty is a verified local medium or a big name."""
    names: set[str] = set()
    accounts: set[str] = set()
    found: list[Person] = []
    while len(found) < n:
        verified = rng.random() < 1 / 30
        name = _medium(rng) if verified else nickname(rng)
        account = f"{rng.randrange(10**9, 10**10)}"
        if name in names or account in accounts:
            continue
        names.add(name)
        accounts.add(account)
        # Follower counts of ordinary accounts are close to log-normal: median 180, a long tail.
        followers = int(math.exp(rng.gauss(11.2, 1.3))) if verified else int(math.exp(rng.gauss(5.2, 1.6)))
        found.append(Person(account, name, followers, verified, region(rng)))
    return found


def _word(kind: str, rng: Random) -> str:
    return rng.choice(_WORDS[kind])


def nickname(rng: Random) -> str:
    shape: Callable[[Random], str] = rng.choices(_SHAPES, _SHAPE_WEIGHTS)[0]
    return shape(rng)


def full_name(rng: Random) -> str:
    return rng.choice(_SURNAMES) + "".join(rng.sample(_GIVEN, rng.choice((1, 2, 2, 2))))


def _medium(rng: Random) -> str:
    return _word("media", rng).format(_word("media_place", rng))


def _described(rng: Random) -> str:
    return _word("adjective", rng) + _word("who", rng)


def _tailed(rng: Random) -> str:
    return rng.choice(("是", "我是", "叫我", "", "")) + _word("who", rng) + _word("tail", rng)


def _placed(rng: Random) -> str:
    return _word("place", rng) + rng.choice(("的", "有", "", "那只")) + _word("who", rng)


def _latin(rng: Random) -> str:
    return _word("latin", rng) + rng.choice(("_", "", "-", "·")) + rng.choice((_word("who", rng), _word("tail", rng)))


def _phrase(rng: Random) -> str:
    return _word("phrase", rng) + rng.choice(("", "", "_", str(rng.randrange(2, 99)), rng.choice("~。ˇ呢")))


def _numbered(rng: Random) -> str:
    return f"用户{rng.randrange(10**6, 10**10)}"


def _dated(rng: Random) -> str:
    return _word("who", rng) + rng.choice(("0", "", "_")) + f"{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"


_SHAPES = (_described, _tailed, _placed, _latin, _phrase, _numbered, _dated)
_SHAPE_WEIGHTS = (22, 22, 14, 12, 14, 6, 10)
