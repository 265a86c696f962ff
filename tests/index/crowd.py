"""Random mentions that differ in everything a query can ask for, and random queries."""

from __future__ import annotations

from datetime import timedelta

from index.models import Intent, Sentiment
from index.store import MentionQuery
from tests.builders import NOW, a_mention, a_persona, a_review, ago, some_labels

DIMENSIONS = (
    *("sentiment", "intent", "severity", "topic", "platform", "source", "kind", "day", "hour", "five_minutes"),
    *("aspect", "aspect_polarity", "story", "persona", "customer", "model_version"),
)


def a_crowd(chance, n):
    """Mentions that differ in everything that a query can ask for."""
    crowd = []
    for number in range(n):
        original = chance.choice(crowd) if crowd and chance.random() < 0.2 else None
        aspects = " ".join(
            f"{name}:{chance.choice(tuple(Sentiment))}" for name in chance.choices(("taste", "price", "size"), k=2)
        )
        labels = some_labels(
            chance.choice(tuple(Sentiment)),
            chance.choice(tuple(Intent)),
            chance.randrange(3),
            aspects if chance.random() < 0.6 else "",
            intent_probability=chance.choice((0.3, 0.6, 0.95)),
            model_version=chance.choice(("m1", "m2")),
        )
        crowd.append(
            a_mention(
                "".join(chance.choices("咖啡店山岚，。a1 😡", k=chance.randrange(1, 12))),
                title=chance.choice(("", "咖啡")),
                id=f"p{number % 3}:{number}",
                platform=chance.choice(("weibo", "zhihu")),
                source=chance.choice(("s1", "s2")),
                kind=chance.choice(("post", "comment")),
                topics=tuple(chance.sample(("a", "b", "c"), chance.randrange(4))),
                published_at=ago(
                    hours=chance.choice((0, 1, 30, 31, 80)),
                    minutes=chance.randrange(60),
                    seconds=chance.choice((0, 0.5, 17)),
                ),
                labels=labels if chance.random() < 0.8 else None,
                persona=a_persona(number % 4, verified=chance.choice((None, True, False))) if number % 5 else None,
                customer_id=chance.choice((None, None, "c1")),
                story_id=original.story_id if original else f"p{number % 3}:{number}",
                is_copy=original is not None,
                hidden=chance.choice((None, None, None, "广告")),
                review=a_review() if chance.random() < 0.1 else None,
            )
        )
    return crowd


WORDS = ("", "", "咖啡", "店", "咖啡 店", "咖啡 OR 山岚", "咖啡 -店", "-店", "a", "NEAR/2(咖啡 店)", "😡")
FIELD_QUERIES = (
    *("platform:weibo", "咖啡 platform:zhihu", "咖啡 OR sentiment:negative", "-topic:a 店", "aspect:taste:negative"),
    *("NEAR/1(店 咖啡) OR verified:true", "NOT (咖啡 OR severity:2)", "author:用户1 OR author:weibo:u2", "kind:post a"),
    *("NEAR/3(店 咖啡) sentiment:positive -a", "NOT NEAR/2(咖啡 店)"),
)


def a_query(chance):
    def maybe(values, share=0.25):
        return chance.choice(values) if chance.random() < share else None

    fields = {
        "text": chance.choice(WORDS + FIELD_QUERIES),
        "topics": maybe((("a",), ("a", "b"), ("c",), ("b", "c", "nothing")), 0.5),
        "since": maybe((ago(hours=31), ago(hours=30, minutes=20.5), ago(days=3, seconds=0.25)), 0.5),
        "until": maybe((NOW, ago(minutes=30), ago(hours=1, seconds=0.5), ago(hours=30, minutes=30)), 0.5),
        "platforms": maybe((("weibo",), ("weibo", "zhihu"))),
        "sources": maybe((("s1",),), 0.15),
        "sentiments": maybe(((Sentiment.NEGATIVE,), (Sentiment.NEGATIVE, Sentiment.POSITIVE))),
        "intents": maybe(((Intent.COMPLAINT, Intent.OTHER),), 0.15),
        "severity_from": maybe((0, 1), 0.15),
        "aspects": maybe((("taste",), ("taste", "price")), 0.15),
        "aspect_polarity": maybe((Sentiment.NEGATIVE,), 0.15),
        "story_id": maybe(("p0:0", "p1:1"), 0.05),
        "persona_ids": maybe((("weibo:u1",), ("weibo:u2", "weibo:u3")), 0.1),
        "customer_id": maybe(("c1",), 0.1),
        "confidence_below": maybe((0.5, 0.9), 0.1),
        "model_version_not": maybe(("m1",), 0.1),
        "indexed_since": maybe((ago(hours=1), NOW), 0.1),
        "indexed_until": maybe((NOW + timedelta(hours=1),), 0.1),
        "copies": maybe(("fold", "fold", "only"), 0.5),
        "hidden": maybe(("only", "with"), 0.3),
    }
    return MentionQuery(**{name: value for name, value in fields.items() if value is not None})
