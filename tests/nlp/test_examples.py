"""Labelled rows become targets; what nobody judged teaches nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from index.models import ASPECTS
from nlp import train_linear
from nlp.classifier import NlpError
from nlp.examples import Examples, read_corpora, read_mentions

ROW = {"text": "太难喝了", "intent": "complaint", "sentiment": "negative", "severity": 1, "aspects": ["taste"]}
TASTE = ASPECTS.index("taste")


def test_a_head_that_is_null_weighs_nothing(tmp_path: Path) -> None:
    found = mentions(tmp_path, {**ROW, "sentiment": None, "aspects": None})

    assert found.intent[0].argmax() == 0
    assert not found.sentiment.any()
    assert not found.aspects_weight.any()


def test_a_persons_word_on_an_aspect_stands_before_the_sentiment_of_the_text(tmp_path: Path) -> None:
    found = mentions(tmp_path, ROW, {**ROW, "polarity": {"taste": "positive"}})

    assert found.polarity[0, TASTE].argmax() == 0
    assert found.polarity[1, TASTE].tolist() == [0, 0, 1]


def test_a_neutral_text_says_nothing_of_the_polarity_of_its_aspects(tmp_path: Path) -> None:
    found = mentions(tmp_path, {**ROW, "sentiment": "neutral"})

    assert found.aspects[0, TASTE] == 1
    assert not found.polarity.any()


@pytest.mark.parametrize("change", [{"intent": "rant"}, {"severity": 7}, {"aspects": ["colour"]}, {"text": None}])
def test_an_unknown_label_names_the_file(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(NlpError, match=r"rows\.jsonl"):
        mentions(tmp_path, {**ROW, **change})


def test_readers_who_judged_food_safety_alone_count_less_on_other_aspects(tmp_path: Path) -> None:
    row = {"t": "吃完拉肚子", "a": ["food_safety", "taste"], "w": 1.0, "src": "o2o_food_safety"}

    found = read_corpora(written(tmp_path, row))

    assert found.aspects_weight[0, ASPECTS.index("food_safety")] == 1
    assert found.aspects_weight[0, TASTE] == pytest.approx(0.3)


def test_a_category_that_was_judged_gives_the_polarity_of_its_aspect(tmp_path: Path) -> None:
    row = {"t": "发货快", "s": 1, "a": ["logistics"], "acsa": [["物流", 2], ["整体", 0]], "src": "zhijiang"}

    found = read_corpora(written(tmp_path, row))

    assert found.polarity[0, ASPECTS.index("logistics")].tolist() == [0, 0, 1]


def test_a_smoothed_label_keeps_its_weight_and_an_unknown_one_stays_unknown(tmp_path: Path) -> None:
    found = mentions(tmp_path, ROW, {**ROW, "intent": None}).scaled(0.5).smoothed(0.12)

    assert found.intent[0].tolist() == pytest.approx([0.45, 0.01, 0.01, 0.01, 0.01, 0.01])
    assert not found.intent[1].any()


@pytest.mark.parametrize("read", [read_mentions, train_linear.read_mentions])
@pytest.mark.parametrize(
    "wrong", [{"aspects": ["logistic"]}, {"intent": "praised"}, {"text": None}, {"sentiment": 1}], ids=str
)
def test_a_row_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, read: Callable[[Path], Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(NlpError, match=r"rows\.jsonl 第 2 行"):
        read(written(tmp_path, ROW, {**ROW, **wrong}, ROW))


@pytest.mark.parametrize("read", [read_corpora, partial(train_linear.read_corpora, without=set())])
@pytest.mark.parametrize("wrong", [{"s": -1}, {"s": 3}, {"i": "praised"}, {"a": ["logistic"]}], ids=str)
def test_a_corpus_row_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, read: Callable[[Path], Any], wrong: dict[str, Any]
) -> None:
    row = {"t": "好喝", "src": "made", "s": 2}
    with pytest.raises(NlpError, match=r"rows\.jsonl 第 2 行"):
        read(written(tmp_path, row, {**row, **wrong}, row))


@pytest.mark.parametrize("content", ["差".encode("gbk"), b"\xff\xfe"], ids=["GBK", "no text"])
def test_a_file_of_another_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(NlpError, match="UTF-8"):
        read_mentions(tmp_path / "rows.jsonl")


def test_a_packed_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"t": "a", "src": "made"}\n' * 1000)
    (tmp_path / "rows.jsonl.gz").write_bytes(packed[:-20])
    with pytest.raises(NlpError, match="截断"):
        read_corpora(tmp_path / "rows.jsonl.gz")


def mentions(folder: Path, *rows: dict[str, Any]) -> Examples:
    return read_mentions(written(folder, *rows))


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file
