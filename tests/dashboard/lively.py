"""A store with a week in it: about 400 mentions, a crisis, alerts, tasks, customers, sources and runs.

python -m tests.dashboard.lively FOLDER     makes FOLDER/wensheng.db as of now
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from index.embedded import EmbeddedStore
from index.models import (
    Alert,
    Customer,
    Engagement,
    Event,
    Intent,
    Labels,
    Link,
    LinkState,
    Mention,
    MentionEdit,
    Notification,
    Order,
    Persona,
    Priority,
    Run,
    Sentiment,
    Source,
    Task,
    TaskState,
    Topic,
)
from index.store import Store
from tests.builders import a_mention, a_record, an_aspect

PLATFORMS = ("weiyan", "shequ", "pinglun", "appstore", "wenzhang", "tousu")
PLACES = ("南湖店", "学苑路店", "车站店", "江畔店", "科技园店", "老城店")
DRINKS = ("桂花拿铁", "冰美式", "燕麦拿铁", "手冲耶加", "海盐摩卡", "冷萃")
GOOD = (
    ("{drink}很香, {place}的店员还多送了一块饼干", "praise", "taste:positive service:positive"),
    ("路过{place}买了{drink}, 出杯快, 杯子也好看", "praise", "packaging:positive"),
    ("{place}环境安静, {drink}稳定发挥, 会再来", "praise", "environment:positive taste:positive"),
)
SO_SO = (
    ("{place}今天开到几点? 想去喝{drink}", "question", ""),
    ("{drink}第二杯半价, {place}排队的人不少", "other", "price:neutral"),
    ("建议{place}把{drink}做成小杯", "suggestion", "portion:neutral"),
)
BAD = (
    ("{place}的{drink}等了四十分钟, 问了两次都没人理", "complaint", "service:negative"),
    ("{drink}又涨价了, {place}的分量还变少了", "complaint", "price:negative portion:negative"),
    ("外卖送到时{drink}洒了一半, {place}说找骑手", "complaint", "logistics:negative aftersale:negative"),
)
CRISIS = (
    "喝完山岚咖啡的换季新品拉肚子了, 一家三口都这样",
    "换季新品有股怪味, 喝了两口就倒掉, 晚上拉肚子",
    "同事三个人喝了新品都拉肚子, {place}还在卖",
    "有人喝新品拉肚子吗? 我在{place}买的",
)
HOSTILE = (
    "<script>alert('x')</script> <img src=x onerror=alert(1)> **粗体** [点我](javascript:alert(1)) "
    ":red[红] :material/home: $x^2$ `代码` =CMD() http://evil.example/ www.evil.example a@evil.example | 表 | 格 |"
    "\n# 标题"
)


def a_lively_store(path: Path, *, now: datetime | None = None, n: int = 400) -> Store:
    store = EmbeddedStore(path)
    fill(store, now=now, n=n)
    return store


def fill(store: Store, *, now: datetime | None = None, n: int = 400) -> None:
    """Everything is made from one seed, relative to now."""
    now = (now or datetime.now(UTC)).astimezone(UTC)
    dice = random.Random(7)
    store.put_all([*topics(), *sources(now), *runs(now, dice), *customers(now, dice)])
    mentions = [*ordinary(now, dice, n), *crisis(now, dice), hostile(now)]
    store.add_mentions(mentions, now=now)
    made = links(now, mentions)
    store.put_all([*alerts(now, mentions), *notifications(now), *tasks(now, mentions), *made])
    for link in made:
        if link.state == LinkState.LINKED and link.mention_id:
            store.edit_mention(link.mention_id, MentionEdit(customer_id=link.customer_id))


def topics() -> list[Topic]:
    return [
        Topic(id="shanlan", name="山岚咖啡", kind="brand", query="山岚咖啡", provisioned=True),
        Topic(id="shanlan-new", name="山岚换季新品", kind="product", query="新品", provisioned=True),
        Topic(id="qingyu", name="青屿咖啡", kind="competitor", query="青屿咖啡", provisioned=True),
    ]


def sources(now: datetime) -> list[Source]:
    common = {"basis": "公开页面, 遵守 robots.txt", "reviewed": now.date(), "every_s": 900, "provisioned": True}
    fresh = {"last_outcome": "ok", "last_run_at": now - timedelta(minutes=4), "next_at": now + timedelta(minutes=11)}
    good = {**common, **fresh, "last_success_at": now - timedelta(minutes=4)}
    site = "https://example.com/"
    return [
        Source(id="weiyan", name="微言话题", kind="feed", platform="weiyan", url=site, last_run_id="weiyan-0", **good),
        Source(id="shequ", name="咖啡社区", kind="page", platform="shequ", url=site, last_run_id="shequ-0", **good),
        Source(id="pinglun", name="门店点评", kind="json", platform="pinglun", url=site, **good),
        Source(id="appstore", name="应用评论", kind="appstore", platform="appstore", url=site, **good),
        Source(
            id="tousu",
            name="投诉台",
            kind="page",
            platform="tousu",
            url=site,
            **{**good, "last_outcome": "blocked", "last_success_at": now - timedelta(hours=5)},
            n_failures=6,
            last_run_id="tousu-0",
        ),
        Source(id="wenzhang", name="本地资讯", kind="feed", platform="wenzhang", url=site, enabled=False),
    ]


def runs(now: datetime, dice: random.Random) -> list[Run]:
    made = []
    for source, outcome, message in (
        ("weiyan", "ok", "读到 23 条, 新增 9 条。"),
        ("shequ", "partial", "读到 40 条, 2 行读不懂, 已另存。"),
        ("tousu", "blocked", "对方返回 403, 可能限制了采集。请确认合规依据, 或联系对方取得授权。"),
    ):
        for number in range(6):
            at = now - timedelta(minutes=4 + 15 * number)
            made.append(
                a_record(
                    Run,
                    id=f"{source}-{number}",
                    source=source,
                    started_at=at - timedelta(seconds=dice.randint(2, 20)),
                    finished_at=at,
                    outcome=outcome,
                    message=message,
                    n_requests=dice.randint(1, 9),
                    n_items=0 if outcome == "blocked" else 23,
                    n_new=None if outcome == "blocked" else dice.randint(0, 9),
                    n_bad=2 if outcome == "partial" else 0,
                    bad_lines=("第 3 行: 日期 2099-01-01 不可信",) if outcome == "partial" else (),
                )
            )
    return made


def ordinary(now: datetime, dice: random.Random, n: int) -> list[Mention]:
    made = []
    for number in range(n):
        own = dice.random() < 0.72
        sentiment = dice.choices(list(Sentiment), weights=(2, 5, 4) if own else (3, 5, 3))[0]
        kinds = {Sentiment.NEGATIVE: BAD, Sentiment.NEUTRAL: SO_SO, Sentiment.POSITIVE: GOOD}[sentiment]
        pattern, intent, aspects = dice.choice(kinds)
        brand = "山岚咖啡" if own else "青屿咖啡"
        said = f"{brand}{pattern.format(place=dice.choice(PLACES), drink=dice.choice(DRINKS))}, 第{number}次来"
        published = now - timedelta(minutes=_daytime_minutes(now, dice))
        made.append(
            one(
                f"n{number}",
                said,
                published,
                now,
                dice,
                sentiment=sentiment,
                intent=Intent(intent),
                aspects=aspects,
                topics=("shanlan",) if own else ("qingyu",),
            )
        )
    return made


def _daytime_minutes(now: datetime, dice: random.Random) -> int:
    """Minutes ago, within seven days, more by day than by night.

    None is so old that it leaves a window of whole days within the hour that the tests take.
    """
    day = 24 * 60
    while True:
        minutes = dice.randrange(3, 7 * day)
        if minutes % day >= day - 60:
            continue
        hour = (now - timedelta(minutes=minutes) + timedelta(hours=8)).hour
        if 8 <= hour < 23 or dice.random() < 0.15:
            return minutes


def crisis(now: datetime, dice: random.Random) -> list[Mention]:
    made = []
    for number in range(46):
        said = dice.choice(CRISIS).format(place=dice.choice(PLACES)) + ("" if number < 2 else f", 编号{number}")
        at = now - timedelta(minutes=dice.randrange(2, 100))
        mention = one(
            f"c{number}",
            said,
            at,
            now,
            dice,
            sentiment=Sentiment.NEGATIVE,
            intent=Intent.COMPLAINT,
            aspects="food_safety:negative taste:negative",
            topics=("shanlan", "shanlan-new"),
            severity=dice.choice((1, 2)),
        )
        made.append(mention)
    for number in range(60):
        origin = made[0] if number < 42 else made[3]
        at = now - timedelta(minutes=dice.randrange(1, 60))
        copy = one(f"r{number}", origin.text, at, now, dice, sentiment=Sentiment.NEGATIVE, topics=origin.topics)
        made.append(copy.model_copy(update={"story_id": origin.id, "is_copy": True}))
    return [m if m.story_id else m.model_copy(update={"story_id": m.id}) for m in made]


def hostile(now: datetime) -> Mention:
    return a_mention(
        HOSTILE,
        id="weiyan:hostile",
        platform="weiyan",
        source="weiyan",
        title="=1+1 <b>标题</b>",
        published_at=now - timedelta(minutes=1),
        collected_at=now,
        persona=Persona(id="weiyan:u-hostile", name="**坏人** <b>", followers=12),
        url="javascript:alert(1)",
    )


def one(
    native_id: str,
    said: str,
    published: datetime,
    now: datetime,
    dice: random.Random,
    *,
    sentiment: Sentiment,
    intent: Intent = Intent.OTHER,
    aspects: str = "",
    topics: tuple[str, ...] = ("shanlan",),
    severity: int = 0,
) -> Mention:
    platform = dice.choice(PLATFORMS)
    return a_mention(
        said,
        id=f"{platform}:{native_id}",
        platform=platform,
        source=platform,
        kind={"appstore": "review", "tousu": "complaint", "wenzhang": "article"}.get(platform, "post"),
        url=f"https://example.com/{platform}/{native_id}",
        persona=Persona(
            id=f"{platform}:u{native_id}",
            name=f"{dice.choice('晴雨雪风云月星山')}{dice.choice('小大阿老')}{dice.choice('米豆鱼鹿猫芽')}{native_id}",
            followers=int(dice.lognormvariate(6, 2)),
            verified=dice.random() < 0.05,
        ),
        engagement=Engagement(likes=dice.randrange(300), comments=dice.randrange(40), reposts=dice.randrange(20)),
        published_at=published,
        collected_at=min(now, published + timedelta(minutes=5)),
        topics=topics,
        labels=Labels(
            sentiment=sentiment,
            sentiment_probability=round(dice.uniform(0.45, 0.99), 2),
            intent=intent,
            intent_probability=round(dice.uniform(0.45, 0.99), 2),
            severity=severity,
            severity_probability=0.8,
            aspects=tuple(an_aspect(each) for each in aspects.split()),
            model_version="linear-1",
        ),
    )


def alerts(now: datetime, mentions: list[Mention]) -> list[Alert]:
    evidence = tuple(m.id for m in mentions if ":c" in m.id)[:8]
    sentence = "近1小时“山岚换季新品”负面 46 条, 同时段通常 3±2 条, 这样多的概率低于 0.01%。"
    opened = now - timedelta(minutes=12)
    return [
        a_record(
            Alert,
            id="spike|shanlan-new|@1",
            key="spike|shanlan-new|",
            topic="shanlan-new",
            level="orange",
            peak_level="orange",
            sentence=sentence,
            value=46,
            expected=3.0,
            probability=0.00001,
            evidence=evidence,
            opened_at=opened,
            last_breach_at=now,
            timeline=(Event(at=opened, actor="system", action="opened", note=sentence),),
        ),
        a_record(
            Alert,
            id="quiet||tousu@1",
            key="quiet||tousu",
            rule="quiet",
            topic="",
            level="yellow",
            peak_level="yellow",
            reason="source_quiet",
            sentence="来源“投诉台”已连续 6 次被拦截, 最近 5 小时没有数据。",
            value=6,
            state="acknowledged",
            owner="林岚",
            acknowledged_at=now - timedelta(hours=1),
            opened_at=now - timedelta(hours=2),
            last_breach_at=now - timedelta(hours=1),
        ),
        a_record(
            Alert,
            id="spike|shanlan|@0",
            key="spike|shanlan|",
            level="yellow",
            peak_level="yellow",
            sentence="近1小时“山岚咖啡”负面 12 条, 同时段通常 2 条。",
            value=12,
            expected=2.0,
            state="resolved",
            opened_at=now - timedelta(days=3),
            last_breach_at=now - timedelta(days=3),
            resolved_at=now - timedelta(days=2, hours=20),
        ),
    ]


def notifications(now: datetime) -> list[Notification]:
    return [a_record(Notification, subject_id="spike|shanlan-new|@1", state="sent", sent_at=now, created_at=now)]


def tasks(now: datetime, mentions: list[Mention]) -> list[Task]:
    wanted = [m for m in mentions if m.intent == Intent.COMPLAINT and not m.is_copy and "qingyu" not in m.topics]
    made = []
    for number, mention in enumerate(wanted[-26:]):
        priority = (Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW)[number % 4]
        state, owner = (TaskState.OPEN, None) if number < 18 else (TaskState.CLAIMED, "小李")
        extra: dict[str, object] = {}
        if number >= 22:
            state = TaskState.WAITING
            extra = {"waiting_until": now + timedelta(hours=number)}
        if number >= 24:
            state = TaskState.CLOSED
            extra = {"outcome": "已解决", "closed_at": now - timedelta(hours=1), "replied_at": now - timedelta(hours=2)}
        made.append(
            a_record(
                Task,
                id=f"task:{mention.id}",
                mention_id=mention.id,
                topic="shanlan",
                intent=mention.intent,
                title=mention.text[:60],
                platform=mention.platform,
                priority=priority,
                priority_reasons=("文中说到食品安全", "粉丝 1.2 万") if number % 4 < 2 else ("普通投诉",),
                state=state,
                owner=owner,
                customer_id="K0001" if number == 5 else None,
                created_at=now - timedelta(minutes=30 + number),
                due_at=now + timedelta(minutes=-25 + 12 * number),
                resolve_by=now + timedelta(hours=8),
                timeline=(Event(at=now - timedelta(minutes=30 + number), actor="system", action="created"),),
                **extra,
            )
        )
    return made


def customers(now: datetime, dice: random.Random) -> list[Customer]:
    made = []
    for number in range(1, 25):
        orders = tuple(
            Order(
                number=f"SL{20261000000 + number * 100 + each}",
                at=now - timedelta(days=dice.randrange(2, 200)),
                amount=round(dice.uniform(18, 260), 2),
                items="、".join(dice.sample(DRINKS, 2)),
            )
            for each in range(dice.randrange(1, 7))
        )
        made.append(
            Customer(
                id=f"K{number:04}",
                name=dice.choice("陈林黄吴周郑何") + dice.choice("一二三四五六") + dice.choice("禾舟山岩"),
                phone_tail=f"{dice.randrange(10000):04}",
                handles=(f"weiyan:u{number}",),
                orders=orders,
                group=dice.choice("ABCDE"),
                tier=dice.choice(("金卡", "银卡", "")),
                tags=("多次投诉",) if number == 1 else (),
                created_at=now,
                updated_at=now,
            )
        )
    return made


def links(now: datetime, mentions: list[Mention]) -> list[Link]:
    wanted = [m for m in mentions if m.intent == Intent.COMPLAINT and m.persona and not m.is_copy][:3]
    made = []
    for number, mention in enumerate(wanted, 1):
        if mention.persona is None:
            continue
        made.append(
            a_record(
                Link,
                id=f"{mention.persona.id}>K{number:04}",
                persona_id=mention.persona.id,
                persona_name=mention.persona.name,
                customer_id=f"K{number:04}",
                state="linked" if number == 1 else "suggested",
                basis="order_number" if number == 1 else "name",
                confidence=1 if number == 1 else 0.4,
                evidence="文中写出了订单号 SL2026…01" if number == 1 else "昵称与客户姓名相近",
                mention_id=mention.id,
                created_at=now,
                history=(Event(at=now, actor="system", action="建议关联"),),
            )
        )
    return made


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    a_lively_store(folder / "wensheng.db").close()
