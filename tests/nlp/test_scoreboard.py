"""Which model is worse where."""

from __future__ import annotations

from typing import Any

from nlp.lines import MENTIONS
from nlp.scoreboard import worse_than


def at(accuracy: float, polarity: float = 0.5) -> dict[str, Any]:
    zhijiang = {"polarity": {"accuracy": polarity}}
    return {"sets": {MENTIONS: {"intent": {"accuracy": accuracy}}, "corpora/test_zhijiang.jsonl.gz": zhijiang}}


def test_a_line_on_which_a_model_is_worse_is_named_with_both_figures() -> None:
    assert worse_than(at(0.80), at(0.81)) == ["mentions/test intent.accuracy 0.800 < 0.810"]
    assert worse_than(at(0.81), at(0.80)) == []
    assert worse_than(at(0.80), at(0.80)) == []


def test_a_loss_within_what_is_allowed_is_none() -> None:
    assert worse_than(at(0.80), at(0.804), by=0.005) == []
    assert worse_than(at(0.80), at(0.806), by=0.005) != []


def test_the_polarity_of_different_aspects_compares_no_models() -> None:
    assert worse_than(at(0.8, polarity=0.1), at(0.8, polarity=0.9)) == []


def test_what_was_not_measured_is_not_compared() -> None:
    assert worse_than({"sets": {}}, at(0.8)) == []
