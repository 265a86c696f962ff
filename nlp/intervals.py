"""How sure the headline figures are: a bootstrap over the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.models import ASPECTS, Labels
from nlp.rows import CLASSES, Row

N_RESAMPLES = 1000
SEED = 20261126


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the bounds between which it lies in 95 of 100 samples of as many rows."""

    value: float
    low: float
    high: float


def intervals(rows: Sequence[Row], labels: Sequence[Labels]) -> dict[str, Interval]:
    """The headline figures of fully labelled rows with their bounds (percentile bootstrap over rows)."""
    arrays = _Arrays.of(rows, labels)
    chance = np.random.default_rng(SEED)
    draws = chance.integers(len(rows), size=(N_RESAMPLES, len(rows)))
    found = {}
    for name, figure in _HEADLINES.items():
        over = np.array([figure(arrays, drawn) for drawn in draws])
        low, high = np.percentile(over, [2.5, 97.5])
        found[name] = Interval(figure(arrays, np.arange(len(rows))), float(low), float(high))
    return found


@dataclass(frozen=True, slots=True)
class _Arrays:
    """Classes as numbers, true and read; aspects as 0 and 1."""

    true: dict[str, NDArray[np.int64]]
    read: dict[str, NDArray[np.int64]]

    @classmethod
    def of(cls, rows: Sequence[Row], labels: Sequence[Labels]) -> _Arrays:
        true = {head: _numbers(head, rows) for head in CLASSES}
        read = {head: _numbers(head, labels) for head in CLASSES}
        true["aspects"] = np.array([[name in (row.aspects or ()) for name in ASPECTS] for row in rows], dtype=np.int64)
        spoken = [frozenset(aspect.name for aspect in said.aspects) for said in labels]
        read["aspects"] = np.array([[name in found for name in ASPECTS] for found in spoken], dtype=np.int64)
        return cls(true, read)


_Figure = Callable[[_Arrays, NDArray[np.intp]], float]


def _numbers(head: str, said: Sequence[Row | Labels]) -> NDArray[np.int64]:
    return np.array([CLASSES[head].index(str(getattr(one, head))) for one in said])


def _accuracy(head: str) -> _Figure:
    def figure(of: _Arrays, drawn: NDArray[np.intp]) -> float:
        return float((of.true[head][drawn] == of.read[head][drawn]).mean())

    return figure


def _macro_f1(head: str) -> _Figure:
    n_classes = len(CLASSES[head])

    def figure(of: _Arrays, drawn: NDArray[np.intp]) -> float:
        true, read = of.true[head][drawn], of.read[head][drawn]
        n_true = np.bincount(true, minlength=n_classes)
        hits = np.bincount(true[true == read], minlength=n_classes)
        per_class = 2 * hits / np.maximum(1, n_true + np.bincount(read, minlength=n_classes))
        return float(per_class[n_true > 0].mean())

    return figure


def _f1_of_yes(head: str) -> _Figure:
    """Of all that is above 0, columns together."""

    def figure(of: _Arrays, drawn: NDArray[np.intp]) -> float:
        true, read = of.true[head][drawn] > 0, of.read[head][drawn] > 0
        return float(2 * (true & read).sum() / max(1, true.sum() + read.sum()))

    return figure


_HEADLINES: dict[str, _Figure] = {
    "intent.accuracy": _accuracy("intent"),
    "intent.macro_f1": _macro_f1("intent"),
    "sentiment.accuracy": _accuracy("sentiment"),
    "sentiment.macro_f1": _macro_f1("sentiment"),
    "severity.at_least_1.f1": _f1_of_yes("severity"),
    "aspects.micro_f1": _f1_of_yes("aspects"),
}
