"""Small builders of valid things for tests: name only what the test is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from index.models import Aspect, Intent, Labels, Mention, Persona, Review, Sentiment

NOW = datetime(2026, 11, 26, 2, 30, tzinfo=UTC)
"""10:30 on a Thursday in Beijing: the usual `now` of tests."""

_numbers = count(1)


def ago(**parts: float) -> datetime:
    """NOW less a timedelta: ago(hours=3)."""
    return NOW - timedelta(**parts)


def some_labels(
    sentiment: str = "negative", intent: str = "complaint", severity: int = 0, aspects: str = "", **changes: Any
) -> Labels:
    """Labels; aspects are written `taste:negative price:positive`."""
    fields: dict[str, Any] = {
        "sentiment": sentiment,
        "sentiment_probability": 0.9,
        "intent": intent,
        "intent_probability": 0.8,
        "severity": severity,
        "severity_probability": 0.9,
        "aspects": tuple(an_aspect(each) for each in aspects.split()),
        "model_version": "test-1",
    }
    return Labels(**{**fields, **changes})


def an_aspect(text: str) -> Aspect:
    name, _, polarity = text.partition(":")
    return Aspect(name=name, polarity=Sentiment(polarity or "negative"))


def a_review(**changes: Any) -> Review:
    fields: dict[str, Any] = {"reviewer": "小林", "at": NOW, "sentiment": Sentiment.POSITIVE, "intent": Intent.PRAISE}
    return Review(**{**fields, **changes})


def a_persona(number: int | None = None, **changes: Any) -> Persona:
    number = next(_numbers) if number is None else number
    fields: dict[str, Any] = {"id": f"weibo:u{number}", "name": f"用户{number}", "followers": 100, "verified": False}
    return Persona(**{**fields, **changes})


def a_mention(text: str = "山岚咖啡的新品很好喝", **changes: Any) -> Mention:
    """A weibo post of an hour ago about the topic shanlan, unread, with an id of its own."""
    fields: dict[str, Any] = {
        "id": f"weibo:{next(_numbers)}",
        "platform": "weibo",
        "text": text,
        "published_at": ago(hours=1),
        "collected_at": NOW,
        "source": "weibo-feed",
        "topics": ("shanlan",),
    }
    return Mention(**{**fields, **changes})


def a_record(kind: type[Any], **changes: Any) -> Any:
    """A record of any kind with plausible values: a_record(Task, state="claimed")."""
    from index import models

    number = next(_numbers)
    fields: dict[str, Any] = {
        models.Topic: {"name": "山岚咖啡", "kind": "brand", "query": "山岚咖啡"},
        models.Source: {"name": "论坛", "kind": "file", "platform": "forum", "basis": "公开", "reviewed": NOW.date()},
        models.Run: {
            "source": "forum",
            "started_at": ago(minutes=5),
            "finished_at": NOW,
            "outcome": "ok",
            "message": "",
        },
        models.Rule: {"name": "负面激增", "kind": "spike"},
        models.Alert: {
            "key": f"spike|shanlan|{number}",
            "rule": "spike",
            "topic": "shanlan",
            "level": "orange",
            "peak_level": "orange",
            "reason": "spike",
            "sentence": "近1小时负面 46 条",
            "value": 46,
            "opened_at": NOW,
            "last_breach_at": NOW,
        },
        models.Task: {
            "mention_id": f"weibo:{number}",
            "topic": "shanlan",
            "title": "喝完拉肚子",
            "platform": "weibo",
            "priority": "high",
            "created_at": NOW,
            "due_at": NOW + timedelta(hours=1),
            "resolve_by": NOW + timedelta(hours=8),
        },
        models.Notification: {
            "channel": "webhook",
            "subject_kind": "alert",
            "subject_id": "a1",
            "event": "opened",
            "level": "orange",
            "title": "橙色预警",
            "body": "近1小时负面 46 条",
            "created_at": NOW,
            "next_at": NOW,
        },
        models.Mute: {"until": NOW + timedelta(hours=1), "reason": "演练", "by": "小林", "created_at": NOW},
        models.Customer: {"name": "陈一一", "created_at": NOW, "updated_at": NOW},
        models.Link: {
            "persona_id": "weibo:u1",
            "persona_name": "用户1",
            "customer_id": "c1",
            "state": "linked",
            "basis": "handle",
            "confidence": 1,
            "evidence": "客户留下的账号",
            "created_at": NOW,
        },
        models.Account: {"name": "小林", "role": "pr", "password_hash": "x"},
        models.Session: {"account_id": "lin", "created_at": NOW, "expires_at": NOW + timedelta(days=7)},
        models.LogEntry: {"at": NOW, "actor": "lin", "action": "export"},
        models.ReaderState: {"model_version": "test-1", "since_at": ago(hours=1), "checked_at": NOW},
        models.WorkerState: {"roles": ("crawl", "read", "decide"), "started_at": ago(hours=1), "checked_at": NOW},
        models.Reviewed: {"at": NOW, "labels": some_labels()},
        models.Copying: {"source": "embedded store.db", "began_at": NOW},
        models.Lease: {"holder": "worker-1", "until": NOW + timedelta(minutes=1)},
    }[kind]
    return kind(**{"id": f"{kind.kind_name}-{number}", **fields, **changes})
