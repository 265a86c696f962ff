"""Topics of a text: the automaton must say what the query language says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.query import matches
from index.store import QueryError
from index.text import search_text
from nlp.match import TopicMatcher, topic_node
from settings import TopicSettings
from tests.builders import a_mention


def a_topic(
    query: str, topic_id: str = "shanlan", exclude: tuple[str, ...] = (), enabled: bool = True
) -> TopicSettings:
    return TopicSettings(
        id=topic_id, name=f"主题{topic_id}", kind="brand", query=query, exclude=exclude, enabled=enabled
    )


@pytest.mark.parametrize(
    ("query", "text", "fits"),
    [
        ("山岚咖啡", "山嵐咖啡真好喝", True),
        ("山岚 OR ShanLan", "今天喝了ＳＨＡＮＬＡＮ", True),
        ("su", "这台suv不错", False),
        ("su", "这台su不错", True),
        ("7", "买了17个", False),
        ("iphone 15", "iphone15 很好", True),
        ('"山岚咖啡"', "山岚，咖啡", False),
        ("山岚 -加盟", "山岚招加盟", False),
        ("NEAR/3(山岚 异味)", "山岚有点异味", True),
        ("NEAR/3(山岚 异味)", "山岚的店员说那股很大的异味", False),
        ("(山岚 OR 青屿) AND 拉肚子", "青屿喝完拉肚子", True),
    ],
)
def test_a_query_fits_as_it_does_in_search(query: str, text: str, fits: bool) -> None:
    assert bool(TopicMatcher([a_topic(query)]).match(text)) is fits


def test_an_exclusion_acts_on_its_own_topic_only() -> None:
    matcher = TopicMatcher([a_topic("山岚", "one", exclude=("加盟", "招聘 店长")), a_topic("山岚", "two")])
    assert matcher.match("山岚招加盟") == ("two",)
    assert matcher.match("山岚招聘一名店长") == ("two",)
    assert matcher.match("山岚招聘店员") == ("one", "two")


def test_the_title_counts_but_no_phrase_reaches_from_it_into_the_text() -> None:
    matcher = TopicMatcher([a_topic("山岚咖啡")])
    assert matcher.match("难喝", title="山岚咖啡测评") == ("shanlan",)
    assert matcher.match("咖啡难喝", title="山岚") == ()


def test_a_disabled_topic_matches_nothing() -> None:
    assert TopicMatcher([a_topic("山岚", enabled=False)]).match("山岚") == ()


def test_no_topics_match_nothing() -> None:
    assert TopicMatcher([]).match("山岚") == ()


def test_conditions_on_fields_are_read_from_the_mention() -> None:
    matcher = TopicMatcher([a_topic("咖啡 platform:weibo", "on"), a_topic("platform:zhihu OR 奶茶", "or")])
    assert matcher.match("咖啡", mention=a_mention(platform="weibo")) == ("on",)
    assert matcher.match("咖啡", mention=a_mention(platform="zhihu")) == ("or",)
    assert matcher.match("咖啡奶茶") == ("or",)


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        (a_topic("NOT 山岚"), "只有排除条件"),
        (a_topic("  "), "是空的"),
        (a_topic("(山岚"), "左括号没有配对"),
        (a_topic("山岚", exclude=('"加盟',)), "排除词"),
        (a_topic("山岚", exclude=("NOT 加盟",)), "本身是否定的"),
    ],
)
def test_a_topic_that_cannot_be_used_is_named(topic: TopicSettings, said: str) -> None:
    with pytest.raises(QueryError, match=said) as caught:
        TopicMatcher([topic])
    assert "主题shanlan" in str(caught.value)


def test_ten_thousand_aliases_are_all_found() -> None:
    words = [f"品牌{chr(0x4E00 + number // 100)}{chr(0x4E00 + number % 100)}" for number in range(10_000)]
    matcher = TopicMatcher([a_topic(" OR ".join(words))])
    assert matcher.match(f"我喜欢{words[7777]}") == ("shanlan",)
    assert matcher.match("我喜欢品牌") == ()


_WORDS = st.sampled_from(
    ["山", "山岚", "岚咖", "咖啡", "su", "suv", "7", "17", '"a b"', '"山,岚"', "NEAR/1(山 咖)", "😀"]
)
_FIELDS = st.sampled_from(["platform:weibo", "platform:zhihu"])
_QUERIES = st.recursive(
    _WORDS | _FIELDS,
    lambda inner: st.tuples(inner, st.sampled_from([" ", " OR ", " NOT "]), inner).map(lambda of: f"({''.join(of)})"),
    max_leaves=6,
)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(_WORDS, _QUERIES), min_size=1, max_size=4),
    st.lists(
        st.sampled_from(["山", "岚", "咖", "啡", "su", "suv", "v", "7", "17", " ", ",", "a", "b", "😀"]), max_size=10
    ),
)
def test_it_agrees_with_the_query_language_on_random_topics(queries: list[tuple[str, str]], text: list[str]) -> None:
    topics = [a_topic(f"{word} OR {query}", f"t{place}") for place, (word, query) in enumerate(queries)]
    mention = a_mention("".join(text))
    expected = tuple(topic.id for topic in topics if matches(topic_node(topic), search_text("", mention.text), mention))
    assert TopicMatcher(topics).match(mention.text, mention=mention) == expected
