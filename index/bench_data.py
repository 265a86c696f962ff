"""Synthetic mentions for measurements: varied Chinese text, Zipf topics, a rhythm of copies, labels given."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from index.models import ASPECTS, Aspect, Intent, Labels, Mention, Persona, Sentiment

END = datetime(2026, 11, 26, 2, 30, 17, 250_000, tzinfo=UTC)
"""`now` of the measurements; the mentions lie in the days before it."""
N_DAYS = 90
N_TOPICS = 20
N_KEYS = 13
BATCH = 2_000

_PLATFORMS = (
    *("weibo", "xiaohongshu", "douyin", "zhihu", "bilibili", "forum", "news", "appstore"),
    *("heimao", "tieba", "kuaishou", "wechat"),
)
_KINDS = ("post", "post", "comment", "comment", "comment", "review", "article", "question", "complaint")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_WHO = _words("我 我们 朋友 同事 闺蜜 孩子 老公 室友 邻居 隔壁桌 我妈 店员 前台 客服 骑手 老板")
_WHEN = _words("昨天 今天 刚才 上周 中午 晚上 早上 周末 这次 第一次 又 每次 双十一 出差 路过 下班")
_WHAT = _words(
    "拿铁 美式 新品 奶盖 外卖 包装 杯子 会员卡 优惠券 门店 座位 空调 小程序 快递 发货 物流 售后 "
    "退款 味道 价格 分量 温度 服务态度 排队 咖啡豆 蛋糕 面包 早餐 套餐 配送费 客服电话 发票 说明书 "
    "屏幕 电池 面料 尺码 气味"
)
_HOW = _words(
    "很好喝 太甜了 有点苦 没什么惊喜 值得回购 不会再来 贵了不少 便宜又好用 慢得离谱 比想象中好 "
    "完全不推荐 让人安心 漏了一半 少了一份 坏了没人管 态度很差 非常热情 拉肚子了 等了一个小时 "
    "第二天就到 退不了 和图片不一样 一般般吧 真香 绝了 无语 涨价了 打折很划算 闻着怪怪的 用着顺手 "
    "一直打不通 秒回 又坏了 挺干净 有点吵 刚刚好"
)
_LINKS = ("，", "。", "！", "～", "……", "，结果", "，而且", "，但是", "，所以", "？", "；", " ")
_TAILS = _words("有同感的吗 求推荐 避雷 已投诉 下次还来 看看怎么处理 图片见评论 #日常# iphone15拍的 😡 😂👍 5星 2杯 。")
# Everyday characters, put in at random so that the index meets many rare bigrams as well.
_CHARACTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 3_000)]
_TOPIC_SHARES = list(accumulate(1 / rank for rank in range(1, N_TOPICS + 1)))


def batches(
    n_mentions: int,
    chance: random.Random,
    *,
    since: datetime = END - timedelta(days=N_DAYS),
    until: datetime = END,
    first: int = 0,
) -> Iterator[list[Mention]]:
    """In the order of time, as a service meets them; first is the number in the id of the first."""
    step = (until - since) / n_mentions
    recent: list[Mention] = []
    batch = []
    for number in range(n_mentions):
        at = since + step * (number + chance.random())
        mention = synthetic(f"{first + number}", at.replace(microsecond=0), chance, recent)
        if not mention.is_copy:
            recent = [*recent[-199:], mention]
        batch.append(mention)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def synthetic(native_id: str, at: datetime, chance: random.Random, recent: list[Mention]) -> Mention:
    """One mention; every tenth repeats a recent one."""
    platform = _PLATFORMS[min(int(chance.expovariate(0.35)), len(_PLATFORMS) - 1)]
    original = chance.choice(recent) if recent and chance.random() < 0.1 else None
    topics = original.topics if original else tuple({_topic(chance) for _ in range(chance.choice((1, 1, 1, 1, 2)))})
    mention_id = f"{platform}:{native_id}"
    account = int(chance.paretovariate(0.6)) % 200_000
    return Mention(
        id=mention_id,
        platform=platform,
        kind=chance.choice(_KINDS),
        url=f"https://{platform}.example.com/post/{native_id}",
        text=original.text if original else a_text(chance),
        persona=Persona(id=f"{platform}:u{account}", name=f"用户{account}", followers=account),
        published_at=at,
        collected_at=at + timedelta(minutes=5),
        source=f"{platform}-{chance.choice('ab')}",
        story_id=original.story_id if original else mention_id,
        is_copy=original is not None,
        topics=topics,
        labels=_labels(chance),
        story_keys=tuple(chance.getrandbits(63) for _ in range(N_KEYS)),
    )


def topics() -> list[str]:
    return [f"topic-{number:02}" for number in range(N_TOPICS)]


def _topic(chance: random.Random) -> str:
    return f"topic-{bisect(_TOPIC_SHARES, chance.random() * _TOPIC_SHARES[-1]):02}"


def a_text(chance: random.Random) -> str:
    pieces = []
    for _ in range(chance.choice((1, 2, 3, 4, 5, 6, 9))):
        pieces += [chance.choice(_WHO), chance.choice(_WHEN), chance.choice(_WHAT), chance.choice(_HOW)]
        if chance.random() < 0.3:
            pieces += chance.choices(_CHARACTERS, k=chance.randrange(1, 5))
        pieces.append(chance.choice(_LINKS))
    return "".join([*pieces, chance.choice(_TAILS)])


def _labels(chance: random.Random) -> Labels:
    return Labels(
        sentiment=chance.choices(tuple(Sentiment), (30, 30, 40))[0],
        sentiment_probability=round(0.4 + 0.6 * chance.random(), 3),
        intent=chance.choice(tuple(Intent)),
        intent_probability=round(0.4 + 0.6 * chance.random(), 3),
        severity=chance.choices((0, 1, 2), (85, 12, 3))[0],
        severity_probability=0.9,
        aspects=tuple(
            Aspect(name=name, polarity=chance.choice(tuple(Sentiment)), probability=0.8)
            for name in chance.sample(ASPECTS, chance.choice((0, 0, 1, 1, 2)))
        ),
        model_version="bench-1",
    )
