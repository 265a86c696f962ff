"""Names of topics: out of the model's sight, whatever they are and however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.clean import for_model
from nlp.names import STAND_INS, hiding

NAMES = st.text("山岚青屿好想你坏孩子", min_size=2, max_size=6)


@given(NAMES, NAMES)
def test_a_text_is_the_same_whatever_the_name_of_the_brand_is(one: str, other: str) -> None:
    texts = [f"{name}的客服不理人, 再也不买{name}!" for name in (one, other)]
    assert hiding([[one]])(texts[0]) == hiding([[other]])(texts[1])


@pytest.mark.parametrize("written", ["ShanLan", "ＳＨＡＮＬＡＮ", "山嵐", "山岚"])
def test_a_name_is_found_however_it_is_written(written: str) -> None:
    assert hiding([["shanlan", "山岚"]])(f"喝了{written}") == f"喝了{STAND_INS[0]}"


def test_names_of_one_topic_become_one_and_those_of_two_stay_apart() -> None:
    hidden = hiding([["青屿"], ["山岚咖啡", "岚咖"]])
    one, two = STAND_INS[:2]
    assert hidden("山岚咖啡比青屿好, 岚咖加油") == f"{one}比{two}好,{one}加油".replace(",", ", ")


def test_the_longest_name_is_taken() -> None:
    assert hiding([["山岚", "山岚咖啡"]])("山岚咖啡不错") == f"{STAND_INS[0]}不错"


def test_a_latin_name_inside_another_word_stays() -> None:
    hidden = hiding([["vivo", "x7"]])
    assert hidden("vivobook 和 ax72 都行") == "vivobook 和 ax72 都行"
    assert hidden("买了vivo手机和x7") == f"买了{STAND_INS[0]}手机和{STAND_INS[0]}"


def test_a_latin_name_ends_where_digits_begin_as_in_a_search() -> None:
    hidden = hiding([["iphone", "x7"]])
    assert hidden("iphone15比x7pro好, x75没用过") == f"{STAND_INS[0]}15比{STAND_INS[0]}pro好, x75没用过"


def test_signs_in_a_name_are_no_pattern() -> None:
    assert hiding([["c.c", "a+"]])("cxc 与 c.c, aa 与 a+") == f"cxc 与 {STAND_INS[0]}, aa 与 {STAND_INS[0]}"


def test_a_name_of_nothing_visible_hides_nothing() -> None:
    assert hiding([["\u200b\u200b"]])("山岚") == "山岚"


def test_without_names_a_text_is_read_as_it_is() -> None:
    assert hiding([[], []])("山嵐 @某人 https://a.cn") == for_model("山嵐 @某人 https://a.cn")


def test_what_was_hidden_is_read_as_it_stands() -> None:
    hidden = hiding([["山岚"]])("@某人 说山岚 https://a.cn 好喝 [赞]//@别人: 山岚&lt;3")
    assert for_model(hidden) == hidden
