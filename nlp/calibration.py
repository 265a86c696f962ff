"""Temperatures, thresholds and class offsets, found on rows that training has not seen.

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

_OFFSETS = np.arange(-1.5, 1.51, 0.1)
_N_ROUNDS = 5


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
    """Per column the probability from which yes is said, for the best micro-F1 over all columns.

    Each column's choice is looked for with the others held, until none changes. Then it goes only as far from `usual`
    as `trust` says (0 not at all, 1 all the way): with few positives the best choice is partly chance.
    """
    n_columns = truth.shape[1]
    # Per choice and column how often yes is right and how often it is said.
    said = probabilities[None, :, :] >= THRESHOLDS[:, None, None]
    hits = (said & (truth[None] > 0)).sum(axis=1)
    n_said = said.sum(axis=1)
    n_true = truth.sum()
    chosen = np.full(n_columns, np.abs(THRESHOLDS - usual).argmin())
    for _ in range(_N_ROUNDS):
        before = chosen.copy()
        for column in range(n_columns):
            others = np.arange(n_columns) != column
            of_others = chosen[others], np.flatnonzero(others)
            all_hits = hits[of_others].sum() + hits[:, column]
            all_said = n_said[of_others].sum() + n_said[:, column]
            chosen[column] = (2 * all_hits / np.maximum(1, all_said + n_true)).argmax()
        if (chosen == before).all():
            break
    thresholds: Floats = (usual + trust * (THRESHOLDS[chosen] - usual)).astype(np.float32)
    return thresholds


def best_thresholds_one_by_one(
    probabilities: NDArray[Any], truth: NDArray[Any], *, usual: float = USUAL_THRESHOLD, trust: float = 0.5
) -> Floats:
    """Like best_thresholds, but each column for the best F1 of its own."""
    choices = np.stack([f1(truth, probabilities >= choice) for choice in THRESHOLDS])
    best = THRESHOLDS[choices.argmax(axis=0)]
    thresholds: Floats = (usual + trust * (best - usual)).astype(np.float32)
    return thresholds


def best_class_bias(logits: NDArray[Any], truth: NDArray[Any], *, trust: float = 0.5) -> Floats:
    """Per class what is added to its logits so that the argmax has the best macro-F1; their mean is 0.

    A coordinate search over steps of a tenth, shrunk by `trust` as in best_thresholds.
    """
    n_classes = truth.shape[1]
    true = truth.argmax(axis=1)
    bias = np.zeros(n_classes)
    best = _macro_f1(true, logits.argmax(axis=1), n_classes)
    for _ in range(_N_ROUNDS):
        before = best
        for column in range(n_classes):
            for offset in _OFFSETS:
                tried = bias.copy()
                tried[column] = offset
                reached = _macro_f1(true, (logits + tried).argmax(axis=1), n_classes)
                # Only a clear gain moves an offset: among equals the one that changes least stays.
                if reached > best + 1e-9:
                    best, bias = reached, tried
        if best <= before:
            break
    shrunk: Floats = (trust * (bias - bias.mean())).astype(np.float32)
    return shrunk


def f1(truth: NDArray[Any], said: NDArray[Any]) -> NDArray[np.float64]:
    """Per column of 0 and 1; 0 where a column has neither."""
    hits = (truth * said).sum(axis=0)
    per_column: NDArray[np.float64] = 2 * hits / np.maximum(1, truth.sum(axis=0) + said.sum(axis=0))
    return per_column


def _macro_f1(true: NDArray[Any], said: NDArray[Any], n_classes: int) -> float:
    """Mean over the classes that are there."""
    hits = np.bincount(true[true == said], minlength=n_classes)
    n_true = np.bincount(true, minlength=n_classes)
    per_class = 2 * hits / np.maximum(1, n_true + np.bincount(said, minlength=n_classes))
    return float(per_class[n_true > 0].mean())
