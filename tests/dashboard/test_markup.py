from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from dashboard import markup
from index.query import parse
from tests.dashboard.lively import HOSTILE

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@given(TEXT)
def test_every_mark_that_markdown_knows_is_escaped(text: str) -> None:
    escaped = markup.escape(text)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", escaped)
    assert not re.search(r"[!-/:-@\[-`{-~]", bare)
    assert "\n" not in escaped


@given(TEXT)
def test_escaping_loses_no_visible_character(text: str) -> None:
    shown = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markup.escape(text)).replace("\u2060", "")
    assert shown == "".join(c for c in " ".join(text.split()) if c.isprintable() and c != "\u2060")


def test_addresses_do_not_become_links() -> None:
    escaped = markup.escape("http://evil.example www.evil.example a@evil.example :smile:")
    assert not re.search(r"https?\\?://|www\\?\.|@evil|:smile", escaped)


def test_hits_are_found_across_width_case_and_traditional_characters() -> None:
    text = "这家ＡＰＰ的換季新品, app 里没有"
    words = markup.words_of(parse("app 换季"))
    assert [text[low:high] for low, high in markup.hits(text, words)] == ["ＡＰＰ", "換季", "app"]


def test_excluded_words_are_not_marked() -> None:
    assert markup.words_of(parse("咖啡 -加盟")) == ("咖啡",)


def test_a_snippet_shows_the_first_hit_of_a_long_text() -> None:
    text = "无关" * 200 + "拉肚子" + "后文" * 200
    shown = markup.snippet(text, ("拉肚子",), limit=60)
    assert ":orange-background[拉肚子]" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


@given(st.text(alphabet="咖啡拉肚子 ab<[]*:\n", max_size=80), st.text(alphabet="咖啡拉肚子ab", min_size=1, max_size=3))
def test_a_snippet_of_a_short_text_is_the_whole_text(text: str, word: str) -> None:
    shown = markup.snippet(text, (word,), limit=100)
    plain = re.sub(r":orange-background\[((?:\\.|[^\]\\])*)\]", r"\1", shown)
    plain = re.sub(r"\\(.)", r"\1", plain).replace("\u2060", "")
    assert " ".join(plain.split()) == " ".join(text.split())


def test_a_hostile_text_stays_inside_its_mark() -> None:
    shown = markup.snippet(HOSTILE, ("红",), limit=400)
    assert ":orange-background[红]" in shown
    assert "<script" not in shown.replace("\\<script", "")
