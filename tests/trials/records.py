"""Very many records of every kind that a store copy takes along, in the shares of a service that ran for months."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from index.bench_data import END, N_DAYS, a_text
from index.copy import COPIED_RECORDS
from index.models import (
    Account,
    Alert,
    AlertState,
    Customer,
    Event,
    Level,
    Link,
    LinkState,
    LogEntry,
    Notification,
    NotificationState,
    Order,
    Priority,
    Record,
    Reviewed,
    Run,
    Session,
    Task,
    TaskState,
)
from tests.builders import a_record, some_labels

PER_THOUSAND: Mapping[type[Record], float] = {
    Customer: 300,
    Task: 200,
    Link: 120,
    Notification: 120,
    LogEntry: 110,
    Run: 60,
    Reviewed: 40,
    Alert: 30,
    Session: 10,
    Account: 1,
}
"""Of all records; of the other kinds there are A_FEW."""
A_FEW = 7

_SURNAMES = "陈林黄张李王吴刘蔡杨许郑谢洪郭邱曾廖赖徐"
_GIVEN = "一二小大文明志美丽秀英华建国芳静敏强磊军洋勇艳杰娟涛"


def records(n_records: int, seed: int) -> Iterator[Record]:
    """About n_records, the same ones for the same seed, with versions as of records that were written often."""
    chance = random.Random(seed)
    for kind in COPIED_RECORDS:
        for number in range(round(n_records * PER_THOUSAND[kind] / 1000) if kind in PER_THOUSAND else A_FEW):
            make = _CHANGES.get(kind, _nothing)
            record: Record = a_record(kind, id=f"{kind.kind_name}-{number:07}", **make(chance, number))
            yield record.but(version=chance.choice((1, 1, 1, 2, 3, 8)))


def _at(chance: random.Random) -> datetime:
    return END - timedelta(seconds=chance.randrange(N_DAYS * 86_400), microseconds=chance.randrange(1_000_000))


def _name(chance: random.Random) -> str:
    return chance.choice(_SURNAMES) + "".join(chance.choices(_GIVEN, k=chance.choice((1, 2))))


def _timeline(chance: random.Random, start: datetime) -> tuple[Event, ...]:
    return tuple(
        Event(at=start + timedelta(minutes=7 * n), actor=f"u{chance.randrange(40)}", action="note", note=a_text(chance))
        for n in range(chance.choice((0, 1, 1, 2, 4)))
    )


def _customer(chance: random.Random, number: int) -> dict[str, Any]:
    made = _at(chance)
    return {
        "name": _name(chance),
        "phone_tail": f"{chance.randrange(10_000):04}",
        "handles": tuple(f"weibo:h{number}-{n}" for n in range(chance.choice((0, 1, 1, 2)))),
        "orders": tuple(
            Order(number=f"SL-{number}-{n}", at=_at(chance), amount=round(chance.uniform(9, 900), 2), items="拿铁 x2")
            for n in range(chance.choice((0, 1, 2, 3, 9)))
        ),
        "tags": tuple(chance.sample(("会员", "老客", "企业", "投诉过"), chance.randrange(3))),
        "note": a_text(chance) if chance.random() < 0.2 else "",
        "group": chance.choice((None, "A", "B", "C", "D", "E")),
        "created_at": made,
        "updated_at": made + timedelta(hours=chance.randrange(200)),
    }


def _task(chance: random.Random, number: int) -> dict[str, Any]:
    made = _at(chance)
    return {
        "mention_id": f"weibo:{chance.randrange(1_000_000)}",
        "topic": f"topic-{chance.randrange(20):02}",
        "customer_id": f"customer-{number:07}" if chance.random() < 0.3 else None,
        "title": a_text(chance)[:30],
        "priority": chance.choice(tuple(Priority)),
        "state": chance.choice(tuple(TaskState)),
        "owner": chance.choice((None, "lin", "wu")),
        "created_at": made,
        "due_at": made + timedelta(hours=1),
        "resolve_by": made + timedelta(hours=8),
        "waited_s": round(chance.expovariate(1 / 600), 3),
        "draft": a_text(chance),
        "timeline": _timeline(chance, made),
    }


def _link(chance: random.Random, number: int) -> dict[str, Any]:
    return {
        "persona_id": f"weibo:u{chance.randrange(200_000)}",
        "persona_name": _name(chance),
        "customer_id": f"customer-{number:07}",
        "state": chance.choice(tuple(LinkState)),
        "confidence": round(chance.random(), 3),
        "created_at": _at(chance),
    }


def _notification(chance: random.Random, number: int) -> dict[str, Any]:
    made = _at(chance)
    return {
        "subject_id": f"alert-{number:07}",
        "level": chance.choice(tuple(Level)),
        "body": f"**{a_text(chance)}**\n{a_text(chance)}",
        "state": chance.choice(tuple(NotificationState)),
        "attempts": chance.randrange(5),
        "created_at": made,
        "next_at": made + timedelta(minutes=chance.randrange(60)),
    }


def _log(chance: random.Random, number: int) -> dict[str, Any]:
    return {"at": _at(chance), "actor": f"u{number % 40}", "action": chance.choice(("export", "correct", "sign_in"))}


def _run(chance: random.Random, number: int) -> dict[str, Any]:
    start = _at(chance)
    return {
        "source": f"source-{number % A_FEW:07}",
        "started_at": start,
        "finished_at": start + timedelta(seconds=chance.randrange(1, 300)),
        "message": a_text(chance),
        "n_items": chance.randrange(500),
        "n_new": chance.choice((None, chance.randrange(100))),
        "bad_lines": tuple(a_text(chance) for _ in range(chance.choice((0, 0, 0, 2)))),
        "stats": {"status": {"200": chance.randrange(99), "429": chance.randrange(3)}, "elapsed": chance.random()},
    }


def _reviewed(chance: random.Random, _: int) -> dict[str, Any]:
    said = some_labels(chance.choice(("negative", "neutral", "positive")), aspects="taste:negative price:positive")
    return {"at": _at(chance), "labels": chance.choice((None, said)), "doubtful": chance.choice((None, True, False))}


def _alert(chance: random.Random, number: int) -> dict[str, Any]:
    start = _at(chance)
    return {
        "key": f"spike|topic-{number % 20:02}|{number}",
        "state": chance.choice(tuple(AlertState)),
        "probability": chance.choice((None, 10 ** chance.uniform(-12, -3))),
        "evidence": tuple(f"weibo:{chance.randrange(1_000_000)}" for _ in range(chance.randrange(6))),
        "opened_at": start,
        "last_breach_at": start + timedelta(minutes=chance.randrange(90)),
        "timeline": _timeline(chance, start),
    }


def _session(chance: random.Random, number: int) -> dict[str, Any]:
    made = _at(chance)
    return {"account_id": f"account-{number % 50:07}", "created_at": made, "expires_at": made + timedelta(days=7)}


def _nothing(_: random.Random, __: int) -> dict[str, Any]:
    return {}


_CHANGES: Mapping[type[Record], Callable[[random.Random, int], dict[str, Any]]] = {
    Customer: _customer,
    Task: _task,
    Link: _link,
    Notification: _notification,
    LogEntry: _log,
    Run: _run,
    Reviewed: _reviewed,
    Alert: _alert,
    Session: _session,
}
