"""Texts written another way, and how many labels flip under it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.models import Labels
from index.text import fold
from nlp.robustness import CHANGES, flips
from nlp.rows import Row
from tests.builders import some_labels

CHANGE = {change.name: change for change in CHANGES}


class ReadsWords:
    """Negative where one of the words stands, else positive."""

    version = "test-1"

    def __init__(self, *bad: str) -> None:
        self.bad = bad

    def read(self, texts: Sequence[str]) -> list[Labels]:
        return [
            some_labels("negative", "complaint", 1)
            if any(word in text for word in self.bad)
            else some_labels("positive", "praise")
            for text in texts
        ]


@pytest.mark.parametrize(
    ("name", "text", "other"),
    [
        ("traditional", "这个软件很难用", "這個軟件很難用"),
        ("taiwanese", "这个软件很难用", "這個軟體很難用"),
        ("full_width", "iPhone 3999 贵! http://t.cn/a1", "ｉＰｈｏｎｅ　３９９９　贵！　http://t.cn/a1"),
        ("no_emoticons", "好喝[馋嘴][心]👍", "好喝"),
        ("no_last_sign", "太慢了！！", "太慢了"),
        ("full_stop", "太慢了", "太慢了。"),
        ("sounds", "垃圾，什么东西", "辣鸡，神马东东"),
        ("slips", "已经再也不买", "以经在也不买"),
    ],
)
def test_a_change_writes_the_text_another_way(name: str, text: str, other: str) -> None:
    assert CHANGE[name].apply(text) == other


def test_a_hidden_brand_is_gone_and_two_of_them_stay_apart() -> None:
    hidden = CHANGE["brand_hidden"].apply("华为比小米贵, 华为好")
    assert hidden == "青禾比沐川贵, 青禾好"


@pytest.mark.parametrize("text", ["目的地在当地的地铁站旁", "我觉得值得", "的确如此", "地址不对"])
def test_words_that_only_hold_a_de_are_left_alone(text: str) -> None:
    changed = CHANGE["de"].apply(text)
    assert all(word in changed for word in ("地铁", "觉得", "值得", "的确", "地址", "当地") if word in text)


def test_one_brand_becomes_one_invented_name_wherever_it_stands() -> None:
    changed = CHANGE["brand_short"].apply("华为比小米贵, 华为好")
    assert "华为" not in changed
    assert "小米" not in changed
    assert changed[:2] == changed.split(", ")[1][:2]


def test_fruit_and_grain_are_no_brands() -> None:
    assert CHANGE["brand_long"].apply("苹果很甜") == "苹果很甜"


@pytest.mark.parametrize("name", ["traditional", "full_width"])
@given(text=st.text(st.sampled_from("买的手机质量很差abc12 ,!?客服软网络")))
def test_script_and_width_are_gone_once_a_text_is_folded(name: str, text: str) -> None:
    assert fold(CHANGE[name].apply(text)) == fold(text)


def test_flips_are_counted_over_the_texts_that_a_change_applies_to() -> None:
    rows = [
        Row("垃圾店", intent="complaint", sentiment="negative"),
        Row("垃圾服务", intent="complaint", sentiment="negative"),
        Row("好吃不贵", intent="praise", sentiment="positive"),
        Row("无事", intent="other", sentiment="neutral"),
    ]
    found = flips(rows, ReadsWords("垃圾店", "好次"))["sounds"]
    assert found["n"] == 3
    assert found["sentiment"] == pytest.approx(2 / 3)
    assert found["intent"] == pytest.approx(2 / 3)
    assert found["severity_at_least_1"] == pytest.approx(2 / 3)
    assert found["sentiment_accuracy_change"] == pytest.approx(-2 / 3)


def test_a_change_that_applies_nowhere_or_leaves_no_words_has_no_figures() -> None:
    found = flips([Row("[心]")], ReadsWords())
    assert found["no_emoticons"] == {"n": 0}
    assert found["sounds"] == {"n": 0}
