from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest

from alerts.mute import SILENCE_WORDS, Silence, inhibits, mutes, quiet_until
from index.models import Alert, Level, Mute
from tests.builders import NOW, a_record

HOUR = timedelta(hours=1)


def an_alert(**changes: object) -> Alert:
    alert: Alert = a_record(Alert, **changes)
    return alert


def test_a_silence_acts_on_all_that_it_names_until_it_ends() -> None:
    silence = a_record(Mute, topic="shanlan", rule="spike", until=NOW + HOUR)
    assert mutes(an_alert(), [silence], NOW) == Silence.MUTED
    assert mutes(an_alert(), [silence], NOW + HOUR) is None
    assert mutes(an_alert(topic="other"), [silence], NOW) is None


def test_an_alert_can_be_muted_by_itself() -> None:
    assert mutes(an_alert(muted_until=NOW + HOUR), [], NOW) == Silence.MUTED


@pytest.mark.parametrize(
    ("clock", "until"),
    [("23:30", "2026-11-27 07:00"), ("03:00", "2026-11-26 07:00"), ("07:00", None), ("12:00", None)],
)
def test_quiet_hours_may_pass_midnight(clock: str, until: str | None) -> None:
    now = datetime.fromisoformat(f"2026-11-26 {clock}+08:00")
    expected = datetime.fromisoformat(f"{until}+08:00") if until else None
    assert quiet_until((time(23), time(7)), Level.ORANGE, now) == expected


def test_red_passes_quiet_hours() -> None:
    assert quiet_until((time(0), time(23, 59)), Level.RED, NOW) is None


def test_an_alert_on_the_topic_covers_those_on_its_stories() -> None:
    whole = an_alert(story_id=None, level="orange")
    assert inhibits(an_alert(story_id="s", level="yellow"), [whole]) == Silence.INHIBITED
    assert inhibits(an_alert(story_id="s", level="red"), [whole]) is None
    assert inhibits(an_alert(story_id=None), [whole]) is None


def test_every_reason_has_words() -> None:
    assert set(SILENCE_WORDS) == set(Silence)
