"""Rule -> alert -> outbox -> collector on a real store, kills and all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from alerts import crisis
from alerts.channels.webhook import Webhook
from alerts.deliver import deliver_due
from alerts.facts import FactsCache
from alerts.outbox import GROUP_WAIT
from alerts.rules import CRISIS_WORDS
from alerts.trial import try_rule
from alerts.watch import tell, tell_overdue, watch
from index.embedded import EmbeddedStore
from index.models import (
    Alert,
    AlertState,
    Level,
    Mention,
    Notification,
    NotificationState,
    Outcome,
    Rule,
    Run,
    Task,
    Topic,
)
from settings import ChannelSettings, Settings
from tests.builders import NOW, a_mention, a_record, some_labels
from tests.servers.collector import Collector

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def a_channel(collector: Collector | None = None, **changes: object) -> ChannelSettings:
    return ChannelSettings(id="inbox", kind="webhook", url=collector.url if collector else "http://x", **changes)


def some_settings(*channels: ChannelSettings) -> Settings:
    return Settings(channels=channels or (a_channel(),))


def negatives(
    n: int, *, at: datetime, text: str = "等了一个小时还没做好", source: str = "feed", severity: int = 0
) -> list[Mention]:
    """n negative mentions, one every ten seconds up to `at`."""
    return [
        a_mention(
            text,
            published_at=at - timedelta(seconds=10 * i + 1),
            collected_at=at,
            source=source,
            labels=some_labels(severity=severity),
        )
        for i in range(n)
    ]


def usual_weeks(until: datetime, *, weeks: int = 5, every: timedelta = timedelta(minutes=30)) -> list[Mention]:
    """Two an hour, day and night."""
    at, mentions = until - timedelta(weeks=weeks), []
    while at < until:
        mentions += negatives(1, at=at)
        at += every
    return mentions


@pytest.fixture
def topic(store: EmbeddedStore) -> Topic:
    return store.put(a_record(Topic, id="shanlan"))


def put_rule(store: EmbeddedStore, kind: str, **changes: object) -> Rule:
    return store.put(a_record(Rule, id=kind, name="测试规则").but(kind=kind, **changes))


def add(store: EmbeddedStore, mentions: Sequence[Mention], now: datetime = NOW) -> None:
    store.add_mentions(mentions, now=now)


@pytest.mark.usefixtures("topic")
class TestSpike:
    def test_a_burst_against_five_quiet_weeks_opens_one_alert_with_evidence(self, store: EmbeddedStore) -> None:
        add(store, [*usual_weeks(NOW), *negatives(40, at=NOW, text="喝完拉肚子, 去了急诊", severity=2)])
        rule = put_rule(store, "spike")
        (alert,) = watch(store, rule, settings=some_settings(), now=NOW)
        assert alert.level in (Level.ORANGE, Level.RED)
        assert alert.value >= 40
        assert 1 < (alert.expected or 0) < 4
        assert len(alert.evidence) == 10
        assert "近 1 小时负面" in alert.sentence
        assert watch(store, rule, settings=some_settings(), now=NOW + MINUTE) == []
        assert store.tally(Notification) == 1

    def test_it_is_silent_in_the_first_week(self, store: EmbeddedStore) -> None:
        add(store, [*usual_weeks(NOW, weeks=1)[5:], *negatives(60, at=NOW)])
        assert watch(store, put_rule(store, "spike"), settings=some_settings(), now=NOW) == []

    def test_it_is_silent_without_any_history(self, store: EmbeddedStore) -> None:
        add(store, negatives(60, at=NOW))
        assert watch(store, put_rule(store, "spike"), settings=some_settings(), now=NOW) == []

    def test_the_end_of_a_gap_with_its_backlog_raises_nothing(self, store: EmbeddedStore) -> None:
        """The source was down for a day; what it missed arrives with the time of its return."""
        back = NOW - 10 * MINUTE
        add(store, [*usual_weeks(back - timedelta(days=1)), *negatives(48, at=back)])
        put_runs(store, "feed", until=back - timedelta(days=1))
        put_runs(store, "feed", since=back - timedelta(days=1), until=back, outcome=Outcome.BLOCKED)
        put_runs(store, "feed", since=back, until=NOW)
        rule = put_rule(store, "spike")
        assert watch(store, rule, settings=some_settings(), now=NOW) == []

    def test_the_same_burst_without_a_gap_does_raise(self, store: EmbeddedStore) -> None:
        back = NOW - 10 * MINUTE
        add(store, [*usual_weeks(back), *negatives(48, at=back)])
        put_runs(store, "feed", until=NOW)
        assert watch(store, put_rule(store, "spike"), settings=some_settings(), now=NOW)

    def test_a_burst_in_one_source_is_told_while_another_is_down(self, store: EmbeddedStore) -> None:
        add(store, [*usual_weeks(NOW), *negatives(40, at=NOW, source="feed")])
        add(
            store,
            [
                m.model_copy(update={"id": f"x:{i}", "source": "down"})
                for i, m in enumerate(usual_weeks(NOW - 6 * HOUR))
            ],
        )
        put_runs(store, "down", until=NOW - 6 * HOUR)
        assert watch(store, put_rule(store, "spike"), settings=some_settings(), now=NOW)

    def test_a_new_source_with_an_hour_of_history_raises_nothing(self, store: EmbeddedStore) -> None:
        add(store, [*usual_weeks(NOW), *negatives(50, at=NOW, source="new")])
        put_runs(store, "new", since=NOW - HOUR, until=NOW)
        assert watch(store, put_rule(store, "spike"), settings=some_settings(), now=NOW) == []


def put_runs(
    store: EmbeddedStore,
    source: str,
    *,
    until: datetime,
    since: datetime | None = None,
    outcome: Outcome = Outcome.OK,
    every: timedelta = timedelta(minutes=15),
) -> None:
    at = since or until - timedelta(weeks=6)
    runs = []
    while at <= until:
        runs.append(a_record(Run, source=source, started_at=at, finished_at=at, outcome=outcome))
        at += every
    store.put_all(runs)


@pytest.mark.usefixtures("topic")
class TestThreshold:
    def test_it_counts_a_window_and_folds_copies(self, store: EmbeddedStore) -> None:
        copies = [m.model_copy(update={"is_copy": True, "story_id": "s"}) for m in negatives(20, at=NOW)]
        add(store, [*negatives(9, at=NOW), *copies])
        rule = put_rule(store, "threshold", at_least=10, window_m=30)
        assert watch(store, rule, settings=some_settings(), now=NOW) == []
        add(store, negatives(1, at=NOW - MINUTE))
        (alert,) = watch(store, rule, settings=some_settings(), now=NOW)
        assert alert.value == 10

    def test_it_is_resolved_and_says_so_once_the_cool_down_has_passed(self, store: EmbeddedStore) -> None:
        add(store, negatives(12, at=NOW))
        rule = put_rule(store, "threshold", at_least=10, window_m=30, cool_down_m=20)
        watch(store, rule, settings=some_settings(), now=NOW)
        told = [watch(store, rule, settings=some_settings(), now=NOW + k * 5 * MINUTE) for k in range(1, 20)]
        (over,) = [alert for alerts in told for alert in alerts]
        assert over.state == AlertState.RESOLVED
        assert [n.event for n in store.find(Notification, order_by="created_at")] == ["opened", "resolved"]


@pytest.mark.usefixtures("topic")
class TestMatch:
    def test_a_story_is_told_once_however_often_it_is_looked_at(self, store: EmbeddedStore) -> None:
        rule = put_rule(store, "match", words=("拉肚子", "异物"))
        add(store, [*negatives(1, at=NOW, text="喝完拉肚子"), *negatives(3, at=NOW)])
        (alert,) = watch(store, rule, settings=some_settings(), now=NOW)
        assert "拉肚子" in alert.sentence
        for minutes in range(1, 30, 5):
            fresh = store.get(Rule, "match")
            assert fresh is not None
            assert watch(store, fresh, settings=some_settings(), now=NOW + minutes * MINUTE) == []

    def test_it_does_not_tell_what_was_published_days_ago(self, store: EmbeddedStore) -> None:
        add(store, negatives(1, at=NOW - timedelta(days=3), text="喝完拉肚子"))
        assert watch(store, put_rule(store, "match", words=("拉肚子",)), settings=some_settings(), now=NOW) == []

    def test_a_word_with_quotes_and_brackets_is_only_a_word(self, store: EmbeddedStore) -> None:
        rule = put_rule(store, "match", words=('他说"拉肚子', "(异物"))
        assert watch(store, rule, settings=some_settings(), now=NOW) == []


class TestQuiet:
    def test_a_source_that_keeps_failing_is_told_by_its_name(self, store: EmbeddedStore) -> None:
        store.put(a_record(Topic, id="shanlan"))
        source = a_record(_source(), id="forum", name="咖啡论坛", enabled=True)
        store.put(source)
        put_runs(store, "forum", until=NOW - 4 * HOUR)
        put_runs(store, "forum", since=NOW - 4 * HOUR, until=NOW, outcome=Outcome.CHANGED)
        (alert,) = watch(store, put_rule(store, "quiet", quiet_m=180), settings=some_settings(), now=NOW)
        assert "咖啡论坛" in alert.sentence
        assert "页面已改版" in alert.sentence
        (message,) = store.find(Notification)
        assert "咖啡论坛" in message.title

    def test_silence_is_told_only_where_there_is_usually_much(self, store: EmbeddedStore) -> None:
        source = a_record(_source(), id="feed", name="资讯", enabled=True)
        store.put(source)
        rule = put_rule(store, "quiet", quiet_m=180)
        add(store, usual_weeks(NOW - 4 * HOUR, weeks=3, every=10 * MINUTE))
        put_runs(store, "feed", until=NOW)
        (alert,) = watch(store, rule, settings=some_settings(), now=NOW)
        assert alert.expected == pytest.approx(18, abs=1)

    def test_a_source_with_few_mentions_may_be_silent(self, store: EmbeddedStore) -> None:
        store.put(a_record(_source(), id="feed", name="资讯", enabled=True))
        add(store, usual_weeks(NOW - 4 * HOUR, weeks=3, every=3 * HOUR))
        put_runs(store, "feed", until=NOW)
        assert watch(store, put_rule(store, "quiet", quiet_m=180), settings=some_settings(), now=NOW) == []

    def test_a_service_that_was_off_over_night_tells_nothing_in_the_morning(self, store: EmbeddedStore) -> None:
        store.put(a_record(_source(), id="feed", name="资讯", enabled=True))
        add(store, usual_weeks(NOW - 10 * HOUR, weeks=3, every=10 * MINUTE))
        put_runs(store, "feed", until=NOW - 10 * HOUR)
        assert watch(store, put_rule(store, "quiet", quiet_m=180), settings=some_settings(), now=NOW) == []


def _source() -> type:
    from index.models import Source

    return Source


@pytest.mark.usefixtures("topic")
class TestKills:
    def test_a_kill_between_alert_and_outbox_loses_no_message(
        self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(store, negatives(12, at=NOW))
        rule = put_rule(store, "threshold", at_least=10)
        with monkeypatch.context() as patch:
            patch.setattr("alerts.watch.tell", _killed)
            with pytest.raises(KeyboardInterrupt):
                watch(store, rule, settings=some_settings(), now=NOW)
        assert store.tally(Alert) == 1
        assert store.tally(Notification) == 0
        watch(store, rule, settings=some_settings(), now=NOW + MINUTE)
        assert store.tally(Alert) == 1
        assert store.tally(Notification) == 1

    def test_a_resolved_alert_whose_message_was_cut_is_told_later(self, store: EmbeddedStore) -> None:
        rule = put_rule(store, "threshold", at_least=10)
        add(store, negatives(12, at=NOW))
        (alert,) = watch(store, rule, settings=some_settings(), now=NOW)
        store.put(crisis.expire(alert, NOW + 3 * HOUR, rule)[0])
        tell(store, rule, settings=some_settings(), now=NOW + 3 * HOUR)
        assert {n.event for n in store.find(Notification)} == {"opened", "resolved"}


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("topic")
def test_three_rules_that_see_one_crisis_send_one_message(store: EmbeddedStore, collector: Collector) -> None:
    crisis_words = "、".join(CRISIS_WORDS[:2])
    mentions = [
        m.model_copy(update={"text": f"{m.text} {i}", "story_id": m.id})
        for i, m in enumerate(negatives(40, at=NOW, text=f"喝完{crisis_words}", severity=2))
    ]
    add(store, [*usual_weeks(NOW), *mentions])
    channel = a_channel(collector)
    settings = some_settings(channel)
    rules = [put_rule(store, "match", words=("食物中毒",)), put_rule(store, "threshold"), put_rule(store, "spike")]
    sender = Webhook("inbox", collector.url)
    for minute in range(4):
        now = NOW + minute * MINUTE
        for rule in rules:
            watch(store, store.get(Rule, rule.id) or rule, settings=settings, now=now)
        deliver_due(store, {"inbox": sender}, settings.channels, now=now, clock=lambda now=now: now)
    assert len(collector.received) == 1
    assert not store.find(Notification, {"state": NotificationState.PENDING})


@pytest.mark.usefixtures("topic")
def test_a_trial_tells_what_the_live_rule_told(store: EmbeddedStore) -> None:
    since = NOW - 20 * HOUR
    bursts = [*negatives(30, at=NOW - 18 * HOUR), *negatives(60, at=NOW - 5 * HOUR, severity=2)]
    add(store, [*usual_weeks(NOW, every=HOUR), *bursts])
    put_runs(store, "feed", until=NOW - 13 * HOUR, every=30 * MINUTE)
    put_runs(store, "feed", since=NOW - 9 * HOUR, until=NOW, every=30 * MINUTE)
    for kind in ("spike", "threshold"):
        rule = put_rule(store, kind, every_s=600)
        tried = [(b.at, b.level, b.value) for b in try_rule(store, rule, since, NOW)]
        lived = []
        now, cache = since, FactsCache()
        while now <= NOW:
            told = watch(store, rule, settings=some_settings(), now=now, cache=cache)
            lived += [(now, alert.level, alert.value) for alert in told if alert.state != AlertState.RESOLVED]
            now += timedelta(seconds=600)
        assert tried == lived
        assert tried


@pytest.mark.usefixtures("topic")
def test_a_past_that_arrives_late_is_counted_at_once(store: EmbeddedStore) -> None:
    """The rule runs before the first crawl has brought the past of five weeks."""
    rule, cache = put_rule(store, "spike"), FactsCache()
    assert watch(store, rule, settings=some_settings(), now=NOW, cache=cache) == []
    add(store, [*usual_weeks(NOW), *negatives(40, at=NOW)], now=NOW + MINUTE)
    assert watch(store, rule, settings=some_settings(), now=NOW + 2 * MINUTE, cache=cache)


def test_rules_that_look_back_differently_share_the_cache_of_runs(store: EmbeddedStore) -> None:
    put_runs(store, "feed", until=NOW, since=NOW - 3 * HOUR)
    cache = FactsCache()
    assert len(cache.runs(store, "feed", NOW - HOUR)) == 5
    assert len(cache.runs(store, "feed", NOW - 3 * HOUR)) == 13
    assert len(cache.runs(store, "feed", NOW - HOUR)) == 5
    put_runs(store, "feed", until=NOW + HOUR, since=NOW + HOUR)
    assert len(cache.runs(store, "feed", NOW - 3 * HOUR)) == 14


def test_an_overdue_task_makes_one_message(store: EmbeddedStore) -> None:
    store.put(a_record(Task, due_at=NOW - MINUTE))
    store.put(a_record(Task, due_at=NOW + MINUTE))
    assert len(tell_overdue(store, settings=some_settings(), now=NOW)) == 1
    assert tell_overdue(store, settings=some_settings(), now=NOW) == []


def test_messages_wait_for_others_about_the_same_topic() -> None:
    assert timedelta(0) < GROUP_WAIT <= MINUTE
