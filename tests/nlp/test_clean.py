"""Cleaning for the store, own words for folding, and the text that the model reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.clean import FORWARD_MARK, MODEL_CHARS, NAME_MARK, URL_MARK, clean, for_model, own_words


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("<p>好喝&amp;便宜</p><p>再来</p>", "好喝&便宜\n\n再来"),
        ("前<script>alert(1)</script>后", "前后"),
        ("<img src=x onerror=alert(1)>图", "图"),
        ('<a href="http://x.com/?a=1&amp;b=2">看这里</a>', "看这里"),
        ("前<!-- 注释 -->后", "前后"),
        ("<![CDATA[<b>粗</b>体]]>", "粗体"),
        ("&lt;p&gt;转义过的&lt;/p&gt;", "转义过的"),
        ("价格 a<b 且 c>d", "价格 a<b 且 c>d"),
        ("**不是** [标记](x) =CMD()", "**不是** [标记](x) =CMD()"),
        ("没有结束<script>的脚本", "没有结束的脚本"),
        ("没有结束 <!-- 的注释", "没有结束 <!-- 的注释"),
        ("http://x.com/?a=1&copy=2", "http://x.com/?a=1&copy=2"),
    ],
)
def test_it_makes_plain_text_of_markup_and_leaves_what_is_none(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("垃\u200b圾\ufeff", "垃圾"),
        ("翻\u202e转\x00控\x1b制", "翻转控制"),
        ("半个\ud83d代理", "半个代理"),
        ("一家👨\u200d👩\u200d👧人", "一家👨\u200d👩\u200d👧人"),
        ("藏\u200d字", "藏字"),
    ],
)
def test_it_takes_out_what_nobody_sees_but_keeps_emoji_whole(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_it_makes_full_width_letters_plain_and_keeps_chinese_punctuation() -> None:
    assert clean("ＡＢＣ１２３　ｘ＠ｙ，好！（真的）") == "ABC123 x@y，好！（真的）"


def test_it_tidies_blanks_and_empty_lines() -> None:
    assert clean("  一\t \t二 \r\n\r\n\r\n \n三  ") == "一 二\n\n三"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", ["<!--", "<script>", "<a ", "<p", "<p a='", '<p a="', "&#", "</p", "<![CDATA[", "//@a", "http://"]
)
def test_broken_markup_does_not_hang_the_cleaner(unit: str) -> None:
    assert isinstance(for_model("<p>" + unit * (200_000 // len(unit))), str)


@given(st.text())
def test_any_text_is_cleaned_and_nothing_invisible_stays(text: str) -> None:
    shown = clean(text)
    assert shown == shown.strip()
    assert not set(shown) & set("\x00\x1b\u200b\u202e\ufeff\r\t")
    shown.encode()
    for_model(text)


@given(st.text(alphabet=st.characters(exclude_characters="<&")))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("太难喝了//@小明:我觉得还行//@小红：一般", "太难喝了"),
        ("转发微博 //@小明:原来的话", "原来的话"),
        ("//@小明:原来的话", "原来的话"),
        ("【转】原来的话", "原来的话"),
        ("RT @小明: 原来的话", "原来的话"),
        ("转发到群里大家都说好", "转发到群里大家都说好"),
        ("看 http://x.com//@a", "看 http://x.com//@a"),
        ("", ""),
    ],
)
def test_own_words_are_what_the_writer_adds_or_else_what_is_forwarded(text: str, own: str) -> None:
    assert own_words(text) == own


def test_the_model_reads_marks_for_names_addresses_and_forwards() -> None:
    read = for_model("臺灣的咖啡１２塊 @小明 http://t.cn/Abc //@小红:好喝 #新品上市# [泪] 😭")
    assert read == f"台湾的咖啡12块 {NAME_MARK} {URL_MARK} {FORWARD_MARK}好喝 #新品上市# [泪] 😭"
    assert for_model(read) == read


def test_a_text_that_is_stored_holds_no_marks_of_ours() -> None:
    assert clean(f"好{NAME_MARK}喝 {URL_MARK} &#xe002;真的") == "好喝 真的"


def test_a_very_long_text_is_cut_for_the_model() -> None:
    assert len(for_model("长" * 100_000)) <= MODEL_CHARS + 1
