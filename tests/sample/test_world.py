"""What is posted when: determinism, the crisis, the supply of new posts, nobody real."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta

import pytest

from sample import timeline
from sample.orders import MENU
from sample.posts import Post, engagement
from sample.texts import load_texts
from sample.world import World
from tests.sample.conftest import ANCHOR

HOUR = timedelta(hours=1)
REAL_NAMES = (
    "星巴克",
    "瑞幸",
    "库迪",
    "蜜雪冰城",
    "喜茶",
    "奈雪",
    "古茗",
    "茶百道",
    "霸王茶姬",
    "沪上阿姨",
    "麦当劳",
    "肯德基",
    "必胜客",
    "雀巢",
    "三顿半",
    "永璞",
    "幸运咖",
    "挪瓦",
    "微博",
    "抖音",
    "小红书",
    "大众点评",
    "美团",
    "饿了么",
    "知乎",
    "黑猫",
    "淘宝",
    "京东",
    "拼多多",
    "快手",
    "豆瓣",
    "哔哩哔哩",
    "支付宝",
    "顺丰",
    "伊利",
    "蒙牛",
)


def hour_of(post: Post) -> int:
    """-1 is the last hour before the start."""
    return (post.published_at - ANCHOR) // HOUR


def first_hand(posts: list[Post]) -> list[Post]:
    return [post for post in posts if post.crisis and not post.is_reply and post.origin_id is None]


def test_the_same_start_gives_the_same_world(posts: list[Post]) -> None:
    assert World(ANCHOR).posts_until(ANCHOR) == posts


def test_time_only_adds_posts(world: World, posts: list[Post]) -> None:
    later = world.posts_until(ANCHOR + 5 * HOUR)
    assert later[: len(posts)] == posts
    assert len(later) > len(posts) + 100


def test_asking_for_a_far_time_at_once_gives_the_same_as_step_by_step() -> None:
    at_once = World(ANCHOR).posts_until(ANCHOR + 9 * HOUR)
    slowly = World(ANCHOR)
    for hour in range(9):
        slowly.posts_until(ANCHOR + hour * HOUR)
    assert slowly.posts_until(ANCHOR + 9 * HOUR) == at_once


def test_everything_lies_in_the_thirty_days_before_the_start(posts: list[Post]) -> None:
    assert ANCHOR - timedelta(days=timeline.PAST_DAYS) <= posts[0].published_at
    assert posts[-1].published_at <= ANCHOR
    assert posts == sorted(posts, key=lambda post: post.published_at)


def test_ids_are_unique_and_grow_with_time(posts: list[Post]) -> None:
    ids = [int(post.id) for post in posts]
    assert ids == sorted(set(ids))


def test_there_are_about_three_thousand_mentions(posts: list[Post]) -> None:
    assert 2400 <= len(posts) <= 3600


def test_few_texts_are_said_twice(posts: list[Post]) -> None:
    assert len({post.text for post in posts}) >= 0.85 * len(posts)


def test_every_platform_has_posts(posts: list[Post]) -> None:
    assert min(Counter(post.platform for post in posts).values()) > 50


def test_the_crisis_rises_as_promised(posts: list[Post]) -> None:
    whole = Counter(hour_of(post) for post in first_hand(posts))
    assert [whole[hour] for hour in range(-6, 0)] == list(timeline.CRISIS_BEFORE)
    assert set(whole) == set(range(-6, 0))
    copies = Counter(hour_of(post) for post in posts if post.crisis and post.origin_id)
    assert [copies[hour] for hour in range(-6, 0)] == list(timeline.COPIES_BEFORE)


def test_ordinary_negatives_stay_few_before_the_crisis(posts: list[Post]) -> None:
    negative = [post for post in posts if post.sentiment == "negative" and post.about in ("brand", "both")]
    per_hour = Counter(hour_of(post) for post in negative if not post.crisis and not post.is_reply)
    assert 0.5 < sum(per_hour.values()) / (timeline.PAST_DAYS * 24) < 4
    assert max(per_hour.values()) <= 10


def test_the_crisis_goes_from_the_forum_to_the_microblog_and_reaches_the_papers_hours_later(posts: list[Post]) -> None:
    crisis = first_hand(posts)
    begun = {
        platform: min(post.published_at for post in crisis if post.platform == platform)
        for platform in {post.platform for post in crisis}
    }
    order = sorted(begun, key=begun.__getitem__)
    assert order[:2] == ["shequ", "weiyan"]
    assert begun["wenzhang"] - begun["shequ"] > 3 * HOUR
    assert len(order) == 6


def test_what_is_copied_most_is_the_first_forum_post(posts: list[Post]) -> None:
    first = next(post for post in posts if post.crisis)
    copies = Counter(post.origin_id for post in posts if post.crisis and post.origin_id)
    assert copies.most_common(1)[0][0] == first.id
    assert copies[first.id] >= 50


def test_copies_come_after_what_they_copy(world: World) -> None:
    by_id = {post.id: post for post in world.posts_until(ANCHOR + 3 * HOUR)}
    for post in by_id.values():
        if post.origin_id:
            assert by_id[post.origin_id].published_at < post.published_at
            assert by_id[post.origin_id].text in post.text or post.platform == "weiyan"


def test_replies_come_after_their_thread_opens(posts: list[Post]) -> None:
    by_id = {post.id: post for post in posts}
    floors = [post for post in posts if post.floor_of]
    assert floors
    assert all(by_id[post.floor_of or ""].published_at < post.published_at for post in floors)


def test_a_few_new_posts_come_every_ten_minutes_and_never_end(world: World) -> None:
    def n_in(day: int) -> int:
        begins = ANCHOR + timedelta(days=day)
        return len(world.posts_until(begins + timedelta(days=1))) - len(world.posts_until(begins))

    assert n_in(0) > 300
    assert all(90 < n_in(day) < 350 for day in range(1, 8))


def test_new_product_posts_begin_with_its_launch(posts: list[Post]) -> None:
    launch = ANCHOR - timedelta(days=timeline.LAUNCH_DAYS)
    assert all(post.published_at >= launch for post in posts if "桂花冷萃" in post.text and not post.is_reply)


def test_no_placeholder_is_left(world: World) -> None:
    later = world.posts_until(ANCHOR + timedelta(days=2))
    assert not [post.text for post in later if "{" in post.text and "order" in post.text]


def test_a_named_order_belongs_to_a_customer_and_was_placed_before(world: World, posts: list[Post]) -> None:
    orders = {order.number: (buyer.customer_id, order.at) for buyer in world.buyers for order in buyer.orders}
    named = [post for post in posts if post.order_of]
    assert len(named) >= 40
    for post in named:
        number = re.findall(r"SL\d{12}", post.text)[-1]
        assert orders[number][0] == post.order_of
        assert orders[number][1] < post.published_at


def test_engagement_grows_and_then_stands_still(posts: list[Post]) -> None:
    post = max(posts, key=lambda post: post.likes)
    likes = [engagement(post, post.published_at + hours * HOUR)[0] for hours in (0, 1, 6, 40, 80)]
    assert likes[0] == 0
    assert likes == sorted(likes)
    assert likes[-1] == likes[-2] == post.likes


def test_authors_are_many_and_nicknames_unique_on_a_platform(posts: list[Post]) -> None:
    accounts = {(post.platform, post.author.account): post.author.name for post in posts}
    names = {(platform, name) for (platform, _), name in accounts.items()}
    assert len(names) == len(accounts)
    assert len(accounts) > 0.4 * len(posts)


@pytest.mark.parametrize("name", REAL_NAMES)
def test_no_real_brand_or_platform_is_named(posts: list[Post], name: str) -> None:
    said = [post.title + post.text + post.author.name for post in posts]
    said += [text.title + text.text + "".join(reply.text for reply in text.replies) for text in load_texts()]
    assert [one for one in (*said, *MENU) if name in one] == []


def test_another_start_moves_the_days_that_crisis_texts_name() -> None:
    start = datetime.fromisoformat("2027-03-02T10:00:00+08:00")
    texts = [text for text in load_texts() if text.crisis]
    posts = World(start, texts).posts_until(start + timedelta(hours=12))
    named = {
        int(day)
        for post in posts
        if not post.is_reply
        for day in re.findall(r"(?<!\d)(\d+)日(?:下午|晚|凌晨)", post.text)
    }
    assert named <= {2, 1, 28, 27, 26, 25}
