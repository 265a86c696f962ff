from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import replies
from alerts.crisis import apply
from alerts.messages import texts
from alerts.messages.markup import cut_bytes, inert, link, plain
from index.models import Breach, Customer, Intent, Level, Reason, Rule
from tests.builders import NOW, a_mention, a_persona, a_record, some_labels


@given(st.text(max_size=400))
def test_nothing_in_a_strangers_text_can_act(text: str) -> None:
    line = inert(text)
    assert not re.search(r"[<>\[\]()`*_#|@\\\n\r]", line)
    assert "://" not in line
    assert len(line) <= 120


@pytest.mark.parametrize("text", ["<@all> 看这里", '<at user_id="all"></at>', "[点我](javascript:alert(1))", "@所有人"])
def test_nobody_is_called_by_a_mention(text: str) -> None:
    body = texts.quote_line(a_mention(text))
    assert "<" not in body
    assert "@" not in body
    assert "](" not in body


def test_text_of_a_mention_stays_readable() -> None:
    assert "喝完 拉肚子, 投诉无门!".replace("!", "！") in inert("喝完\n拉肚子, 投诉无门!")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "/x", "ftp://h/x", "http:///x"])
def test_only_web_addresses_become_links(url: str) -> None:
    assert link("原文", url) == "原文"


def test_an_address_cannot_leave_its_link() -> None:
    assert link("原文", "https://h/a)b (c]\n") == "[原文](https://h/a%29b%20%28c%5D%0A)"


def test_mail_shows_addresses_in_the_open() -> None:
    assert plain("**a**\n> b [c](http://d)") == "a\n  b c http://d"


@given(st.text(max_size=300), st.integers(20, 200))
def test_a_cut_text_is_whole_characters_within_the_limit(text: str, limit: int) -> None:
    assert len(cut_bytes(text, limit).encode()) <= max(limit, 0)


def test_an_alerts_body_says_what_since_when_who_and_where() -> None:
    breach = Breach(
        rule="r", topic="t", at=NOW, level=Level.ORANGE, reason=Reason.SPIKE, value=46, sentence="近 1 小时负面 46 条"
    )
    alert, _ = apply(breach, None, NOW, a_record(Rule))
    mention = a_mention("喝完拉肚子", url="https://site.example/p/1", persona=a_persona(1, name="阿澈"))
    body = texts.alert_body(alert, "opened", "负面激增", [mention] * 5, "http://127.0.0.1:8501")
    assert "近 1 小时负面 46 条" in body
    assert "11-26 10:30" in body
    assert body.count("阿澈") == 3
    assert "[原文](https://site.example/p/1)" in body
    assert "http://127.0.0.1:8501/alerts?alert=" in body


class TestReplies:
    def test_all_drafts_can_be_read_and_filled(self) -> None:
        known = replies.templates()
        assert 15 <= len(known) <= 30
        assert all(not re.search(r"\{(?!name\}|brand\})", template.text) for template in known)

    def test_the_most_specific_draft_comes_first(self) -> None:
        mention = a_mention(
            persona=a_persona(1, name="阿澈"), labels=some_labels(severity=1, aspects="food_safety:negative")
        )
        first, *_ = replies.suggest(mention, None, "山岚咖啡")
        assert "食品安全" in first.source
        assert first.text.startswith("阿澈您好")

    def test_a_question_gets_no_apology_for_a_complaint(self) -> None:
        mention = a_mention(labels=some_labels(sentiment="neutral", intent="question"))
        assert all("投诉" not in each.source for each in replies.suggest(mention, None, "山岚咖啡"))

    def test_an_unread_mention_gets_none(self) -> None:
        assert replies.suggest(a_mention(), None, "山岚咖啡") == []

    def test_the_customers_real_name_is_not_made_public(self) -> None:
        customer = a_record(Customer, name="陈一一")
        mention = a_mention(persona=None, labels=some_labels())
        assert all("陈一一" not in each.text for each in replies.suggest(mention, customer, "山岚咖啡"))

    @pytest.mark.parametrize("intent", [intent for intent in Intent if intent != Intent.OTHER])
    def test_every_intent_has_a_draft(self, intent: Intent) -> None:
        assert replies.suggest(a_mention(labels=some_labels(intent=intent.value)), None, "山岚咖啡")
