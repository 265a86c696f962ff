from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from alerts import crisis
from alerts.channels.base import ChannelBusy, ChannelRefused, Failure
from alerts.channels.webhook import Webhook
from alerts.deliver import LEASE, MAX_ATTEMPTS, REPEAT, TASK_REPEAT, Box, deliver_due, retry_after_s, verdict
from alerts.mute import Silence
from alerts.outbox import alert_notifications, overdue_notifications, trial_notification
from index.embedded import EmbeddedStore
from index.models import Alert, Breach, Level, Mute, Notification, NotificationState, Reason, Rule, Task
from settings import ChannelSettings
from tests.builders import NOW, a_record
from tests.servers.collector import Collector

MINUTE = timedelta(minutes=1)
RULE: Rule = a_record(Rule, id="r", name="负面激增")


def a_channel(**changes: object) -> ChannelSettings:
    return ChannelSettings(**{"id": "inbox", "kind": "webhook", "url": "http://x", **changes})


CHANNEL = a_channel()


def an_alert(number: int = 1, level: Level = Level.ORANGE, *, topic: str = "t", story: str | None = None) -> Alert:
    breach = Breach(
        rule=f"r{number}",
        topic=topic,
        story_id=story,
        at=NOW,
        level=level,
        reason=Reason.SPIKE if story is None else Reason.RISK_WORD,
        value=20,
        sentence=f"第 {number} 件",
    )
    return crisis.apply(breach, None, NOW, RULE)[0]


def messages(alert: Alert, channel: ChannelSettings = CHANNEL, now: datetime = NOW) -> list[Notification]:
    return alert_notifications(
        alert, rule=RULE, subject="山岚咖啡", channels=[channel], mentions=[], base_url="http://h", now=now
    )


def post(store: EmbeddedStore, *alerts: Alert, channel: ChannelSettings = CHANNEL) -> list[Notification]:
    put = []
    for alert in alerts:
        store.put(alert)
        put += [store.put(message) for message in messages(alert, channel)]
    return put


class Said:
    """A channel that keeps what it was given, and fails as it is told."""

    id = "inbox"

    def __init__(self, *errors: Exception | type[BaseException]) -> None:
        self.sent: list[Notification] = []
        self.errors = list(errors)

    def send(self, notification: Notification) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(notification)


def deliver(
    store: EmbeddedStore, channel: Said, *, at: datetime, setting: ChannelSettings = CHANNEL, hurry: bool = False
) -> Counter[str]:
    return deliver_due(store, {"inbox": channel}, [setting], now=at, clock=lambda: at, hurry=hurry)


LATER = NOW + MINUTE


class TestSending:
    def test_a_due_message_goes_out_once(self, store: EmbeddedStore, collector: Collector) -> None:
        post(store, an_alert())
        sender = Webhook("inbox", collector.url)
        for _ in range(3):
            deliver_due(store, {"inbox": sender}, [CHANNEL], now=LATER, clock=lambda: LATER)
        assert len(collector.received) == 1
        (message,) = store.find(Notification)
        assert (message.state, message.sent_at) == (NotificationState.SENT, LATER)

    def test_it_waits_for_others_unless_in_a_hurry(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        channel = Said()
        assert not deliver(store, channel, at=NOW)
        assert deliver(store, channel, at=NOW, hurry=True)["sent"] == 1

    def test_a_busy_channel_is_tried_again_later_and_later(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        channel = Said(*[ChannelBusy("忙", reason=Failure.TIMEOUT)] * 2)
        at, times = LATER, []
        for _ in range(30):
            if deliver(store, channel, at=at):
                times.append(at)
            at += timedelta(seconds=10)
        assert [b - a for a, b in pairwise(times)] == [timedelta(seconds=30), MINUTE]
        assert len(channel.sent) == 1

    def test_it_gives_up_after_some_tries_and_says_why(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        channel = Said(*[ChannelBusy("忙", reason=Failure.TIMEOUT)] * 20)
        for hour in range(1, 20):
            deliver(store, channel, at=NOW + timedelta(hours=hour))
        (message,) = store.find(Notification)
        assert (message.state, message.reason, message.attempts) == ("failed", "timeout", MAX_ATTEMPTS)

    def test_a_refusal_is_final(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        channel = Said(ChannelRefused("密钥不对", reason=Failure.AUTH))
        assert deliver(store, channel, at=LATER)["failed"] == 1
        assert not deliver(store, channel, at=NOW + timedelta(days=1))
        (message,) = store.find(Notification)
        assert message.error == "密钥不对"

    def test_a_kill_during_the_send_repeats_once_after_the_lease(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        with pytest.raises(KeyboardInterrupt):
            deliver(store, Said(KeyboardInterrupt), at=LATER)
        channel = Said()
        assert not deliver(store, channel, at=LATER + LEASE - MINUTE)
        for minute in range(5):
            deliver(store, channel, at=LATER + LEASE + minute * MINUTE)
        assert len(channel.sent) == 1

    def test_of_two_workers_one_sends(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        channel = Said()

        class Rival(Said):
            def send(self, notification: Notification) -> None:
                deliver(store, channel, at=LATER)
                super().send(notification)

        first = Rival()
        deliver(store, first, at=LATER)
        assert (len(first.sent), len(channel.sent)) == (1, 0)

    def test_a_channel_that_could_not_be_built_makes_it_wait(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        deliver_due(store, {}, [CHANNEL], now=LATER, clock=lambda: LATER)
        (message,) = store.find(Notification)
        assert (message.state, message.next_at > LATER) == (NotificationState.PENDING, True)
        assert "doctor" in message.error

    def test_a_channel_that_is_gone_fails_it(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        assert deliver_due(store, {}, [], now=LATER, clock=lambda: LATER)["failed"] == 1

    def test_a_test_message_passes_every_stage(self, store: EmbeddedStore) -> None:
        quiet = a_channel(quiet=(time(0), time(23, 59)), min_level="red", per_hour=1)
        channel = Said()
        for second in range(3):
            at = NOW + timedelta(seconds=second)
            store.put(trial_notification(quiet, base_url="http://h", now=at))
            assert deliver(store, channel, at=at, setting=quiet)["sent"] == 1


class TestGrouping:
    def test_alerts_on_one_topic_go_as_one_with_the_highest_first(self, store: EmbeddedStore) -> None:
        post(store, an_alert(1, Level.YELLOW), an_alert(2, Level.RED), an_alert(3, Level.ORANGE))
        channel = Said()
        done = deliver(store, channel, at=LATER)
        (sent,) = channel.sent
        assert sent.level == Level.RED
        assert sent.body.count("另: ") == 2
        assert done["sent"] == 1
        assert not store.find(Notification, {"state": NotificationState.PENDING})

    def test_other_topics_have_their_own(self, store: EmbeddedStore) -> None:
        post(store, an_alert(1), an_alert(2, topic="u"))
        channel = Said()
        assert deliver(store, channel, at=LATER)["sent"] == 2

    def test_a_muted_leader_takes_nobody_with_it(self, store: EmbeddedStore) -> None:
        post(store, an_alert(1, Level.RED).but(muted_until=NOW + timedelta(days=1)), an_alert(2, Level.ORANGE))
        channel = Said()
        deliver(store, channel, at=LATER)
        assert [message.level for message in channel.sent] == [Level.ORANGE]

    def test_a_second_alert_at_the_same_level_within_the_hour_is_not_told(self, store: EmbeddedStore) -> None:
        channel = Said()
        post(store, an_alert(1))
        deliver(store, channel, at=LATER)
        post(store, an_alert(2))
        assert deliver(store, channel, at=NOW + 20 * MINUTE) == {"dropped_already_told": 1}

    def test_a_higher_one_is(self, store: EmbeddedStore) -> None:
        channel = Said()
        post(store, an_alert(1))
        deliver(store, channel, at=LATER)
        post(store, an_alert(2, Level.RED))
        assert deliver(store, channel, at=NOW + 20 * MINUTE)["sent"] == 1

    def test_other_stories_wait_and_come_together(self, store: EmbeddedStore) -> None:
        channel = Said()
        post(store, an_alert(1, story="a"))
        deliver(store, channel, at=LATER)
        post(store, an_alert(2, story="b"), an_alert(3, story="c"))
        for minute in range(2, 70):
            deliver(store, channel, at=NOW + minute * MINUTE)
        assert len(channel.sent) == 2
        assert channel.sent[1].body.count("另: ") == 1


class TestMuting:
    def test_a_silence_drops_with_its_reason(self, store: EmbeddedStore) -> None:
        post(store, an_alert())
        store.put(a_record(Mute, topic="t"))
        deliver(store, Said(), at=LATER)
        (message,) = store.find(Notification)
        assert (message.state, message.reason) == (NotificationState.DROPPED, Silence.MUTED)

    def test_quiet_hours_put_off_and_red_passes(self, store: EmbeddedStore) -> None:
        quiet = a_channel(quiet=(time(10), time(12)))
        channel = Said()
        post(store, an_alert(1), an_alert(2, Level.RED, topic="u"), channel=quiet)
        deliver(store, channel, at=LATER, setting=quiet)
        assert [message.level for message in channel.sent] == [Level.RED]
        noon = NOW + 90 * MINUTE
        deliver(store, channel, at=noon - MINUTE, setting=quiet)
        assert len(channel.sent) == 1
        deliver(store, channel, at=noon, setting=quiet)
        assert len(channel.sent) == 2

    def test_what_was_over_before_it_could_be_told_says_so(self, store: EmbeddedStore) -> None:
        quiet = a_channel(quiet=(time(10), time(12)))
        channel = Said()
        post(store, crisis.expire(an_alert(), NOW + timedelta(hours=1), RULE)[0], channel=quiet)
        for minutes in (1, 90):
            deliver(store, channel, at=NOW + minutes * MINUTE, setting=quiet)
        (sent,) = channel.sent
        assert sent.event == "opened"
        assert "已于 11-26 11:30 解除" in sent.body

    def test_a_level_below_the_channels_is_dropped(self, store: EmbeddedStore) -> None:
        high = a_channel(min_level="red")
        post(store, an_alert(), channel=high)
        assert deliver(store, Said(), at=LATER, setting=high) == {"dropped_below_level": 1}

    def test_who_was_not_told_of_the_beginning_is_not_told_of_the_end(self, store: EmbeddedStore) -> None:
        alert = crisis.expire(an_alert(), NOW + timedelta(hours=2), RULE)[0]
        later = NOW + timedelta(hours=2)
        store.put(alert)
        store.put(messages(alert, now=later)[1])
        assert deliver(store, Said(), at=later + MINUTE) == {"dropped_not_told": 1}

    def test_the_end_is_told_to_who_knows_of_the_beginning(self, store: EmbeddedStore) -> None:
        channel = Said()
        post(store, an_alert())
        deliver(store, channel, at=LATER)
        later = NOW + timedelta(hours=2)
        (known,) = store.find(Alert)
        alert = store.put(crisis.expire(known, later, RULE)[0])
        store.put(messages(alert, now=later)[1])
        deliver(store, channel, at=later + MINUTE)
        assert [message.event for message in channel.sent] == ["opened", "resolved"]

    def test_what_somebody_resolved_before_it_was_sent_is_not_sent(self, store: EmbeddedStore) -> None:
        post(store, crisis.resolve(an_alert(), reason="已回应", actor="小林", now=NOW))
        channel = Said()
        deliver(store, channel, at=LATER)
        assert not channel.sent


class TestThrottle:
    def test_the_last_one_of_an_hour_carries_the_rest(self, store: EmbeddedStore) -> None:
        narrow = a_channel(per_hour=3)
        channel = Said()
        post(store, *[an_alert(n, topic=f"t{n}") for n in range(10)], channel=narrow)
        deliver(store, channel, at=LATER, setting=narrow)
        assert len(channel.sent) == 3
        assert channel.sent[-1].body.count("另: ") == 7

    def test_more_of_the_hour_waits_and_red_passes(self, store: EmbeddedStore) -> None:
        narrow = a_channel(per_hour=1)
        channel = Said()
        post(store, an_alert(1), channel=narrow)
        deliver(store, channel, at=LATER, setting=narrow)
        post(store, an_alert(2, topic="u"), an_alert(3, Level.RED, topic="v"), channel=narrow)
        deliver(store, channel, at=NOW + 5 * MINUTE, setting=narrow)
        assert [message.level for message in channel.sent] == [Level.ORANGE, Level.RED]
        for minute in range(6, 80):
            deliver(store, channel, at=NOW + minute * MINUTE, setting=narrow)
        assert len(channel.sent) == 3


class TestTasks:
    def test_an_overdue_task_is_told_once(self, store: EmbeddedStore) -> None:
        task = store.put(a_record(Task, due_at=NOW - MINUTE))
        for _ in range(2):
            for message in overdue_notifications([task], channels=[CHANNEL], base_url="http://h", now=NOW):
                if store.get(Notification, message.id) is None:
                    store.put(message)
        channel = Said()
        deliver(store, channel, at=LATER)
        deliver(store, channel, at=LATER + MINUTE)
        assert len(channel.sent) == 1
        assert "回复超时" in channel.sent[0].title

    def test_many_overdue_tasks_travel_in_one_message_and_the_next_ones_wait(self, store: EmbeddedStore) -> None:
        def overdue(numbers: range) -> None:
            tasks = [store.put(a_record(Task, id=f"task:{n}", title=f"投诉 {n}", due_at=NOW - MINUTE)) for n in numbers]
            for message in overdue_notifications(tasks, channels=[CHANNEL], base_url="http://h", now=NOW):
                store.put(message)

        channel = Said()
        overdue(range(30))
        deliver(store, channel, at=LATER)
        overdue(range(30, 35))
        deliver(store, channel, at=LATER + MINUTE)
        assert len(channel.sent) == 1
        assert "另有 19 条" in channel.sent[0].body
        deliver(store, channel, at=LATER + TASK_REPEAT)
        assert len(channel.sent) == 2

    def test_a_task_that_was_answered_meanwhile_is_not(self, store: EmbeddedStore) -> None:
        task = store.put(a_record(Task, due_at=NOW - MINUTE))
        (message,) = overdue_notifications([task], channels=[CHANNEL], base_url="http://h", now=NOW)
        store.put(message)
        store.put(task.but(state="replied", replied_at=NOW))
        channel = Said()
        assert deliver(store, channel, at=LATER) == {"dropped_handled": 1}


@given(attempts=st.integers(1, 30), asked=st.none() | st.floats(0, 1e6))
def test_the_wait_is_half_a_minute_to_an_hour(attempts: int, asked: float | None) -> None:
    assert 30 <= retry_after_s(attempts, asked) <= 3600


alerts_in_time = st.lists(
    st.tuples(
        st.integers(0, 240),
        st.sampled_from(list(Level)),
        st.sampled_from(["t", "u"]),
        st.sampled_from([None, "a", "b"]),
    ),
    min_size=1,
    max_size=25,
)


@given(alerts_in_time)
@hypothesis_settings(max_examples=60, deadline=None)
def test_nothing_at_the_same_level_is_told_twice_inside_the_repeat_interval(
    planned: list[tuple[int, Level, str, str | None]],
) -> None:
    """The stages alone, minute by minute, without a store."""
    alerts: dict[str, Alert] = {}
    box = Box(channel=CHANNEL, pending={}, sent=[], alerts=alerts, silences=[])
    for number, (minute, level, topic, story) in enumerate(planned):
        alert = an_alert(number, level, topic=topic, story=story)
        alerts[alert.id] = alert
        (message,) = messages(alert)
        at = NOW + minute * MINUTE
        box.pending[message.id] = message.but(created_at=at, next_at=at)
    waiting, box.pending = box.pending, {}
    told: list[tuple[datetime, Level, str]] = []
    for minute in range(600):
        now = NOW + minute * MINUTE
        box.pending |= {key: m for key, m in waiting.items() if m.created_at == now}
        for message in sorted(box.pending.values(), key=lambda m: (-m.level.rank, m.created_at, m.id)):
            if message.next_at > now:
                continue
            found = verdict(message, box, now)
            if found is None:
                box.pending.pop(message.id)
                box.sent.append(message.but(sent_at=now, state="sent"))
                told.append((now, message.level, alerts[message.subject_id].topic))
            elif found.until is None:
                box.pending.pop(message.id)
            else:
                box.pending[message.id] = message.but(next_at=found.until)
    assert not box.pending
    for i, (at, level, topic) in enumerate(told):
        for earlier, before, other in told[:i]:
            assert not (other == topic and at - earlier < REPEAT and before.rank >= level.rank)


class TestEnds:
    def test_an_alert_that_begins_again_after_its_end_was_told_is_told(self, store: EmbeddedStore) -> None:
        rule = RULE.but(cool_down_m=10)
        first = an_alert()
        post(store, first)
        channel = Said()
        deliver(store, channel, at=LATER)
        over, _ = crisis.expire(first, NOW + 20 * MINUTE, rule)
        store.put(over.but(version=1))
        for message in messages(over, now=NOW + 20 * MINUTE):
            if store.get(Notification, message.id) is None:
                store.put(message)
        deliver(store, channel, at=NOW + 21 * MINUTE)
        breach = Breach(
            rule="r1",
            topic="t",
            at=NOW + 40 * MINUTE,
            level=Level.ORANGE,
            reason=Reason.SPIKE,
            value=20,
            sentence="又来",
        )
        again, _ = crisis.apply(breach, over, NOW + 40 * MINUTE, rule)
        store.put(again.but(version=0))
        for message in messages(again, now=NOW + 40 * MINUTE):
            store.put(message)
        deliver(store, channel, at=NOW + 41 * MINUTE)
        assert [message.event for message in channel.sent] == ["opened", "resolved", "opened"]

    def test_the_end_of_an_alert_that_was_told_inside_anothers_message_is_told(self, store: EmbeddedStore) -> None:
        pair = [an_alert(1), an_alert(2)]
        post(store, *pair)
        channel = Said()
        deliver(store, channel, at=LATER)
        assert len(channel.sent) == 1
        for alert in pair:
            over, _ = crisis.expire(alert, NOW + 3 * REPEAT, RULE)
            store.put(over.but(version=1))
            for message in messages(over, now=NOW + 3 * REPEAT):
                if store.get(Notification, message.id) is None:
                    store.put(message)
        deliver(store, channel, at=NOW + 3 * REPEAT + MINUTE)
        assert [message.event for message in channel.sent] == ["opened", "resolved", "resolved"]
