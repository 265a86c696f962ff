"""The query language: what it means, and how it says what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.query import (
    And,
    FieldIs,
    Near,
    Not,
    Or,
    Prefix,
    Words,
    is_negative,
    leaves,
    literals,
    matches,
    parse,
)
from index.store import QueryError
from index.text import fold
from tests.builders import a_mention, a_persona, some_labels
from tests.index.chinese import texts

A, B, C = Words("咖啡"), Words("奶茶"), Words("加盟")


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", None),
        (" 　\n", None),
        ("咖啡", A),
        ("咖啡 奶茶", And((A, B))),
        ("咖啡 AND 奶茶 && 加盟", And((A, B, C))),
        ("咖啡 OR 奶茶 || 加盟", Or((A, B, C))),
        ("咖啡 OR 奶茶 加盟", Or((A, And((B, C))))),
        ("（咖啡 OR 奶茶）加盟", And((Or((A, B)), C))),
        ("(咖啡 OR (奶茶 OR 加盟))", Or((A, B, C))),
        ("咖啡 NOT 加盟", And((A, Not(C)))),
        ("咖啡 -加盟 !奶茶", And((A, Not(C), Not(B)))),
        ("NOT NOT 咖啡", A),
        ("-加盟", Not(C)),
        ("-(咖啡 奶茶)", Not(And((A, B)))),
        ("“咖啡”", A),
        ("「咖啡」", A),
        ('"咖啡 奶茶"', Words("咖啡 奶茶")),
        ('"AND"', Words("and")),
        ("and or not", And((Words("and"), Words("or"), Words("not")))),
        ("ANDROID", Words("android")),
        ("2024-11", Words("2024-11")),
        ("10:30", Words("10:30")),
        ("太好吃了！ 真的", And((Words("太好吃了!"), Words("真的")))),
        ("國際", Words("国际")),
        ("NEAR/5(咖啡 “奶茶”)", Near(("咖啡", "奶茶"), 5)),
        ("NEAR/0（咖啡 奶茶）", Near(("咖啡", "奶茶"), 0)),
        ("platform:weibo", FieldIs("platform", "weibo")),
        ("平台：微博", FieldIs("platform", "weibo")),
        ("情感:负面", FieldIs("sentiment", "negative")),
        ("意图:投诉", FieldIs("intent", "complaint")),
        ("severity:2", FieldIs("severity", "2")),
        ("aspect:taste", FieldIs("aspect", "taste")),
        ("方面:口味:负面", FieldIs("aspect", "taste:negative")),
        ("verified:是", FieldIs("verified", "true")),
        ('author:"小 林"', FieldIs("author", "小 林")),
        ("platform:(weibo OR 知乎)", Or((FieldIs("platform", "weibo"), FieldIs("platform", "zhihu")))),
        ("-platform:weibo 咖啡", And((Not(FieldIs("platform", "weibo")), A))),
    ],
)
def test_it_reads(text, node):
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("咖啡 (奶茶", 3, "第 4 个字符处的左括号没有配对"),
        ("((咖啡)", 0, "左括号没有配对"),
        ("咖啡) 奶茶", 2, "第 3 个字符的右括号没有对应的左括号"),
        ("()", 0, "括号里没有内容"),
        ('咖啡 "奶茶', 3, "引号没有配对"),
        ("咖啡 AND", 5, "缺少检索词"),
        ("OR 咖啡", 0, "却遇到 OR"),
        ("咖啡 OR OR 奶茶", 6, "却遇到 OR"),
        ("咖啡 NOT", 5, "缺少检索词"),
        ("咖啡*", 0, "不支持通配符"),
        ("！！", 0, "只有标点"),
        ("colour:red", 0, "没有名为 colour 的字段"),
        ("sentimant:negative", 0, "是不是 sentiment?"),
        ("sentiment:bad", 10, "可用的有 negative, neutral, positive, 负面, 中性, 正面"),
        ("severity:3", 9, "可用的有 0, 1, 2"),
        ("aspect:taste:good", 7, "方面的倾向只能是"),
        ("aspect:colour", 7, "logistics"),
        ("platform:", 0, "缺少值"),
        ("platform:(weibo", 9, "左括号没有配对"),
        ("platform:(sentiment:negative)", 10, "字段的括号里只能写值"),
        ("NEAR/x(咖啡 奶茶)", 0, "整数"),
        ("NEAR/5(咖啡)", 0, "至少需要两个词"),
        ("NEAR/5(咖啡 (奶茶))", 10, "只能写词"),
        ("NEAR/5(咖啡 奶茶", 0, "左括号没有配对"),
        ("(" * 60 + "咖啡" + ")" * 60, 50, "括号嵌套超过 50 层"),
    ],
)
def test_it_says_what_is_wrong_and_where(text, position, said):
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert caught.value.position == position


def test_it_reads_prefixes_only_where_wildcards_are_on():
    assert parse("iPh*", wildcards=True) == Prefix("iph")
    for wrong in ("*", "i*h", "咖*", "a1*"):
        with pytest.raises(QueryError, match="通配符"):
            parse(wrong, wildcards=True)


def position_of_mistake(text):
    try:
        parse(text, wildcards=True)
    except QueryError as e:
        return e.position
    return None


@given(st.text(max_size=40) | st.text('咖ab ()"*:-!', max_size=12))
def test_it_reads_or_refuses_any_text(text):
    assert position_of_mistake(text) is None or 0 <= position_of_mistake(text) <= len(text)


def test_it_copes_with_many_thousand_words():
    node = parse(" OR ".join(f"词{number}" for number in range(20_000)))
    assert len(list(leaves(node))) == 20_000
    assert not matches(node, "没有", None)


@pytest.mark.parametrize(
    ("text", "said", "expected"),
    [
        ("咖啡 -加盟", "喝咖啡", True),
        ("咖啡 -加盟", "咖啡加盟", False),
        ("咖啡 OR 奶茶", "奶茶", True),
        ("iph*", "iphone", True),
        ("iph*", "xiphone", False),
        ("phone", "iphone15", False),
        ("NEAR/3(咖啡 异味)", "咖啡有股异味", True),
        ("NEAR/1(咖啡 异味)", "咖啡有股异味", False),
        ("NEAR/3(异味 咖啡)", "咖啡有股异味", True),
        ("NEAR/1(山 岚 店)", "山岚小店", True),
        ("NEAR/0(山 岚 店)", "山岚小店", False),
        ("NEAR/1(咖啡 咖啡)", "咖啡", False),
        ("NEAR/1(咖啡 咖啡)", "咖啡和咖啡", True),
        ("NEAR/2(iphone 坏)", "iphone 15坏", True),
    ],
)
def test_it_matches(text, said, expected):
    assert matches(parse(text, wildcards=True), fold(said), a_mention(said)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("platform:weibo", True),
        ("platform:zhihu", False),
        ("topic:shanlan", True),
        ("sentiment:negative", True),
        ("intent:praise", False),
        ("severity:1", True),
        ("aspect:taste", True),
        ("aspect:taste:positive", False),
        ("kind:帖子", True),
        ("author:小林", True),
        ("author:weibo:U7", True),
        ("verified:true", False),
        ("region:上海", True),
        ("source:weibo-feed", True),
    ],
)
def test_a_field_looks_at_the_mention(text, expected):
    persona = a_persona(id="weibo:u7", name="小林", verified=None, region="上海")
    mention = a_mention(persona=persona, labels=some_labels(severity=1, aspects="taste:negative"))
    assert matches(parse(text), "", mention) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("-咖啡", True), ("咖啡 -奶茶", False), ("-咖啡 -奶茶", True), ("咖啡 OR -奶茶", True), ("-(咖啡 -奶茶)", True)],
)
def test_it_tells_queries_that_a_text_without_any_of_the_words_fits(text, expected):
    assert is_negative(parse(text)) is expected


@given(texts, st.lists(texts, min_size=1, max_size=4))
def test_a_text_that_fits_holds_the_literal_of_the_word(text, words):
    for word in words:
        try:
            node = parse('"' + word + '"')
        except QueryError:
            continue
        folded = fold(text)
        if node is not None and matches(node, folded, None):
            assert literals(node)[0] in folded
