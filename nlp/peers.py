"""Other people's models, to measure beside ours: snownlp, which reads sentiment only."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from index.models import Sentiment
from nlp.classifier import NlpError

UNSURE = (0.4, 0.6)
"""snownlp knows no neutral: between these probabilities of positive it counts as that."""


@dataclass(frozen=True, slots=True)
class OnlySentiment:
    sentiment: Sentiment
    sentiment_probability: float


class SnowNlp:
    """Implements nlp.figures.Reader. Raises NlpError if the package is not installed.

    Its own training file holds rows of the family of online_shopping_10_cats: its figure there flatters it.
    """

    heads = frozenset({"sentiment"})

    def __init__(self) -> None:
        try:
            package = importlib.import_module("snownlp")
        except ImportError as e:
            raise NlpError("没有安装 snownlp, 无法对比; 运行 pip install -r tests/peers.txt 后再试") from e
        self.version = f"snownlp-{importlib.metadata.version('snownlp')}"
        self._positive: Callable[[str], float] = lru_cache(100_000)(lambda text: _positive(package.SnowNLP, text))

    def read(self, texts: Sequence[str]) -> list[OnlySentiment]:
        return [_said(self._positive(text)) for text in texts]

    def probabilities(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        positive = np.array([self._positive(text) for text in texts], dtype=np.float32)
        return {"sentiment": np.stack([1 - positive, np.zeros_like(positive), positive], axis=1)}


def _positive(snow: Callable[[str], object], text: str) -> float:
    """Of a text without words snownlp says nothing; that is as likely as not."""
    return float(snow(text).sentiments) if text.strip() else 0.5  # type: ignore[attr-defined]


def _said(positive: float) -> OnlySentiment:
    low, high = UNSURE
    if low <= positive <= high:
        return OnlySentiment(Sentiment.NEUTRAL, 1 - 2 * abs(positive - 0.5))
    return OnlySentiment(Sentiment.POSITIVE if positive > high else Sentiment.NEGATIVE, max(positive, 1 - positive))
