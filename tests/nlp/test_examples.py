"""Labelled rows become targets; what nobody judged teaches nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from index.models import ASPECTS
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


def mentions(folder: Path, *rows: dict[str, Any]) -> Examples:
    return read_mentions(written(folder, *rows))


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file
