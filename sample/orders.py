"""Invented customers of the brand and what they ordered; dates hang on the start of the site."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from sample.people import full_name
from sample.timeline import BEIJING, LAUNCH_DAYS, spread

N_CUSTOMERS = 200
SEASONAL = "桂花冷萃拿铁"
MENU = {
    SEASONAL: 22.0, "云雾美式": 15.0, "燕麦拿铁": 19.0, "海盐焦糖拿铁": 21.0, "山岚澳白": 20.0, "乌龙冷萃": 18.0,
    "青柑气泡美式": 18.0, "可颂": 12.0, "红豆司康": 13.0, "挂耳咖啡礼盒": 89.0, "云雾拼配豆200g": 68.0, "随行杯": 109.0,
}  # fmt: skip
_POPULAR = (20, 18, 16, 10, 9, 8, 5, 8, 5, 3, 3, 1)


@dataclass(frozen=True, slots=True)
class Order:
    number: str
    at: datetime
    amount: float
    items: str


@dataclass(frozen=True, slots=True)
class Buyer:
    """A customer as the shop's own system knows them: no platform accounts yet."""

    customer_id: str
    name: str
    phone: str
    tier: str
    tags: tuple[str, ...]
    note: str
    orders: tuple[Order, ...]


def buyers(anchor_at: datetime) -> list[Buyer]:
    """200 customers: 30 regulars, 60 who come now and then, 110 seen once or twice; one in five tried the new product
    in the day before the crisis."""
    rng = Random("wensheng-sample buyers")
    names: set[str] = set()
    while len(names) < N_CUSTOMERS:
        names.add(full_name(rng))
    found = []
    for i, name in enumerate(sorted(names, key=lambda _: rng.random())):
        n_orders = rng.randint(8, 18) if i < 30 else rng.randint(3, 6) if i < 90 else rng.randint(1, 2)
        orders = [_order(at, rng, anchor_at) for at in _order_times(n_orders, anchor_at, rng)]
        if i % 5 == 0:
            at = anchor_at - timedelta(hours=rng.uniform(7, 30))
            orders.append(Order("", at, MENU[SEASONAL], f"{SEASONAL}x1"))
        # 1990000xxxx: a block that no operator has handed out to the public.
        found.append(
            Buyer(
                customer_id=f"C{i + 1:04d}",
                name=name,
                phone=f"1990000{1000 + i * 37 % 9000:04d}",
                tier="金卡" if i < 30 else "银卡" if i < 90 else "普通",
                tags=_tags(i, rng),
                note=rng.choice(_NOTES) if rng.random() < 0.12 else "",
                orders=tuple(sorted(orders, key=_time)),
            )
        )
    return _numbered(found)


def _time(order: Order) -> datetime:
    return order.at


def _order_times(n: int, anchor_at: datetime, rng: Random) -> list[datetime]:
    days = rng.choice((40, 90, 180)) if n > 2 else rng.choice((8, 30, 120, 300))
    return spread(n, anchor_at - timedelta(days=days), anchor_at - timedelta(hours=8), rng)


def _order(at: datetime, rng: Random, anchor_at: datetime) -> Order:
    basket = Counter(rng.choices(list(MENU), _POPULAR, k=rng.choice((1, 1, 1, 2, 2, 3))))
    if at < anchor_at - timedelta(days=LAUNCH_DAYS):
        seasonal = basket.pop(SEASONAL, 0)
        basket["云雾美式"] += seasonal
    basket = +basket
    amount = sum(MENU[item] * n for item, n in basket.items()) * rng.choice((1, 1, 0.88, 0.75))
    return Order("", at, round(amount, 2), "；".join(f"{item}x{n}" for item, n in basket.items()))


def _tags(i: int, rng: Random) -> tuple[str, ...]:
    tags = [tag for tag, share in _TAGS.items() if rng.random() < share]
    return (*(("老客户",) if i < 60 else ()), *tags)


def _numbered(found: list[Buyer]) -> list[Buyer]:
    """Order numbers as the shop gives them: SL, the Beijing day, a running number of that day."""
    per_day: Counter[str] = Counter()
    numbers: dict[int, str] = {}
    for order in sorted((order for buyer in found for order in buyer.orders), key=_time):
        day = f"{order.at.astimezone(BEIJING):%Y%m%d}"
        per_day[day] += 1
        numbers[id(order)] = f"SL{day}{per_day[day] * 7 % 10000:04d}"
    return [
        replace(buyer, orders=tuple(replace(order, number=numbers[id(order)]) for order in buyer.orders))
        for buyer in found
    ]


_TAGS = {"公司团购": 0.08, "学生": 0.12, "早餐时段": 0.15, "常点外卖": 0.2, "储值卡": 0.18, "乳糖不耐": 0.03}
_NOTES = (
    "曾反映外卖洒漏，已补送",
    "生日月送过赠饮",
    "偏好少冰",
    "企业采购联系人",
    "对客服回电较敏感，优先文字联系",
    "参加过九月品鉴会",
)
