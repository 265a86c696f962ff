"""A corpus's label moves the model's word as far as such labels were right before, and no further."""

from __future__ import annotations

import numpy as np
import pytest

from nlp.examples import Examples, empty
from nlp.reread import reread

NEGATIVE, NEUTRAL, POSITIVE = range(3)


def test_a_label_that_used_to_be_right_overrules_a_doubtful_model() -> None:
    both = pairs([(POSITIVE, POSITIVE)] * 90 + [(NEGATIVE, NEGATIVE)] * 90)

    found = reread(said("shop", [NEGATIVE]), heads(sentiment=[[0.0, 0.0, 0.4]]), both)

    assert found.sentiment[0].argmax() == NEGATIVE


def test_a_label_that_says_nothing_leaves_the_models_word() -> None:
    chance = [(ours, theirs) for ours in range(3) for theirs in range(3)] * 200
    both = pairs(chance)

    found = reread(said("shop", [NEGATIVE]), heads(sentiment=[[0.0, 0.0, 0.4]]), both)

    assert found.sentiment[0] == pytest.approx([0.2866, 0.2866, 0.4276], abs=0.01)


def test_a_label_that_a_corpus_never_used_before_is_still_a_distribution() -> None:
    both = pairs([(POSITIVE, POSITIVE)] * 50 + [(NEGATIVE, POSITIVE)] * 50)

    found = reread(said("shop", [NEUTRAL]), heads(sentiment=[[1.0, 0.0, 0.0]]), both)

    assert found.sentiment.sum() == pytest.approx(1)


def test_a_text_without_a_label_is_read_by_the_model_alone() -> None:
    found = reread(empty(["嗯"], ["shop"]), heads(sentiment=[[0.0, 9.0, 0.0]]), pairs([(POSITIVE, POSITIVE)]))

    assert found.sentiment[0, NEUTRAL] > 0.99


def test_naming_an_aspect_makes_it_likelier_and_not_naming_it_less_likely() -> None:
    both = pairs([(POSITIVE, POSITIVE)] * 200)
    for part in both:
        part.aspects[:100, 0] = 1
    corpora = said("shop", [POSITIVE, POSITIVE])
    corpora.aspects[0, 0] = 1

    found = reread(corpora, heads(sentiment=[[0.0] * 3] * 2), both)

    assert found.aspects[0, 0] > 0.8
    assert found.aspects[1, 0] < 0.2


def said(source: str, sentiments: list[int]) -> Examples:
    made = empty(["好"] * len(sentiments), [source] * len(sentiments))
    made.sentiment[np.arange(len(sentiments)), sentiments] = 1
    made.aspects_weight[:] = 1
    return made


def pairs(labels: list[tuple[int, int]]) -> tuple[Examples, Examples]:
    ours, theirs = zip(*labels, strict=True)
    return said("shop", list(ours)), said("shop", list(theirs))


def heads(sentiment: list[list[float]]) -> dict[str, np.ndarray]:
    n = len(sentiment)
    return {
        "sentiment": np.array(sentiment),
        "intent": np.zeros((n, 6)),
        "severity": np.zeros((n, 3)),
        "aspects": np.zeros((n, 16)),
        "polarity": np.zeros((n, 16, 3)),
    }
