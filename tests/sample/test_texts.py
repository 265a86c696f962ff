"""The loader of the written texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sample.texts import TextsError, load_texts

GOOD = {
    "platform": "weiyan",
    "theme": "service",
    "about": "brand",
    "sentiment": "positive",
    "intent": "praise",
    "text": "山岚的伞真好看",
}


def write(folder: Path, *rows: object) -> None:
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")


def test_it_reads_a_text_with_its_replies(tmp_path: Path) -> None:
    write(tmp_path, GOOD | {"platform": "shequ", "replies": [{"text": "同感"}]})
    (text,) = load_texts(tmp_path)
    assert (text.text, text.replies[0].text, text.crisis) == ("山岚的伞真好看", "同感", False)


def test_it_leaves_out_an_exact_repeat(tmp_path: Path) -> None:
    write(tmp_path, GOOD, GOOD)
    assert len(load_texts(tmp_path)) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD | {"sentiment": "glad"}, "sentiment"),
        (GOOD | {"mood": "good"}, "mood"),
        ({"text": "只有正文"}, "platform"),
        ("not an object", "line"),
    ],
)
def test_it_says_which_line_and_field_is_wrong(tmp_path: Path, row: object, said: str) -> None:
    write(tmp_path, GOOD, row)
    with pytest.raises(TextsError, match=rf"a\.jsonl:2: {said}"):
        load_texts(tmp_path)


def test_it_says_where_it_looked_when_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TextsError, match=r"no \*\.jsonl in"):
        load_texts(tmp_path)


def test_all_shipped_texts_are_well_formed_and_different() -> None:
    texts = load_texts()
    assert len({text.text for text in texts}) > 0.99 * len(texts)


def test_the_seed_texts_alone_make_a_world_with_a_crisis() -> None:
    from datetime import UTC, datetime

    from sample.world import World

    seed = [text for text in load_texts() if text.theme in ("odd", "first_post", "sick", "report", "everyday")][:40]
    anchor_at = datetime(2026, 1, 2, tzinfo=UTC)
    posts = World(anchor_at, seed).posts_until(anchor_at)
    assert any(post.crisis for post in posts)
