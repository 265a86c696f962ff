"""Labelled rows as arrays for training: what is known of each text, how sure it is, and what nobody said.

Sources: mentions/train.jsonl and written.jsonl (read one by one, the truth) and corpora/train.jsonl.gz
(broad and noisy). A missing label weighs nothing, so it teaches nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.models import ASPECTS
from nlp.classifier import NlpError
from nlp.clean import for_model
from nlp.heads import INTENTS, SENTIMENTS, SEVERITIES, Floats
from nlp.rows import CATEGORIES, NUMBERS, opened, parsed

MENTIONS, WRITTEN, UNLABELLED, CORPORA = TRAINING_FILES = (
    "mentions/train.jsonl", "mentions/written.jsonl", "mentions/unlabelled.jsonl.gz", "corpora/train.jsonl.gz",
)  # fmt: skip
"""Where they lie in the data folder."""

CLASSES: Mapping[str, Sequence[Any]] = {"sentiment": SENTIMENTS, "intent": INTENTS, "severity": SEVERITIES}

GOLD_ASPECTS = {"zhijiang", "o2o_food_safety", "BDCI_car", "car_complain"}
RULED_ASPECTS_WEIGHT = 0.3
"""Of an aspect that a keyword rule named, against one that a reader did."""

ONLY_FOOD_SAFETY = {"o2o_food_safety"}
"""Readers of these judged food safety alone; rules named their other aspects."""


@dataclass(frozen=True, slots=True)
class Examples:
    """n texts as a model reads them with their targets.

    sentiment (n, 3), intent (n, 6) and severity (n, 3) hold weight x probability of each class: a row of
    zeros says nothing. aspects (n, 16) is 0..1 and counts by aspects_weight (n, 16); polarity (n, 16, 3) is
    like sentiment, per aspect. source names where a text is from.
    """

    texts: list[str]
    sources: list[str]
    sentiment: Floats
    intent: Floats
    severity: Floats
    aspects: Floats
    aspects_weight: Floats
    polarity: Floats

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Examples:
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return Examples([self.texts[row] for row in rows], [self.sources[row] for row in rows], **arrays)

    def without(self, texts: Container[str]) -> Examples:
        return self.take([row for row, text in enumerate(self.texts) if text not in texts])

    def scaled(self, weight: float) -> Examples:
        """The same with every target weighing so much."""
        arrays = {name: getattr(self, name) * np.float32(weight) for name in _ARRAYS if name != "aspects"}
        return Examples(self.texts, self.sources, aspects=self.aspects, **arrays)

    def smoothed(self, share: float) -> Examples:
        """The same with so much of every class label spread over all classes: no single reader is that sure."""
        classes = {}
        for head in CLASSES:
            target = getattr(self, head)
            weight = target.sum(axis=1, keepdims=True)
            classes[head] = ((1 - share) * target + share * weight / target.shape[1]).astype(np.float32)
        return replace(self, **classes)


_ARRAYS = tuple(field.name for field in fields(Examples) if field.name not in ("texts", "sources"))


def joined(*parts: Examples) -> Examples:
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return Examples(
        [text for part in parts for text in part.texts], [source for part in parts for source in part.sources], **arrays
    )


def empty(texts: list[str], sources: list[str]) -> Examples:
    """Texts of which nothing is known yet."""
    n, n_aspects = len(texts), len(ASPECTS)
    return Examples(
        texts,
        sources,
        sentiment=np.zeros((n, len(SENTIMENTS)), np.float32),
        intent=np.zeros((n, len(INTENTS)), np.float32),
        severity=np.zeros((n, len(SEVERITIES)), np.float32),
        aspects=np.zeros((n, n_aspects), np.float32),
        aspects_weight=np.zeros((n, n_aspects), np.float32),
        polarity=np.zeros((n, n_aspects, len(SENTIMENTS)), np.float32),
    )


def read_mentions(file: Path) -> Examples:
    """Rows that were read one by one; a head that is null was not judged.

    Where a row has no polarity by aspect, a clear sentiment of the whole text stands for it.
    """
    rows = list(json_lines(file))
    with refusing(file) as at:
        texts = [for_model(row["text"]) for row in at(rows)]
        found = empty(texts, [row.get("source", "") for row in rows])
        for place, row in enumerate(at(rows)):
            for head, classes in CLASSES.items():
                if row[head] is not None:
                    getattr(found, head)[place, classes.index(row[head])] = 1
            if row["aspects"] is not None:
                _set_aspects(found, place, row["aspects"], 1.0)
            for name, polarity in (row.get("polarity") or {}).items():
                found.polarity[place, ASPECTS.index(name)] = np.eye(3)[SENTIMENTS.index(polarity)]
    return found


def read_unlabelled(file: Path, without: set[str]) -> Examples:
    """Texts that nobody has labelled, but for those in `without`."""
    with refusing(file) as at:
        texts = [for_model(row["text"]) for row in at(json_lines(file))]
    new = [text for text in dict.fromkeys(texts) if text not in without]
    return empty(new, ["unlabelled"] * len(new))


def read_corpora(file: Path) -> Examples:
    """The public corpora with their own labels."""
    rows = list(json_lines(file))
    with refusing(file) as at:
        found = empty([for_model(row["t"]) for row in at(rows)], [row["src"] for row in at(rows)])
        for place, row in enumerate(at(rows)):
            weight = float(row.get("w", 1.0))
            if "s" in row:
                found.sentiment[place, NUMBERS.index(row["s"])] = weight
            if row.get("i"):
                found.intent[place, INTENTS.index(row["i"])] = weight
            if "a" in row:
                judged = row["src"] in GOLD_ASPECTS
                _set_aspects(found, place, row["a"], weight if judged else weight * RULED_ASPECTS_WEIGHT)
                if row["src"] in ONLY_FOOD_SAFETY:
                    found.aspects_weight[place] *= RULED_ASPECTS_WEIGHT
                    found.aspects_weight[place, ASPECTS.index("food_safety")] = weight
            _set_judged_polarity(found, place, row.get("acsa", ()))
    return found


def _set_aspects(found: Examples, place: int, names: Sequence[str], weight: float) -> None:
    found.aspects_weight[place] = weight
    for name in names:
        at = ASPECTS.index(name)
        found.aspects[place, at] = 1
        if not found.sentiment[place, 1]:
            found.polarity[place, at] = found.sentiment[place] * 0.5


def _set_judged_polarity(found: Examples, place: int, pairs: Sequence[Sequence[Any]]) -> None:
    """What readers said of each category, in place of what was taken from the whole text."""
    judged: dict[str, list[int]] = {}
    for category, polarity in pairs:
        if category in CATEGORIES:
            judged.setdefault(CATEGORIES[category], []).append(NUMBERS.index(polarity))
    for name, polarities in judged.items():
        at = ASPECTS.index(name)
        found.polarity[place, at] = np.bincount(polarities, minlength=3) / len(polarities)


@contextmanager
def refusing(file: Path) -> Iterator[Callable[[Iterable[dict[str, Any]]], Iterator[dict[str, Any]]]]:
    """Rows that go through what it gives, one a line, and cannot be used end in an NlpError with file and line."""
    line = 0

    def at(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        nonlocal line
        for line, row in enumerate(rows, start=1):  # noqa: B007  told if the row is refused
            yield row

    try:
        yield at
    except (KeyError, ValueError, TypeError, AttributeError) as e:
        raise NlpError(f"训练数据 {file} 第 {line} 行缺少字段或标签未知: {type(e).__name__} {e}") from e


def json_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Raises NlpError that names the file, and the line that is no JSON."""
    if not file.is_file():
        raise NlpError(f"找不到训练数据 {file}; --data 应指向含有 mentions/ 和 corpora/ 的目录")
    try:
        with opened(file) as lines:
            for number, line in enumerate(lines, start=1):
                yield parsed(line, f"{file} 第 {number} 行")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as e:
        raise NlpError(f"训练数据 {file} 读不了, 可能被截断或不是 UTF-8: {e}") from e
