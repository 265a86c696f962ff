from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alerts import crisis
from alerts.crisis import AlertError, apply, expire
from index.models import Alert, AlertState, Breach, Level, Reason, Rule
from tests.builders import NOW, a_record

RULE: Rule = a_record(Rule, id="r", cool_down_m=60)
MINUTE = timedelta(minutes=1)


def a_breach(level: Level = Level.YELLOW, at: datetime = NOW, **changes: object) -> Breach:
    fields = {
        "rule": "r",
        "topic": "t",
        "at": at,
        "level": level,
        "reason": Reason.SPIKE,
        "value": 20,
        "sentence": "多",
    }
    return Breach(**{**fields, **changes})


def an_alert(level: Level = Level.YELLOW) -> Alert:
    return apply(a_breach(level), None, NOW, RULE)[0]


def test_the_same_breach_makes_the_same_id() -> None:
    later = a_breach(at=NOW + timedelta(minutes=4, seconds=59))
    assert apply(later, None, NOW + 4 * MINUTE, RULE)[0].id == an_alert().id


def test_only_a_rise_of_the_level_is_told_again() -> None:
    alert, events = apply(a_breach(value=25), an_alert(), NOW + MINUTE, RULE)
    assert (events, alert.value) == ((), 25)
    alert, events = apply(a_breach(Level.RED), alert, NOW + MINUTE, RULE)
    assert (events, alert.level, alert.peak_level) == (("raised",), Level.RED, Level.RED)
    alert, events = apply(a_breach(Level.ORANGE), alert, NOW + MINUTE, RULE)
    assert (events, alert.level) == ((), Level.RED)


def test_evidence_added_by_a_person_stays_when_the_next_breach_brings_others() -> None:
    alert = apply(a_breach(evidence=("x:1", "x:2")), None, NOW, RULE)[0]
    alert = crisis.add_evidence(alert, mention_id="x:9", actor="小林", now=NOW)
    assert alert.evidence == ("x:9", "x:1", "x:2")
    assert (alert.timeline[-1].actor, alert.timeline[-1].action, alert.timeline[-1].note) == (
        "小林",
        "evidence_added",
        "x:9",
    )
    later, _ = apply(a_breach(evidence=("x:3", "x:9")), alert, NOW + MINUTE, RULE)
    assert later.evidence == ("x:9", "x:3")


def test_only_added_evidence_can_be_taken_back() -> None:
    alert = apply(a_breach(evidence=("x:1",)), None, NOW, RULE)[0]
    with pytest.raises(AlertError, match="由人加入"):
        crisis.remove_evidence(alert, mention_id="x:1", actor="小林", now=NOW)
    added = crisis.add_evidence(alert, mention_id="x:9", actor="小林", now=NOW)
    removed = crisis.remove_evidence(added, mention_id="x:9", actor="小林", now=NOW)
    assert removed.evidence == ("x:1",)
    assert crisis.added_evidence(removed) == ()


def test_the_same_evidence_is_not_added_twice_nor_to_an_alert_that_is_over() -> None:
    alert = crisis.add_evidence(an_alert(), mention_id="x:9", actor="小林", now=NOW)
    with pytest.raises(AlertError, match="已经是"):
        crisis.add_evidence(alert, mention_id="x:9", actor="小周", now=NOW)
    over = crisis.resolve(alert, reason="已处理", actor="小林", now=NOW)
    with pytest.raises(AlertError, match="已经解除"):
        crisis.add_evidence(over, mention_id="x:8", actor="小林", now=NOW)


def test_a_level_lowered_by_a_person_is_not_raised_by_the_same_numbers() -> None:
    lowered = crisis.set_level(an_alert(Level.ORANGE), level=Level.BLUE, reason="已联系", actor="小林", now=NOW)
    alert, events = apply(a_breach(Level.ORANGE), lowered, NOW + MINUTE, RULE)
    assert (events, alert.level) == ((), Level.BLUE)


def test_it_is_over_after_the_cool_down_without_a_breach() -> None:
    assert expire(an_alert(), NOW + 59 * MINUTE, RULE)[1] == ()
    over, events = expire(an_alert(), NOW + 60 * MINUTE, RULE)
    assert (events, over.state, over.resolved_at) == (("resolved",), AlertState.RESOLVED, NOW + 60 * MINUTE)


def test_what_a_person_resolved_does_not_open_again_while_it_goes_on() -> None:
    alert = crisis.resolve(an_alert(), reason="已回应", actor="小林", now=NOW)
    for minutes in range(1, 300, 5):
        now = NOW + minutes * MINUTE
        alert, events = apply(a_breach(at=now), alert, now, RULE)
        assert events == ()
    fresh, events = apply(a_breach(at=now + 61 * MINUTE), alert, now + 61 * MINUTE, RULE)
    assert events == ("opened",)
    assert fresh.id != alert.id


def test_a_higher_level_opens_again_even_after_a_false_alarm() -> None:
    alert = crisis.false_alarm(an_alert(), reason="同名", actor="小林", now=NOW)
    assert apply(a_breach(Level.RED), alert, NOW + MINUTE, RULE)[1] == ("opened",)


def test_a_match_closes_after_a_day_without_a_word() -> None:
    alert = apply(a_breach(reason=Reason.RISK_WORD, story_id="s"), None, NOW, RULE)[0]
    assert expire(alert, NOW + timedelta(hours=23), RULE)[0].state == AlertState.OPEN
    over, events = expire(alert, NOW + timedelta(hours=24), RULE)
    assert (over.state, events) == (AlertState.RESOLVED, ())


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda alert: crisis.acknowledge(alert, actor="小林", now=NOW), "已经解除"),
        (lambda alert: crisis.assign(alert, owner="小王", actor="小林", now=NOW), "已经解除"),
        (lambda alert: crisis.resolve(alert, reason="x", actor="小林", now=NOW), "已经解除"),
        (lambda alert: crisis.mute(alert, until=NOW + MINUTE, actor="小林", now=NOW), "已经解除"),
    ],
    ids=["acknowledge", "assign", "resolve", "mute"],
)
def test_nothing_can_be_done_with_what_is_resolved(act: object, text: str) -> None:
    over = crisis.resolve(an_alert(), reason="已回应", actor="小林", now=NOW)
    with pytest.raises(AlertError, match=text):
        act(over)  # type: ignore[operator]


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_decision_needs_its_reason(reason: str) -> None:
    with pytest.raises(AlertError, match="原因"):
        crisis.resolve(an_alert(), reason=reason, actor="小林", now=NOW)
    with pytest.raises(AlertError, match="原因"):
        crisis.set_level(an_alert(), level=Level.RED, reason=reason, actor="小林", now=NOW)


class AlertLife(RuleBasedStateMachine):
    """Breaches, silence and people in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.alert: Alert | None = None
        self.told: list[tuple[str, str, Level]] = []

    @rule(minutes=st.integers(1, 90))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        if self.alert is not None:
            self.alert, events = expire(self.alert, self.now, RULE)
            self._tell(events)

    @rule(level=st.sampled_from(list(Level)))
    def breach(self, level: Level) -> None:
        before = self.alert
        self.alert, events = apply(a_breach(level, self.now), before, self.now, RULE)
        if before is not None and before.state != AlertState.RESOLVED:
            assert bool(events) == (level.rank > before.peak_level.rank)
            assert self.alert.id == before.id
        self._tell(events)

    @precondition(lambda self: self.alert is not None)
    @rule(act=st.sampled_from(["acknowledge", "assign", "resolve", "false_alarm", "lower", "note"]))
    def person(self, act: str) -> None:
        assert self.alert is not None
        alert, now = self.alert, self.now
        try:
            self.alert = {
                "acknowledge": lambda: crisis.acknowledge(alert, actor="小林", now=now),
                "assign": lambda: crisis.assign(alert, owner="小王", actor="小林", now=now),
                "resolve": lambda: crisis.resolve(alert, reason="好", actor="小林", now=now),
                "false_alarm": lambda: crisis.false_alarm(alert, reason="同名", actor="小林", now=now),
                "lower": lambda: crisis.set_level(alert, level=Level.BLUE, reason="小", actor="小林", now=now),
                "note": lambda: crisis.note(alert, text="记一笔", actor="小林", now=now),
            }[act]()
        except AlertError:
            assert self.alert == alert

    def _tell(self, events: tuple[str, ...]) -> None:
        assert self.alert is not None
        self.told += [(self.alert.id, event, self.alert.level) for event in events]

    @invariant()
    def nothing_is_told_twice(self) -> None:
        assert len(self.told) == len(set(self.told))

    @invariant()
    def the_timeline_only_grows_and_states_fit(self) -> None:
        if self.alert is None:
            return
        assert self.alert.timeline[0].action == "opened"
        assert [e.at for e in self.alert.timeline] == sorted(e.at for e in self.alert.timeline)
        assert self.alert.level.rank <= self.alert.peak_level.rank
        assert (self.alert.resolved_at is not None) == (self.alert.state == AlertState.RESOLVED)


TestAlertLife = AlertLife.TestCase
TestAlertLife.settings = hypothesis_settings(max_examples=40, stateful_step_count=25, deadline=None)
