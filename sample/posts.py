"""One post of the sample world, and how its text, numbers and reposts are made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from sample.people import Person
from sample.texts import Text
from sample.timeline import BEIJING

PLATFORMS = {
    "weiyan": "微言",
    "shequ": "咖啡社区论坛",
    "appstore": "App Store",
    "pinglun": "本地生活点评",
    "wenzhang": "资讯文章",
    "tousu": "投诉台",
}
BRAND_WORDS = ("山岚", "岚咖")
COMPETITOR_WORDS = ("青屿",)
_ORDER_NUMBER = re.compile(r"SL\d{12}|\{order\}")
_CRISIS_DAY = re.compile(r"(?<![\d.,:/-])(9|1[0-6])(?=[日号](?!线|楼|店|桌|口|柜|窗))")
_CRISIS_DAY_OF_START = 14


@dataclass(frozen=True, slots=True)
class Post:
    """One public post. The counts are those it will reach in the end; engagement() says those of now.

    floor_of is the thread a forum floor belongs to, is_reply that it answers there in a few words; origin_id is the
    post that this one copies or, when forwarded, quotes. order_of is the customer whose order number it names.
    """

    id: str
    platform: str
    about: str
    theme: str
    crisis: bool
    sentiment: str
    title: str
    text: str
    author: Person
    published_at: datetime
    likes: int
    comments: int
    reposts: int
    views: int
    floor_of: str | None = None
    is_reply: bool = False
    origin_id: str | None = None
    rating: int | None = None
    forwarded: bool = False
    order_of: str | None = None


def engagement(post: Post, now: datetime) -> tuple[int, int, int, int]:
    """Likes, comments, reposts, views so far: they grow for about a day and then stand still."""
    age_h = max(0.0, (now - post.published_at) / timedelta(hours=1))
    share = 1.0 if age_h > 30 else 1 - math.exp(-age_h / 5)
    likes, comments, reposts, views = (int(n * share) for n in (post.likes, post.comments, post.reposts, post.views))
    return likes, comments, reposts, views


def heat(author: Person, rng: Random, *, crisis: bool, story: bool) -> tuple[int, int, int, int]:
    """Final counts of a post; a story that everybody copies is far hotter than the rest."""
    likes = math.exp(rng.gauss(1.3, 1.3)) * (1 + author.followers / 5000) ** 0.6
    likes *= 60 if story else 4 if crisis else 1
    n = int(likes)
    return n, int(n * rng.uniform(0.1, 0.6)), int(n * rng.uniform(0.02, 0.4)), int((n + 3) * rng.uniform(20, 90))


def stars(text: Text, rng: Random) -> int | None:
    """One to five, of reviews only."""
    if text.platform not in ("appstore", "pinglun"):
        return None
    return text.rating or rng.choice(_STARS[text.sentiment])


def named(text: Text, rng: Random) -> str:
    """The text with a hashtag or order number where the platform's users would put one.

    A post on a microblog that leaves out the brand is found by its hashtag, as on real ones.
    """
    body = text.text
    if text.platform != "weiyan":
        return body
    words, tags = {
        "brand": (BRAND_WORDS, _CRISIS_TAGS if text.crisis else _BRAND_TAGS),
        "competitor": (COMPETITOR_WORDS, ("#青屿咖啡#", "#青屿咖啡# ", "#今天喝青屿#")),
    }.get(text.about, ((), ()))
    if not tags or any(word in body for word in words):
        return body
    return f"{rng.choice(tags)}{body}" if rng.random() < 0.5 else f"{body} {rng.choice(tags).strip()}"


def dated(body: str, anchor_at: datetime) -> str:
    """The days that a crisis text names, moved to where the site starts; none lies after it."""

    def moved(found: re.Match[str]) -> str:
        days = min(0, int(found[0]) - _CRISIS_DAY_OF_START)
        return str((anchor_at.astimezone(BEIJING) + timedelta(days=days)).day)

    return _CRISIS_DAY.sub(moved, body)


def with_order_number(body: str, number: str, rng: Random) -> str:
    if _ORDER_NUMBER.search(body):
        return _ORDER_NUMBER.sub(number, body)
    return f"{body.rstrip()}{rng.choice(_ORDER_PHRASES).format(number)}"


def has_order_number(body: str) -> bool:
    return bool(_ORDER_NUMBER.search(body))


def copied(body: str, rng: Random) -> str:
    """What others post when they copy: mostly the very text, else with a link, a tag or a face at its end."""
    return body if rng.random() < 0.6 else f"{body}{rng.choice(_COPY_TAILS).format(_short_link(rng))}"


def forwarded(body: str, author: str, rng: Random, *, crisis: bool) -> str:
    """A comment before the forwarded text, in the //@ form of microblogs."""
    comment = rng.choice(_CRISIS_COMMENTS if crisis else _COMMENTS)
    return f"{comment}//@{author}:{body}"


def varied(body: str, rng: Random) -> str:
    """An older text said again in a slightly different way (the supply of written texts is finite)."""
    return f"{rng.choice(_OPENINGS)}{body}{rng.choice(_CLOSINGS)}"


def _short_link(rng: Random) -> str:
    return "https://wy.example/" + "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789", k=6))


_STARS = {"negative": (1, 1, 1, 2), "neutral": (3, 3, 4), "positive": (5, 5, 4)}
_CRISIS_TAGS = (
    "#山岚咖啡桂花冷萃拉肚子#",
    "#山岚咖啡新品#",
    "#山岚咖啡桂花冷萃#",
    "#喝山岚咖啡新品进医院#",
    "#山岚咖啡 食品安全# ",
)
_BRAND_TAGS = ("#山岚咖啡#", "#今天喝山岚#", "#山岚咖啡打卡#", "#我的山岚时刻#")
_ORDER_PHRASES = ("（订单号：{}）", " 订单编号{}", "\n订单号 {}，请尽快处理。", " 单号{}，截图都在。")
_COPY_TAILS = (" {}", " 网页链接 {}", "😱", "😡😡", " #山岚咖啡桂花冷萃拉肚子#", " 扩散", "（转）", " #食品安全#")
_CRISIS_COMMENTS = (
    "天哪，我昨天刚喝过",
    "转给办公室的同事们看看",
    "这也太吓人了吧😱",
    "扩散！喝过的人注意身体",
    "我朋友也中招了，正在输液",
    "等一个官方说法",
    "昨晚我也拉了三次，原来是它",
    "12315走起",
    "刚下单还没取，能退吗",
    "难怪今天公司请假的人这么多",
    "第几次了？食品安全不是小事",
    "求市场监管部门查一查",
    "幸好今天没买到",
    "看得我肚子一紧",
    "这批货到底卖了多少杯啊",
    "@ 我老公，别再喝了",
    "还在宣传新品，心真大",
    "不敢喝了",
    "姐妹你现在好点没",
    "同款症状，上海浦东",
    "同，南京新街口店",
    "先观望，等检测结果",
)
_COMMENTS = (
    "哈哈哈哈真实",
    "同感",
    "说的就是我本人",
    "路过点个赞",
    "我们这边的店也是这样",
    "学到了",
    "看饿了",
    "明天去试试",
    "附议",
    "蹲一个后续",
    "转发微言",
    "这个角度好新鲜",
    "不至于吧",
    "笑死",
    "记下了",
    "想起上次在杭州喝的那杯",
    "给室友看看",
    "有一说一确实",
)
_OPENINGS = (
    "",
    "再说一遍：",
    "今天又想起来，",
    "补充一下，",
    "刚刚路过门店，",
    "周末随手记：",
    "还是想说，",
    "更新：",
    "跟朋友聊起，",
)
_CLOSINGS = ("", "～", "。就这样。", "（个人感受）", " 大家觉得呢", "🙂", " 记录一下", " 有同感的吗", "……")
