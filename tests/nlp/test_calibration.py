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
    best_pool,
    best_temperature,
    best_thresholds,
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
    found, usual = (
        f1(truth, probable >= each) for each in (best_thresholds(probable, truth, trust=1.0), USUAL_THRESHOLD)
    )
    assert (found >= usual - 1e-9).all()
