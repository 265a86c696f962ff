"""Temperatures, shares and thresholds, found on rows that training has not seen.

Every function takes logits or probabilities and the truth as 0 and 1, one row per text and one column per class.
The rows must be held out: on rows that were trained on, every one of these comes out too bold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from nlp.heads import Floats
from nlp.pool import pooled

USUAL_THRESHOLD = 0.35
"""Probability from which an aspect counts, before its own best is looked for."""

THRESHOLDS = np.arange(0.15, 0.56, 0.05)


def best_temperature(logits: NDArray[Any], truth: NDArray[Any], *, single: bool) -> float:
    """By which logits are divided for the least log loss: of a softmax if single, else of one yes or no per column."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if single:
            return float(-(truth * log_softmax(scaled, axis=1)).sum())
        return float((np.logaddexp(0, scaled) - truth * scaled).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def best_pool(logits: NDArray[Any], other: NDArray[Any], truth: NDArray[Any], *, single: bool) -> tuple[float, float]:
    """Temperature and share for the least log loss of logits / temperature + share x other.

    other: evidence of a second model (nlp/pool.py).
    """

    def loss(at: NDArray[np.float64]) -> float:
        joint = pooled(logits, np.exp(at[0]), at[1], other)
        if single:
            return float(-(truth * log_softmax(joint, axis=1)).sum())
        return float((np.logaddexp(0, joint) - truth * joint).sum())

    found = minimize(loss, [0.5, 0.3], method="L-BFGS-B", bounds=[(-2, 2), (0, 2)]).x
    return float(np.exp(found[0])), float(found[1])


def best_thresholds(
    probabilities: NDArray[Any], truth: NDArray[Any], *, usual: float = USUAL_THRESHOLD, trust: float = 0.5
) -> Floats:
    """Per column the probability from which yes is said, for the best F1 of its own.

    It goes only as far from `usual` as `trust` says (0 not at all, 1 all the way): with few positives the best choice
    is partly chance.
    """
    choices = np.stack([f1(truth, probabilities >= choice) for choice in THRESHOLDS])
    best = THRESHOLDS[choices.argmax(axis=0)]
    thresholds: Floats = (usual + trust * (best - usual)).astype(np.float32)
    return thresholds


def f1(truth: NDArray[Any], said: NDArray[Any]) -> NDArray[np.float64]:
    """Per column of 0 and 1; 0 where a column has neither."""
    hits = (truth * said).sum(axis=0)
    per_column: NDArray[np.float64] = 2 * hits / np.maximum(1, truth.sum(axis=0) + said.sum(axis=0))
    return per_column
