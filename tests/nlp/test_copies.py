"""Copies: keys, and joining mentions to stories."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from index.models import Mention
from nlp.copies import N_BANDS, fold, similarity, story_keys
from tests.builders import a_mention, ago

TEXT = "山岚咖啡的云岫拿铁里喝出一根头发，店员态度很差，退款也不给办，大家以后小心"
OTHER = "周末带孩子去公园骑车，天气特别好，回家路上还买了一束向日葵放在客厅里"
_CHARACTERS = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出"
    "就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
)


def texts(n: int, seed: int = 5) -> list[str]:
    """Invented texts of 30 to 80 characters that share no more than chance gives."""
    chance = random.Random(seed)
    return ["".join(chance.choices(_CHARACTERS, k=chance.randint(30, 80))) for _ in range(n)]


def perturbed(text: str, chance: random.Random) -> str:
    """4 % of the characters changed, a forward sign before it, a link after it."""
    changed = "".join(chance.choice(_CHARACTERS) if chance.random() < 0.04 else character for character in text)
    return f"转发微博：{changed} http://t.cn/{chance.randrange(10**6)}"


def test_keys_are_signed_64_bit_and_one_exact_and_twelve_bands() -> None:
    keys = story_keys(TEXT)
    assert len(keys) == 1 + N_BANDS
    assert all(-(2**63) <= key < 2**63 for key in keys)


def test_punctuation_blanks_width_script_and_addresses_do_not_change_the_exact_key() -> None:
    same = TEXT.replace("，", " , ").replace("云", "雲") + "！！http://t.cn/A1b2"
    assert story_keys(same) == story_keys(TEXT)


def test_a_short_text_has_no_keys() -> None:
    assert story_keys("好喝！！！！！！！！！！！！") == ()
    assert story_keys("好喝好喝", min_chars=4) != ()


@given(st.text(max_size=80), st.text(max_size=80))
def test_keys_never_clash_between_different_texts_by_position(one: str, other: str) -> None:
    mine, theirs = story_keys(one), story_keys(other)
    if mine and theirs:
        assert mine[0] not in theirs[1:]
        assert len(set(mine)) == len(mine)


def test_a_text_is_found_again_after_small_changes_and_strangers_are_not() -> None:
    chance = random.Random(9)
    originals = texts(500)
    found = strange = 0
    for place, text in enumerate(originals):
        copy = perturbed(text, chance)
        if set(story_keys(copy)) & set(story_keys(text)) and similarity(copy, text) >= 0.7:
            found += 1
        if set(story_keys(copy)) & set(story_keys(originals[place - 1])):
            strange += similarity(copy, originals[place - 1]) >= 0.7
    assert found >= 380
    assert strange == 0


def test_the_first_published_is_the_original_whatever_the_order_of_the_batch() -> None:
    late = a_mention(TEXT + "！", published_at=ago(hours=1))
    early = a_mention(TEXT, published_at=ago(hours=3))
    other = a_mention(OTHER, published_at=ago(hours=2))
    folded = fold([late, other, early], candidates={}, texts={})
    assert [(mention.story_id, mention.is_copy) for mention in folded] == [
        (early.id, True),
        (other.id, False),
        (early.id, False),
    ]
    assert all(mention.story_keys == story_keys(mention.text) for mention in folded)


def test_a_mention_joins_the_story_that_the_store_knows() -> None:
    old = a_mention(TEXT, published_at=ago(days=2))
    new = a_mention(f"转发微博 //@某人:{TEXT}", published_at=ago(hours=1))
    folded = fold([new], candidates=dict.fromkeys(story_keys(TEXT), (old.id,)), texts={old.id: TEXT})
    assert (folded[0].story_id, folded[0].is_copy) == (old.id, True)


def test_a_shared_band_alone_makes_no_copy() -> None:
    new = a_mention(TEXT)
    folded = fold([new], candidates=dict.fromkeys(story_keys(TEXT), ("weibo:x",)), texts={"weibo:x": OTHER})
    assert (folded[0].story_id, folded[0].is_copy) == (new.id, False)


def test_an_original_that_is_crawled_again_stays_the_original() -> None:
    again = a_mention(TEXT)
    keys = story_keys(TEXT)
    folded = fold([again], candidates=dict.fromkeys(keys, (again.id,)), texts={again.id: TEXT})
    assert (folded[0].story_id, folded[0].is_copy) == (again.id, False)


def test_the_same_mention_twice_in_a_batch_is_no_copy_of_itself() -> None:
    one = a_mention(TEXT)
    folded = fold([one, one], candidates={}, texts={})
    assert [mention.is_copy for mention in folded] == [False, False]


def test_two_short_opinions_that_agree_are_two_stories() -> None:
    folded = fold([a_mention("好喝"), a_mention("好喝")], candidates={}, texts={})
    assert [mention.is_copy for mention in folded] == [False, False]


def test_comments_on_one_thread_are_no_copies_for_its_title() -> None:
    title = "山岚咖啡云岫拿铁新品测评到底值不值得这个价格买一杯"
    folded = fold(
        [a_mention(text, title=title, kind="comment") for text in ("真的好喝", "喝完拉肚子")], candidates={}, texts={}
    )
    assert [mention.is_copy for mention in folded] == [False, False]


@given(st.permutations(range(4)))
def test_stories_do_not_depend_on_the_order_of_the_batch(order: list[int]) -> None:
    batch = [
        a_mention(text, id=f"weibo:{place}", published_at=ago(hours=9 - place))
        for place, text in enumerate((TEXT, OTHER, TEXT + "啊", OTHER))
    ]
    folded = fold([batch[place] for place in order], candidates={}, texts={})
    stories: dict[str, Mention] = {mention.id: mention for mention in folded}
    assert [stories[f"weibo:{place}"].story_id for place in range(4)] == ["weibo:0", "weibo:1", "weibo:0", "weibo:1"]
