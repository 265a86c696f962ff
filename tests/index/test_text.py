"""Folding and tokenisation: what is comparable, and what a phrase finds."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.text import BREAK, contains, fold, pattern, phrase, search_text, tokens, units
from tests.index.chinese import chinese_words, texts


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＡＢＣ１２３", "abc123"),
        ("國際體驗", "国际体验"),
        ("iPhone 15 Pro", "iphone 15 pro"),
        ("加\u200b盟", "加盟"),
        ("❤️", "❤"),
        ("①", "1"),
    ],
)
def test_it_folds_what_people_write_in_several_ways(text, folded):
    assert fold(text) == folded


@given(st.text(st.sampled_from("，！？：；（）～…\u3000\u0301\u200b가각ｶﾞe國") | st.characters(), max_size=30))
def test_the_short_way_for_common_punctuation_changes_nothing(text):
    folded = fold(text)
    with patch("index.text._COMMON_WIDE", ()):
        assert fold(text) == folded


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing_more_on_common_text(text):
    text = "".join(character for character in text if character.isalpha() and ord(character) >= 0x3400)
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("山岚咖啡", "山岚 岚咖 咖啡 啡"),
        ("iphone15手机", "iphone 15 手机 机"),
        ("好喝!!下次", f"好喝 喝 {BREAK} 下次 次"),
        ("气死😡了", "气死 死 😡 了"),
        ("", ""),
    ],
)
def test_tokens_are_bigrams_words_numbers_and_breaks(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("咖啡", ("咖啡", False)),
        ("咖啡店", ("咖啡 啡店", False)),
        ("店", ("店", True)),
        ("15店", ("15 店", True)),
        ("店a", ("店 a", False)),
        ("#日常#", ("日常", False)),
        ("换季 新品", (f"换季 季 {BREAK} 新品", False)),
        ("，。", None),
        ("", None),
    ],
)
def test_a_phrase_ends_with_a_prefix_only_where_no_bigram_covers_the_last_character(words, expected):
    assert phrase(words) == expected


@given(texts, chinese_words)
def test_chinese_words_are_found_exactly_where_they_are_a_substring(text, words):
    folded, wanted = fold(text), fold(words)
    assert contains(folded, wanted) == (wanted in folded)
    assert (pattern(wanted).search(folded) is not None) == (wanted in folded)


@given(texts, texts)
def test_a_pattern_finds_what_the_phrase_of_tokens_finds(text, words):
    folded, wanted = fold(text), fold(words)
    found = phrase(wanted)
    if found is None:
        assert pattern(wanted) is None
        return
    text_tokens, is_prefix = f" {tokens(folded)} ", found[1]
    in_tokens = f" {found[0]}" in text_tokens if is_prefix else f" {found[0]} " in text_tokens
    assert contains(folded, wanted) == in_tokens


@given(texts)
def test_there_are_as_many_tokens_as_units(text):
    folded = fold(text)
    assert len(units(folded)) == len(tokens(folded).split())


def test_title_and_text_are_searched_but_never_joined():
    assert not contains(search_text("山岚咖", "啡店"), "咖啡")
    assert contains(search_text("山岚咖啡", "好喝"), "好喝")
