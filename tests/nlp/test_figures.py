"""Figures are those worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from index.models import Labels
from nlp.figures import evaluate, value_at
from nlp.intervals import intervals
from nlp.rows import Row
from tests.builders import some_labels


class Says:
    """Answers what the test wants."""

    version = "test-1"

    def __init__(self, *labels: Labels) -> None:
        self.labels = list(labels)

    def read(self, texts: Sequence[str]) -> list[Labels]:
        assert len(texts) == len(self.labels)
        return self.labels


def test_figures_are_those_worked_out_by_hand() -> None:
    rows = [
        Row("a", intent="complaint", sentiment="negative", severity="1", aspects=frozenset({"taste"})),
        Row("b", intent="complaint", sentiment="negative", severity="0", aspects=frozenset()),
        Row("c", intent="praise", sentiment="positive", severity="0", aspects=frozenset({"taste", "price"})),
        Row("d", intent="praise", sentiment="neutral", severity="2", aspects=frozenset()),
    ]
    said = Says(
        some_labels("negative", "complaint", 2, "taste:negative", intent_probability=1.0),
        some_labels("negative", "praise", 0, "price:positive", intent_probability=0.55),
        some_labels("positive", "praise", 0, "taste:positive", intent_probability=1.0),
        some_labels("positive", "praise", 0, intent_probability=1.0),
    )
    figures = evaluate(rows, said)
    intent = figures["intent"]
    assert intent["accuracy"] == 0.75
    assert intent["classes"]["complaint"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }
    assert intent["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert intent["calibration"]["ece"] == pytest.approx(0.25 * 0.55)
    assert intent["calibration"]["accuracy_at_80_coverage"] == 1.0
    assert figures["severity"]["at_least_1"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }
    assert figures["aspects"]["micro_f1"] == pytest.approx(2 / 3)
    assert figures["aspects"]["classes"]["price"]["f1"] == 0


def test_a_head_without_labels_has_no_figures() -> None:
    figures = evaluate([Row("a", sentiment="negative")], Says(some_labels()))
    assert set(figures) == {"model_version", "n", "sentiment"}


class SaysWithDoubt(Says):
    """Also tells how probable negative, neutral and positive are, by text."""

    def __init__(self, *labels: Labels, probable: dict[str, list[float]]) -> None:
        super().__init__(*labels)
        self.probable = probable

    def probabilities(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        return {"sentiment": np.array([self.probable[text] for text in texts], dtype=np.float32)}


def test_of_a_set_without_neutral_the_second_guess_counts_and_the_strict_figure_says_what_it_hides() -> None:
    rows = [Row("a", sentiment="negative"), Row("b", sentiment="positive"), Row("c", sentiment="positive")]
    said = SaysWithDoubt(
        some_labels("negative"),
        some_labels("neutral"),
        some_labels("neutral"),
        probable={"b": [0.1, 0.6, 0.3], "c": [0.3, 0.6, 0.1]},
    )
    sentiment = evaluate(rows, said)["sentiment"]
    assert sentiment["two_way_accuracy"] == pytest.approx(2 / 3)
    assert sentiment["strict_accuracy"] == pytest.approx(1 / 3)
    assert sentiment["neutral_share"] == pytest.approx(2 / 3)


def test_polarity_is_measured_on_aspects_that_are_judged_and_found() -> None:
    rows = [
        Row("a", aspects=frozenset({"taste", "price"}), polarity={"taste": "positive", "price": "negative"}),
        Row("b", aspects=frozenset({"taste"}), polarity={"taste": "positive"}),
        Row("c", aspects=frozenset({"size"}), polarity={}),
    ]
    said = Says(
        some_labels("positive", "praise", 0, "taste:positive price:positive"),
        some_labels("positive", "praise", 0, "service:positive"),
        some_labels("positive", "praise", 0, "size:positive"),
    )
    polarity = evaluate(rows, said)["polarity"]
    assert polarity["n"] == 2
    assert polarity["accuracy"] == 0.5
    assert (polarity["n_mixed"], polarity["accuracy_mixed"]) == (2, 0.5)
    # One pair is right of three judged and three found; the size in c is judged both ways and counts for nothing.
    assert polarity["micro_f1_with_polarity"] == pytest.approx(2 * 1 / (3 + 3))


def test_aspects_that_a_corpus_never_judges_are_left_out_of_the_judged_figure() -> None:
    rows = [Row("a", aspects=frozenset({"taste"}))]
    aspects = evaluate(rows, Says(some_labels("positive", "praise", 0, "taste:positive service:positive")))["aspects"]
    assert aspects["micro_f1"] == pytest.approx(2 / 3)
    assert aspects["micro_f1_judged"] == 1


def test_food_safety_is_measured_where_only_that_is_judged() -> None:
    rows = [Row("a", food_safety=True), Row("b", food_safety=True), Row("c", food_safety=False)]
    said = Says(some_labels("negative", "complaint", 0, "food_safety:negative"), some_labels(), some_labels())
    assert evaluate(rows, said)["food_safety"]["f1"] == pytest.approx(2 / 3)


def test_what_goes_to_a_person_is_counted_with_the_mistakes_it_catches() -> None:
    rows = [Row(text, intent="praise", sentiment="positive") for text in "abcd"]
    said = Says(
        some_labels("positive", "praise", sentiment_probability=0.9, intent_probability=0.9),
        some_labels("positive", "complaint", sentiment_probability=0.9, intent_probability=0.9),
        some_labels("positive", "complaint", sentiment_probability=0.4, intent_probability=0.9),
        some_labels("positive", "praise", sentiment_probability=0.9, intent_probability=0.4),
    )
    review = evaluate(rows, said, review_below=0.5)["review"]
    assert review == {
        "below": 0.5, "n": 4, "share": 0.5, "wrong_inside": 0.5, "wrong_outside": 0.5, "wrong_caught": 0.5,
    }  # fmt: skip


def test_a_peer_that_reads_sentiment_only_has_no_other_figures() -> None:
    said = Says(some_labels("negative"))
    said.heads = frozenset({"sentiment"})  # type: ignore[attr-defined]
    rows = [Row("a", intent="praise", sentiment="negative", severity="0", aspects=frozenset())]
    assert set(evaluate(rows, said)) == {"model_version", "n", "sentiment"}


def test_a_figure_that_was_not_measured_is_none() -> None:
    figures = {"intent": {"accuracy": 0.5, "classes": None}}
    assert value_at(figures, "intent.accuracy") == 0.5
    assert value_at(figures, "intent.macro_f1") is None
    assert value_at(figures, "aspects.micro_f1") is None


def test_the_interval_holds_the_figure_and_narrows_with_more_rows() -> None:
    def bounds(n: int) -> tuple[float, float, float]:
        rows = [Row("a", "praise", "positive", "0", frozenset({"taste"}))] * n
        right = some_labels("positive", "praise", 0, "taste:positive")
        wrong = some_labels("negative", "complaint", 1)
        found = intervals(rows, [wrong if at % 4 == 0 else right for at in range(n)])["intent.accuracy"]
        return found.value, found.low, found.high

    value, low, high = bounds(400)
    assert value == 0.75
    assert low < value < high
    assert high - low == pytest.approx(4 * (0.75 * 0.25 / 400) ** 0.5, rel=0.15)
    assert bounds(40)[2] - bounds(40)[1] > high - low
