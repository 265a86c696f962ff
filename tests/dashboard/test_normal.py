from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboard import normal


def test_nothing_is_called_normal_on_two_samples() -> None:
    assert normal.band([3, 4]) is None


def test_one_wild_day_does_not_widen_the_band_much() -> None:
    found = normal.band([3, 4, 3, 5, 4, 3, 90])
    assert found is not None
    assert found.usual == 4
    assert found.high < 10


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=20))
def test_the_band_holds_the_usual_value_and_never_goes_below_zero(samples: list[int]) -> None:
    found = normal.band(samples)
    assert found is not None
    assert 0 <= found.low <= found.usual < found.high


def test_a_new_word_rises_and_a_steady_one_does_not() -> None:
    before = [f"今天喝了拿铁, 第{n}杯" for n in range(20)]
    now = [f"{'甲乙丙丁'[n % 4]}拉肚子{'很急呢吧'[n % 4]}" for n in range(8)] + before[:8]
    words = [each.word for each in normal.rising_words(now, before)]
    assert "拉肚子" in words
    assert "拿铁" not in words


def test_a_piece_of_a_longer_word_gives_way_to_it() -> None:
    now = [f"{'甲乙丙丁'[n % 4]}食品安全{'戊己庚辛'[n % 4]}" for n in range(8)]
    assert [each.word for each in normal.rising_words(now, ["没事"] * 8)] == ["食品安全"]


def test_a_word_is_named_whole_where_its_piece_is_hardly_more_frequent() -> None:
    now = [f"{'甲乙丙丁'[n % 4]}拉肚子{'戊己庚辛'[n % 4]}" for n in range(8)] + ["甲拉肚戊", "乙拉肚己"]
    assert [each.word for each in normal.rising_words(now, ["没事"] * 8)] == ["拉肚子"]


def test_nicknames_and_forward_marks_are_no_words() -> None:
    now = [
        f"{'甲乙丙丁'[n % 4]}输液{'戊己庚辛'[n % 4]}//@Leo阿星:回复@小鹿_{n}: {'甲乙丙丁'[n % 4]}哈" for n in range(8)
    ]
    assert [each.word for each in normal.rising_words(now, ["没事"] * 8)] == ["输液"]


def test_the_names_that_are_listened_for_are_no_news() -> None:
    now = [f"{'甲乙丙丁'[n % 4]}山岚咖啡{'戊己庚辛'[n % 4]}" for n in range(8)]
    assert normal.rising_words(now, ["没事"] * 8, names=frozenset({"山岚咖啡"})) == []


def test_without_a_period_before_no_word_has_risen() -> None:
    assert normal.rising_words(["拉肚子", "甲拉肚子", "拉肚子乙"], []) == []


def test_a_word_that_rose_in_the_sample_only_is_left_out_and_the_others_are_counted_among_all() -> None:
    sampled = [normal.RisingWord("拉肚子", 9, 5.0), normal.RisingWord("排队", 8, 4.0)]
    found = normal.counted(sampled, {"拉肚子": 99, "排队": 49}, {"拉肚子": 9, "排队": 49}, 999, 999)
    assert found == [normal.RisingWord("拉肚子", 99, 10.0)]


@given(st.lists(st.text(max_size=40), max_size=12), st.lists(st.text(max_size=40), max_size=12))
def test_any_texts_give_some_list_of_words(now: list[str], before: list[str]) -> None:
    assert len(normal.rising_words(now, before)) <= 12
