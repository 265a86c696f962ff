"""The customer file of the sample: who bought what, and under which names some of them write."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import datetime
from pathlib import Path
from random import Random

from sample.orders import Buyer
from sample.people import nickname
from sample.posts import Post
from sample.timeline import BEIJING
from sample.world import World

COLUMNS = (
    "customer_id",  # the shop's own number
    "name",
    "phone",  # kept as its last four digits by the import
    "handles",  # platform:nickname, several with ; between
    "tier",
    "tags",  # several with ; between
    "note",
    "order_number",  # one row per order; the columns before are repeated
    "order_at",  # ISO time with offset
    "order_amount",  # yuan
    "order_items",
)
N_IN_CRISIS, N_OTHERS, N_SILENT = 26, 54, 40


def write_customers(path: Path, anchor_at: datetime, *, world: World | None = None) -> int:
    """Write the CSV, one row per order; returns how many customers there are."""
    world = World(anchor_at) if world is None else world
    handles = known_handles(world)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for buyer in world.buyers:
            person = (buyer.customer_id, buyer.name, buyer.phone, ";".join(handles.get(buyer.customer_id, ())))
            about = (buyer.tier, ";".join(buyer.tags), buyer.note)
            for order in buyer.orders:
                at = order.at.astimezone(BEIJING).isoformat(timespec="seconds")
                writer.writerow((*person, *about, order.number, at, f"{order.amount:.2f}", order.items))
    return len(world.buyers)


def known_handles(world: World) -> dict[str, tuple[str, ...]]:
    """Handles that customers gave, by customer id.

    26 wrote about the crisis, 54 wrote at another time, 40 gave a nickname under which nobody wrote yet; the rest
    gave none. Every fifth of those who wrote gave the nickname on another platform than the one they write on,
    which is only a hint.
    """
    rng = Random("wensheng-sample handles")
    posts = [post for post in world.posts_until(world.anchor_at) if post.about in ("brand", "both")]
    n_by_name = Counter(name for name, _ in {(post.author.name, post.platform) for post in posts})
    free = [buyer for buyer in world.buyers if not _named_an_order(buyer, posts)]
    rng.shuffle(free)
    # The regulars write more often than those who came once.
    free.sort(key=_n_orders, reverse=True)
    in_crisis = _writers(posts, N_IN_CRISIS, rng, crisis=True, but=set())
    others = _writers(posts, N_OTHERS, rng, crisis=False, but={_who(post) for post in in_crisis})
    wrote = [*in_crisis, *others]
    rng.shuffle(wrote)
    handles: dict[str, tuple[str, ...]] = {}
    for i, post in enumerate(wrote[: len(free)]):
        elsewhere = "pinglun" if post.platform == "weiyan" else "weiyan"
        given = elsewhere if i % 5 == 4 and n_by_name[post.author.name] == 1 else post.platform
        handles[free[i].customer_id] = (f"{given}:{post.author.name}",)
    for buyer in free[len(wrote) : len(wrote) + N_SILENT]:
        handles[buyer.customer_id] = (f"weiyan:{nickname(rng)}_{buyer.customer_id[1:]}",)
    return handles


def _named_an_order(buyer: Buyer, posts: list[Post]) -> bool:
    return any(post.order_of == buyer.customer_id for post in posts)


def _n_orders(buyer: Buyer) -> int:
    return len(buyer.orders)


def _who(post: Post) -> tuple[str, str]:
    return post.platform, post.author.name


def _writers(posts: list[Post], n: int, rng: Random, *, crisis: bool, but: set[tuple[str, str]]) -> list[Post]:
    """One post each of n different personas of whom no order is known from their words."""
    by_author: dict[tuple[str, str], Post] = {}
    for post in posts:
        plain = not post.origin_id and not post.author.verified and not post.order_of and _who(post) not in but
        if plain and post.crisis == crisis and post.platform in ("weiyan", "shequ", "pinglun", "appstore"):
            by_author.setdefault(_who(post), post)
    found = list(by_author.values())
    return rng.sample(found, min(n, len(found)))
