"""Temperatures, thresholds and offsets are found where they were hidden."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, softmax

from nlp.calibration import (
    USUAL_THRESHOLD,
    best_class_bias,
    best_pool,
    best_temperature,
    best_thresholds,
    best_thresholds_one_by_one,
    f1,
)


def drawn(logits: NDArray[np.float64], chance: np.random.Generator) -> NDArray[np.float64]:
    """Truth drawn from the probabilities that the logits state."""
    probable = softmax(logits, axis=1)
    said = (probable.cumsum(axis=1) > chance.random((len(logits), 1))).argmax(axis=1)
    return np.eye(logits.shape[1])[said]


@pytest.mark.parametrize("boldness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_boldness(boldness: float) -> None:
    chance = np.random.default_rng(1)
    honest = chance.normal(0, 2, (4000, 3))
    truth = drawn(honest, chance)
    assert best_temperature(honest * boldness, truth, single=True) == pytest.approx(boldness, rel=0.1)


def test_the_temperature_of_yes_or_no_columns_is_found_too() -> None:
    chance = np.random.default_rng(2)
    honest = chance.normal(0, 2, (3000, 4))
    truth = (expit(honest) > chance.random(honest.shape)).astype(float)
    assert best_temperature(honest * 2, truth, single=False) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_pool_finds_how_bold_one_model_is_and_how_much_the_other_knows(share: float) -> None:
    chance = np.random.default_rng(3)
    first, second = chance.normal(0, 2, (2, 6000, 3))
    truth = drawn(first + share * second, chance)
    found = best_pool(first * 2, second, truth, single=True)
    assert found == (pytest.approx(2, rel=0.1), pytest.approx(share, abs=0.05))


def test_the_pool_of_yes_or_no_columns_is_found_too() -> None:
    chance = np.random.default_rng(4)
    first, second = chance.normal(0, 2, (2, 4000, 4))
    truth = (expit(first + 0.4 * second) > chance.random(first.shape)).astype(float)
    assert best_pool(first, second, truth, single=False) == (pytest.approx(1, rel=0.1), pytest.approx(0.4, abs=0.06))


def test_thresholds_that_are_fully_trusted_separate_what_can_be_separated() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    probable = np.array([[0.50, 0.10], [0.48, 0.12], [0.40, 0.22], [0.30, 0.17]])
    thresholds = best_thresholds(probable, truth, trust=1.0)
    assert ((probable >= thresholds) == truth).all()


def test_thresholds_of_little_trust_stay_near_the_usual() -> None:
    truth = np.array([[1], [0]])
    probable = np.array([[0.5], [0.45]])
    assert best_thresholds(probable, truth, trust=0.0) == pytest.approx([USUAL_THRESHOLD])
    assert best_thresholds(probable, truth, trust=0.5)[0] < best_thresholds(probable, truth, trust=1.0)[0]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_thresholds_are_never_worse_than_the_usual_one_where_they_were_looked_for(seed: int) -> None:
    chance = np.random.default_rng(seed)
    truth = (chance.random((60, 5)) < 0.2).astype(float)
    probable = np.clip(0.3 * truth + chance.random((60, 5)) * 0.6, 0, 1)

    def micro(thresholds: NDArray[np.float32] | float) -> float:
        return float(f1(truth.reshape(-1, 1), (probable >= thresholds).reshape(-1, 1))[0])

    assert micro(best_thresholds(probable, truth, trust=1.0)) >= micro(USUAL_THRESHOLD) - 1e-9


def test_a_rare_column_may_not_be_bought_with_many_false_ones() -> None:
    """For the F1 of its own a rare column takes a low threshold; for the micro-F1 of all its false hits cost more."""
    truth = np.zeros((200, 2))
    truth[:100, 0] = 1
    truth[:6, 1] = 1
    probable = np.where(truth > 0, 0.9, 0.05)
    probable[:6, 1] = 0.2
    probable[6:16, 1] = 0.2
    alone = best_thresholds_one_by_one(probable, truth, trust=1.0)
    together = best_thresholds(probable, truth, trust=1.0)
    assert alone[1] < 0.2 < together[1]


def test_the_class_bias_lifts_a_class_that_is_shy() -> None:
    chance = np.random.default_rng(3)
    honest = chance.normal(0, 2, (3000, 3))
    truth = np.eye(3)[honest.argmax(axis=1)]
    shy = honest - np.array([0, 0, 1.0])
    bias = best_class_bias(shy, truth, trust=1.0)
    assert bias[2] - bias[:2].mean() == pytest.approx(1.0, abs=0.15)
    assert bias.mean() == pytest.approx(0, abs=1e-6)


def test_where_nothing_is_to_gain_there_is_no_class_bias() -> None:
    logits = np.eye(3) * 5
    assert best_class_bias(logits, np.eye(3)).tolist() == [0, 0, 0]
