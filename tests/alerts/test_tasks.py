from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from alerts import clock, tasks
from alerts.tasks import TaskError
from index.models import Customer, Engagement, Mention, Priority, Review, Task, TaskState
from settings import SlaSettings, TaskSettings
from tests.builders import NOW, a_mention, a_persona, a_record, ago, some_labels

SLA = SlaSettings()
KINDS = {"shanlan": "brand", "qingyu": "competitor"}
MINUTE = timedelta(minutes=1)


def task_for(mention: Mention, customer: Customer | None = None, n_earlier: int = 0, **options: object) -> Task | None:
    return tasks.task_for(
        mention,
        customer=customer,
        sla=SLA,
        tasks=TaskSettings(**options),
        topic_kinds=KINDS,
        now=NOW,
        n_earlier=n_earlier,
    )


def a_complaint(**changes: object) -> Mention:
    return a_mention("杯盖漏了一身", **{"labels": some_labels(), **changes})


def made(mention: Mention, **more: object) -> Task:
    task = task_for(mention, **more)
    assert task is not None
    return task


class TestWhichMentions:
    def test_a_complaint_about_ones_own_brand_becomes_a_task(self) -> None:
        task = made(a_complaint(id="weibo:7"))
        assert (task.id, task.topic, task.state) == ("task:weibo:7", "shanlan", TaskState.OPEN)
        assert task.title == "杯盖漏了一身"

    @pytest.mark.parametrize(
        "mention",
        [
            a_complaint(topics=("qingyu",)),
            a_complaint(labels=some_labels(intent="praise")),
            a_complaint(labels=None),
            a_complaint(labels=some_labels(intent_probability=0.4)),
            a_complaint(is_copy=True, story_id="weibo:1"),
            a_complaint(hidden="广告"),
            a_complaint(published_at=ago(hours=73)),
        ],
        ids=["competitor", "praise", "unread", "unsure", "copy", "hidden", "old"],
    )
    def test_these_become_none(self, mention: Mention) -> None:
        assert task_for(mention) is None

    def test_a_persons_word_is_sure_enough(self) -> None:
        unsure = some_labels(intent="other", intent_probability=0.2)
        mention = a_complaint(labels=unsure, review=Review(reviewer="小林", at=NOW, intent="complaint"))
        assert task_for(mention) is not None

    def test_settings_may_name_the_topics(self) -> None:
        assert task_for(a_complaint(), topics=("another",)) is None


class TestPriority:
    def test_each_point_has_its_reason(self) -> None:
        mention = a_complaint(
            labels=some_labels(severity=1),
            persona=a_persona(1, followers=250_000),
            engagement=Engagement(likes=600),
            published_at=ago(hours=30),
        )
        customer = a_record(Customer, group="A", tier="黑金会员")
        task = made(mention, customer=customer, n_earlier=3)
        assert task.priority == Priority.URGENT
        assert task.priority_reasons == (
            "投诉",
            "严重程度 1",
            "发言者粉丝 25 万",
            "互动 600",
            "会员等级 黑金会员",
            "A 类客户",
            "此前已投诉 3 次",
            "已发布 30 小时",
        )

    @pytest.mark.parametrize(
        ("mention", "priority"),
        [
            (a_complaint(labels=some_labels(severity=2)), Priority.URGENT),
            (a_complaint(labels=some_labels(severity=1), persona=a_persona(2, followers=20_000)), Priority.HIGH),
            (a_complaint(), Priority.NORMAL),
            (a_complaint(labels=some_labels(intent="question")), Priority.NORMAL),
        ],
        ids=["danger", "loud", "plain", "question"],
    )
    def test_the_points_make_the_priority(self, mention: Mention, priority: Priority) -> None:
        assert made(mention).priority == priority

    def test_unknown_reach_is_no_reach(self) -> None:
        assert made(a_complaint(persona=None, engagement=Engagement())).priority_reasons == ("投诉",)


class TestActs:
    def test_the_slower_of_two_is_told_who_was_faster(self) -> None:
        task = tasks.claim(made(a_complaint()), actor="小李", now=NOW)
        with pytest.raises(TaskError, match="小李 8 秒前认领了这个任务"):
            tasks.claim(task, actor="小王", now=NOW + timedelta(seconds=8))

    @pytest.mark.parametrize(
        "url", ["", "weibo.com/1", "javascript:alert(1)", "http://", "https://a b.com", "http://[x"]
    )
    def test_a_reply_needs_a_link_that_is_one(self, url: str) -> None:
        task = tasks.claim(made(a_complaint()), actor="小李", now=NOW)
        with pytest.raises(TaskError, match="http"):
            tasks.reply(task, url=url, text="您好", sla=SLA, actor="小李", now=NOW)

    def test_only_what_was_answered_can_be_closed(self) -> None:
        task = tasks.claim(made(a_complaint()), actor="小李", now=NOW)
        with pytest.raises(TaskError, match="还没有登记回复"):
            tasks.close(task, outcome="已解决", actor="小李", now=NOW)
        replied = tasks.reply(task, url="https://w.example/1", text="您好", sla=SLA, actor="小李", now=NOW)
        closed = tasks.close(replied, outcome="已解决", actor="小李", now=NOW)
        assert (closed.state, closed.outcome, closed.closed_at) == (TaskState.CLOSED, "已解决", NOW)

    def test_waiting_stops_the_clock(self) -> None:
        task = tasks.claim(made(a_complaint()), actor="小李", now=NOW)
        before = clock.time_left_s(task, SLA, NOW)
        waiting = tasks.wait(task, until=NOW + timedelta(days=1), note="等客户给订单号", actor="小李", now=NOW)
        assert clock.time_left_s(waiting, SLA, NOW + timedelta(hours=20)) == before
        assert not clock.is_overdue(waiting, NOW + timedelta(days=9))
        later = NOW + timedelta(days=1)
        resumed = tasks.resume(waiting, sla=SLA, actor="小李", now=later)
        assert resumed.state == TaskState.CLAIMED
        assert clock.time_left_s(resumed, SLA, later) == before

    def test_reopening_starts_a_new_clock_and_keeps_the_past(self) -> None:
        task = tasks.dismiss(made(a_complaint()), reason="不是我们的", actor="小李", now=NOW)
        later = NOW + timedelta(days=3)
        again = tasks.reopen(task, reason="是我们的", sla=SLA, actor="小王", now=later)
        assert (again.state, again.owner) == (TaskState.OPEN, None)
        assert again.due_at > later
        assert [event.action for event in again.timeline] == ["created", "dismissed", "reopened"]


class TaskLife(RuleBasedStateMachine):
    """Two people do anything in any order; what is not allowed is refused and changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.task = made(a_complaint())

    @rule(minutes=st.integers(1, 3000))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(
        actor=st.sampled_from(["小李", "小王"]),
        act=st.sampled_from(
            ["claim", "release", "assign", "reply", "wait", "resume", "close", "dismiss", "reopen", "draft"]
        ),
    )
    def act(self, actor: str, act: str) -> None:
        task, now = self.task, self.now
        acts = {
            "claim": lambda: tasks.claim(task, actor=actor, now=now),
            "release": lambda: tasks.release(task, actor=actor, now=now),
            "assign": lambda: tasks.assign(task, owner=actor, actor="主管", now=now),
            "reply": lambda: tasks.reply(task, url="https://w.example/1", text="您好", sla=SLA, actor=actor, now=now),
            "wait": lambda: tasks.wait(task, until=now + MINUTE, note="", actor=actor, now=now),
            "resume": lambda: tasks.resume(task, sla=SLA, actor=actor, now=now),
            "close": lambda: tasks.close(task, outcome="已解决", actor=actor, now=now),
            "dismiss": lambda: tasks.dismiss(task, reason="广告", actor=actor, now=now),
            "reopen": lambda: tasks.reopen(task, reason="客户又来", sla=SLA, actor=actor, now=now),
            "draft": lambda: tasks.save_draft(task, text="您好"),
        }
        try:
            self.task = acts[act]()
        except TaskError:
            assert self.task == task
        else:
            assert len(self.task.timeline) - len(task.timeline) in ((0,) if act == "draft" else (1, 2))

    @invariant()
    def the_state_fits_the_fields(self) -> None:
        task = self.task
        ended = task.state in (TaskState.CLOSED, TaskState.DISMISSED)
        assert (task.closed_at is not None) == ended
        assert (task.waiting_until is not None) == (task.state == TaskState.WAITING)
        if task.state == TaskState.OPEN:
            assert task.owner is None
        if task.state in (TaskState.CLAIMED, TaskState.WAITING, TaskState.REPLIED):
            assert task.owner is not None
        if task.state in (TaskState.REPLIED, TaskState.CLOSED):
            assert task.reply_url.startswith("https://")
            assert task.replied_at is not None
        assert task.due_at <= task.resolve_by

    @invariant()
    def the_clock_says_something_sensible(self) -> None:
        left = clock.time_left_s(self.task, SLA, self.now)
        assert (left is None) == (self.task.state in (TaskState.CLOSED, TaskState.DISMISSED))
        if clock.is_overdue(self.task, self.now):
            assert left is not None
            assert left <= 0


TestTaskLife = TaskLife.TestCase
TestTaskLife.settings = hypothesis_settings(max_examples=40, stateful_step_count=25, deadline=None)


def beijing(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+08:00")


class TestClock:
    @pytest.mark.parametrize(
        ("start", "minutes", "due"),
        [
            ("2026-11-26 10:00", 60, "2026-11-26 11:00"),
            ("2026-11-26 20:30", 60, "2026-11-27 09:30"),
            ("2026-11-26 23:00", 60, "2026-11-27 10:00"),
            ("2026-11-26 03:00", 60, "2026-11-26 10:00"),
            ("2026-11-26 20:00", 60, "2026-11-26 21:00"),
            ("2026-11-26 10:00", 1440, "2026-11-28 10:00"),
        ],
    )
    def test_business_time_runs_only_in_opening_hours(self, start: str, minutes: int, due: str) -> None:
        assert clock.add_business(beijing(start), minutes, SLA) == beijing(due)

    def test_week_ends_rest_if_the_settings_say_so(self) -> None:
        sla = SlaSettings(weekdays=(1, 2, 3, 4, 5))
        assert clock.add_business(beijing("2026-11-27 20:30"), 60, sla) == beijing("2026-11-30 09:30")

    def test_public_holidays_rest_and_make_up_days_work(self) -> None:
        sla = SlaSettings(weekdays=(1, 2, 3, 4, 5), holidays=True)
        assert clock.add_business(beijing("2026-09-30 20:30"), 60, sla) == beijing("2026-10-08 09:30")
        assert clock.add_business(beijing("2026-10-09 20:30"), 60, sla) == beijing("2026-10-10 09:30")

    def test_with_no_day_open_calendar_time_counts(self) -> None:
        sla = SlaSettings(weekdays=())
        assert clock.add_business(NOW, 60, sla) == NOW + timedelta(hours=1)

    def test_an_urgent_task_is_due_in_calendar_minutes(self) -> None:
        night = beijing("2026-11-26 23:30")
        assert clock.deadlines(night, Priority.URGENT, SLA)[0] == night + timedelta(minutes=10)

    def test_time_added_is_time_counted(self) -> None:
        for hours in range(0, 400, 7):
            start = beijing("2026-11-26 00:10") + timedelta(hours=hours)
            due = clock.add_business(start, 333, SLA)
            assert clock.business_s(start, due, SLA) == 333 * 60
