"""The linear model: hashed character windows, one matrix of weights, calibrated probabilities.

It needs numpy and scipy only, so it runs where no transformer does. Sentiment, intent and severity are
softmax heads, every aspect is a head of its own. How an aspect is spoken of is read from the clauses
that speak of it, together with the whole text.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from index.models import Aspect, Labels
from nlp.classifier import NlpError
from nlp.clean import for_model
from nlp.features import FEATURES_VERSION, N_BUCKETS, matrix
from nlp.heads import SLICES, Floats, aspects_of, labels_of

HEADS = {head: SLICES[head] for head in ("sentiment", "intent", "severity", "aspects")}
N_COLUMNS = SLICES["aspects"].stop
FILE = Path(__file__).parent / "model" / "linear.npz"

_AT_ONCE = 1000
_CLAUSE_END = re.compile(r"(?<=[。!?;,、…~\n])|(?<=\s)(?=\S)|(?:但是|不过|可是|就是|但)")
_CLAUSE_SHARE = np.float32(1.5)
"""Weight of the clauses against the whole text; found on reviews whose aspects are judged one by one."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that training finds. temperature and threshold hold one value per column."""

    version: str
    buckets: NDArray[np.int32]
    idf: Floats
    weights: Floats
    bias: Floats
    temperature: Floats
    threshold: Floats


class LinearClassifier:
    """Implements nlp.classifier.Classifier; safe to use from several threads."""

    def __init__(self, weights: Weights) -> None:
        self.version = weights.version
        self._weights = weights
        self._column_of = np.full(N_BUCKETS, -1, dtype=np.int32)
        self._column_of[weights.buckets] = np.arange(len(weights.buckets), dtype=np.int32)

    def read(self, texts: Sequence[str]) -> list[Labels]:
        """One Labels per text, in order; a text that comes twice is read once."""
        place_of = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        different = list(place_of)
        labels: list[Labels] = []
        for start in range(0, len(different), _AT_ONCE):
            labels += self._read_different(different[start : start + _AT_ONCE])
        return [labels[place_of[text]] for text in texts]

    def probabilities(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Per head a row for each text: of every class, or of every aspect that it is spoken of."""
        return _probabilities(self._logits([for_model(text) for text in texts]))

    def _read_different(self, texts: list[str]) -> list[Labels]:
        read = [for_model(text) for text in texts]
        logits = self._logits(read)
        probable = _probabilities(logits)
        return labels_of(probable, self._aspects(read, logits, probable["aspects"]), self.version)

    def _logits(self, read: Sequence[str]) -> Floats:
        """One row per text, one column per class, divided by the temperature."""
        features = matrix(read, self._column_of, self._weights.idf)
        logits: Floats = (features @ self._weights.weights + self._weights.bias) / self._weights.temperature
        return logits

    def _aspects(self, read: list[str], logits: Floats, probable: Floats) -> list[tuple[Aspect, ...]]:
        spoken_of = probable >= self._weights.threshold[HEADS["aspects"]]
        found: list[tuple[Aspect, ...]] = [()] * len(read)
        rows = np.flatnonzero(spoken_of.any(axis=1))
        if not len(rows):
            return found
        clauses = [_clauses(read[row]) for row in rows]
        clause_logits = self._logits([clause for of_one in clauses for clause in of_one])
        start = 0
        for row, of_one in zip(rows, clauses, strict=True):
            polarity = _polarity(logits[row], clause_logits[start : start + len(of_one)])
            found[row] = aspects_of(spoken_of[row], polarity, probable[row])
            start += len(of_one)
        return found


def _probabilities(logits: Floats) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for head in ("sentiment", "intent", "severity"):
        found[head] = softmax(logits[:, HEADS[head]], axis=1)
    found["aspects"] = expit(logits[:, HEADS["aspects"]])
    return found


def _clauses(read: str) -> list[str]:
    pieces = [piece for piece in _CLAUSE_END.split(read) if len(piece) > 1]
    return pieces or [read]


def _polarity(logits: Floats, clause_logits: Floats) -> NDArray[np.intp]:
    """Per aspect the index of its sentiment: of the clauses, by how much they speak of it, and of the whole text."""
    about = clause_logits[:, HEADS["aspects"]]
    of_clauses = softmax(about, axis=0).T @ clause_logits[:, HEADS["sentiment"]]
    together: NDArray[np.intp] = (logits[HEADS["sentiment"]] + _CLAUSE_SHARE * of_clauses).argmax(axis=1)
    return together


def save(weights: Weights, file: Path) -> None:
    """Weights as one byte each with a scale per column."""
    scale = np.abs(weights.weights).max(axis=0) / 127
    scale[scale == 0] = 1
    np.savez_compressed(
        file,
        features_version=np.array(FEATURES_VERSION),
        version=np.array(weights.version),
        buckets=weights.buckets,
        idf=weights.idf.astype(np.float16),
        weights=np.rint(weights.weights / scale).astype(np.int8),
        scale=scale.astype(np.float32),
        bias=weights.bias,
        temperature=weights.temperature,
        threshold=weights.threshold,
    )


def load(file: Path = FILE) -> LinearClassifier:
    """Raises NlpError if the file is missing, damaged or of another making."""
    mend = "请从发布包恢复该文件, 或运行 python -m nlp.train_linear --data 数据目录 重新训练"
    try:
        with np.load(file, allow_pickle=False) as stored:
            if int(stored["features_version"]) != FEATURES_VERSION:
                raise NlpError(f"模型文件 {file} 的特征版本与程序不一致. {mend}")
            weights = Weights(
                version=str(stored["version"]),
                buckets=stored["buckets"],
                idf=stored["idf"].astype(np.float32),
                weights=stored["weights"].astype(np.float32) * stored["scale"],
                bias=stored["bias"],
                temperature=stored["temperature"],
                threshold=stored["threshold"],
            )
    except FileNotFoundError as e:
        raise NlpError(f"找不到模型文件 {file}. {mend}") from e
    # NotImplementedError: flipped bits of the directory ask for a way of packing that there is not.
    except (OSError, EOFError, KeyError, ValueError, TypeError, NotImplementedError, BadZipFile, zlib.error) as e:
        raise NlpError(f"模型文件 {file} 已损坏, 无法读取 ({e}). {mend}") from e
    _check_shapes(weights, file, mend)
    return LinearClassifier(weights)


def _check_shapes(weights: Weights, file: Path, mend: str) -> None:
    n = len(weights.buckets)
    fits = (
        weights.weights.shape == (n, N_COLUMNS)
        and weights.idf.shape == (n,)
        and all(part.shape == (N_COLUMNS,) for part in (weights.bias, weights.temperature, weights.threshold))
        and (n == 0 or (weights.buckets.min() >= 0 and weights.buckets.max() < N_BUCKETS))
    )
    if not fits:
        raise NlpError(f"模型文件 {file} 的内容不完整, 各部分大小不一致. {mend}")
