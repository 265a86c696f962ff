"""Labelled rows as they are read, and data that cannot be used."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.classifier import NlpError
from nlp.rows import Row, read_rows, sample


def test_it_reads_mention_rows_and_corpora_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.write(
            '{"text": "好", "intent": "praise", "sentiment": "positive", "severity": 0, "aspects": ["taste"]}\n\n'
        )
        out.write('{"t": "差", "s": 0, "i": "complaint", "a": [], "src": "x"}\n{"t": "无"}\n')
    assert read_rows(file) == [
        Row("好", "praise", "positive", "0", frozenset({"taste"})),
        Row("差", "complaint", "negative", None, frozenset()),
        Row("无"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "第 2 行不是有效的 JSON"),
        ("[1]", "第 2 行应是一个 JSON 对象"),
        ('{"intent": "praise"}', "第 2 行缺少文本字段"),
        ('{"text": "a", "intent": "angry"}', "第 2 行的 intent 是未知的标签 'angry'"),
        ('{"text": "a", "severity": 3}', "第 2 行的 severity"),
        ('{"t": "a", "s": 7}', "第 2 行的 sentiment"),
        ('{"text": "a", "aspects": ["colour"]}', "第 2 行的 aspects 里有未知的方面 'colour'"),
        ('{"text": "a", "aspects": "taste"}', "第 2 行的 aspects 应是列表"),
        ('{"t": "a", "acsa": [["物流"]]}', "第 2 行的 acsa 应是"),
        ('{"t": "a", "acsa": [["物流", 5]]}', "第 2 行的 acsa 应是"),
        ('{"t": "a", "acsa": [["物流", -1]]}', "第 2 行的 acsa 应是"),
        ('{"t": "a", "fs": 2}', "第 2 行的 fs 应是 0 或 1"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"text": "好"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(NlpError, match=said):
        read_rows(file)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "找不到数据文件"),
        ("empty.jsonl", b"\n", "没有数据行"),
        ("binary.jsonl", b"\xff\xfe\x00", "读不了"),
        ("cut.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99)[:30], "读不了"),
        ("plain.jsonl.gz", b'{"text": "a"}\n', "读不了"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NlpError, match=said) as caught:
        read_rows(file)
    assert name in str(caught.value)


def test_judged_categories_become_the_polarity_of_our_aspects(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    judged = '[["物流", 2], ["功效", 2], ["使用体验", 0], ["整体", 2], ["内饰", 1]]'
    file.write_text(f'{{"t": "a", "acsa": {judged}, "fs": 1}}\n', encoding="utf-8")
    (row,) = read_rows(file)
    assert row.polarity == {"logistics": "positive", "appearance": "neutral"}, "efficacy is judged both ways"
    assert row.food_safety is True


@given(st.lists(st.text(max_size=6), unique=True, max_size=30), st.integers(0, 40), st.randoms())
def test_a_sample_is_the_same_rows_whatever_their_order(texts: list[str], n: int, chance: object) -> None:
    rows = [Row(text) for text in texts]
    drawn = sample(rows, n)
    assert len(drawn) == min(n, len(rows))
    chance.shuffle(rows)  # type: ignore[attr-defined]
    assert {row.text for row in sample(rows, n)} == {row.text for row in drawn}
