"""Figures of a classifier over labelled rows, pure: classes, calibration, aspects, what goes to a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from index.models import ASPECTS, Labels, Sentiment
from nlp.rows import CLASSES, Row

N_BINS = 10
COVERAGE = 0.8

ALL_HEADS = frozenset((*CLASSES, "aspects"))
Figures = dict[str, Any]


class Reader(Protocol):
    """What is measured: a classifier, or a peer that reads only some of the heads and leaves the others out."""

    version: str

    def read(self, texts: Sequence[str]) -> Sequence[Any]: ...


@runtime_checkable
class GivesProbabilities(Protocol):
    def probabilities(self, texts: Sequence[str]) -> Mapping[str, NDArray[np.float32]]: ...


@runtime_checkable
class ReadsSome(Protocol):
    heads: Collection[str]


def evaluate(rows: Sequence[Row], reader: Reader, *, review_below: float = 0.5) -> Figures:
    """Figures per head over the rows that have its label; a head that no row has is absent.

    Below `review_below` a person looks at a mention (settings: nlp.review_below).
    """
    return figures_of(rows, reader.read([row.text for row in rows]), reader, review_below=review_below)


def figures_of(rows: Sequence[Row], labels: Sequence[Labels], reader: Reader, *, review_below: float = 0.5) -> Figures:
    """The same from labels that have been read already."""
    heads = reader.heads if isinstance(reader, ReadsSome) else ALL_HEADS
    figures: Figures = {"model_version": reader.version, "n": len(rows)}
    for head, classes in CLASSES.items():
        judged = [place for place, row in enumerate(rows) if getattr(row, head) is not None]
        if judged and head in heads:
            true = [str(getattr(rows[place], head)) for place in judged]
            read = [str(getattr(labels[place], head)) for place in judged]
            sure = [float(getattr(labels[place], f"{head}_probability")) for place in judged]
            figures[head] = _class_figures(true, read, sure, classes)
            if head == "severity":
                found = counts([int(said) >= 1 for said in true], [int(said) >= 1 for said in read])
                figures[head]["at_least_1"] = found
    if "sentiment" in figures and isinstance(reader, GivesProbabilities):
        _add_two_way(figures["sentiment"], rows, labels, reader)
    if "aspects" in heads:
        figures |= _of_aspects(rows, labels)
    both = [place for place, row in enumerate(rows) if row.sentiment is not None and row.intent is not None]
    if both and {"sentiment", "intent"} <= set(heads):
        figures["review"] = _review_figures(
            [rows[place] for place in both], [labels[place] for place in both], review_below
        )
    return figures


def value_at(figures: Mapping[str, Any], path: str) -> float | None:
    """The figure at a path such as intent.macro_f1; None where it was not measured."""
    value: Any = figures
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return None if value is None else float(value)


def counts(true: Sequence[bool], read: Sequence[bool]) -> dict[str, float]:
    """Precision, recall and F1 of one class (0 where undefined) and how many are truly of it."""
    hits = sum(said and found for said, found in zip(true, read, strict=True))
    precision = hits / sum(read) if any(read) else 0.0
    recall = hits / sum(true) if any(true) else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": sum(true)}


def _class_figures(true: Sequence[str], read: Sequence[str], sure: Sequence[float], classes: Iterable[str]) -> Figures:
    right = np.array([said == found for said, found in zip(true, read, strict=True)])
    confidence = np.array(sure)
    per_class = {
        name: counts([said == name for said in true], [found == name for found in read])
        for name in classes
        if name in true or name in read
    }
    present = [figures["f1"] for figures in per_class.values() if figures["support"]]
    surest = np.argsort(-confidence, kind="stable")[: max(1, round(COVERAGE * len(right)))]
    return {
        "n": len(true),
        "accuracy": float(right.mean()),
        "macro_f1": float(np.mean(present)),
        "classes": per_class,
        "calibration": {
            "ece": _expected_calibration_error(right, confidence),
            "accuracy_at_80_coverage": float(right[surest].mean()),
        },
    }


def _expected_calibration_error(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> float:
    """Mean distance between confidence and accuracy over N_BINS equal bins, weighted by their size."""
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    error = 0.0
    for number in range(N_BINS):
        inside = bins == number
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(error)


def _add_two_way(figures: Figures, rows: Sequence[Row], labels: Sequence[Labels], reader: GivesProbabilities) -> None:
    """For sets that know no neutral: accuracy between negative and positive alone, and with neutral as a mistake."""
    polar = [place for place, row in enumerate(rows) if row.sentiment in (Sentiment.NEGATIVE, Sentiment.POSITIVE)]
    if not polar:
        return
    neutral = [place for place in polar if labels[place].sentiment == Sentiment.NEUTRAL]
    said = {place: str(labels[place].sentiment) for place in polar}
    strict = sum(said[place] == rows[place].sentiment for place in polar)
    if neutral:
        probable = reader.probabilities([rows[place].text for place in neutral])["sentiment"]
        for place, row in zip(neutral, probable, strict=True):
            said[place] = Sentiment.POSITIVE if row[2] > row[0] else Sentiment.NEGATIVE
    figures["two_way_accuracy"] = sum(said[place] == rows[place].sentiment for place in polar) / len(polar)
    figures["strict_accuracy"] = strict / len(polar)
    figures["neutral_share"] = len(neutral) / len(polar)


def _of_aspects(rows: Sequence[Row], labels: Sequence[Labels]) -> Figures:
    figures: Figures = {}
    judged = [place for place, row in enumerate(rows) if row.aspects is not None]
    if judged:
        figures["aspects"] = _aspect_figures([rows[place] for place in judged], [labels[place] for place in judged])
    judged = [place for place, row in enumerate(rows) if row.polarity is not None]
    if judged:
        figures["polarity"] = _polarity_figures([rows[place] for place in judged], [labels[place] for place in judged])
    judged = [place for place, row in enumerate(rows) if row.food_safety is not None]
    if judged:
        found = [any(aspect.name == "food_safety" for aspect in labels[place].aspects) for place in judged]
        figures["food_safety"] = counts([bool(rows[place].food_safety) for place in judged], found)
    return figures


def _aspect_figures(rows: Sequence[Row], labels: Sequence[Labels]) -> Figures:
    true = [row.aspects or frozenset() for row in rows]
    read = [frozenset(aspect.name for aspect in label.aspects) for label in labels]
    per_aspect = {name: counts([name in said for said in true], [name in found for found in read]) for name in ASPECTS}
    everything = _together(true, read, ASPECTS)
    judged = [name for name in ASPECTS if per_aspect[name]["support"]]
    present = [per_aspect[name]["f1"] for name in judged]
    return {
        "n": len(rows),
        "micro_precision": everything["precision"],
        "micro_recall": everything["recall"],
        "micro_f1": everything["f1"],
        # Readers of a corpus judged some aspects only: what else a text speaks of is no mistake.
        "micro_f1_judged": _together(true, read, judged)["f1"],
        "macro_f1": float(np.mean(present)) if present else 0.0,
        "classes": per_aspect,
    }


def _together(
    true: Sequence[Collection[str]], read: Sequence[Collection[str]], names: Iterable[str]
) -> dict[str, float]:
    names = tuple(names)
    return counts(
        [name in said for said in true for name in names], [name in found for found in read for name in names]
    )


def _polarity_figures(rows: Sequence[Row], labels: Sequence[Labels]) -> Figures:
    """How aspects that are judged and found are spoken of, also in texts that blame one and praise another."""
    true: list[str] = []
    read: list[str] = []
    differs: list[bool] = []
    n_judged = n_found = n_right = 0
    for row, label in zip(rows, labels, strict=True):
        judged = row.polarity or {}
        found = {aspect.name: str(aspect.polarity) for aspect in label.aspects}
        n_judged += len(judged)
        n_found += sum(name in judged or name not in (row.aspects or ()) for name in found)
        for name, polarity in judged.items():
            if name in found:
                true.append(polarity)
                read.append(found[name])
                differs.append(len(set(judged.values())) > 1)
    right = np.array([said == found for said, found in zip(true, read, strict=True)], dtype=bool)
    n_right = int(right.sum())
    mixed = right[np.array(differs, dtype=bool)]
    return {
        "n": len(true),
        "accuracy": float(right.mean()) if len(right) else None,
        "n_mixed": len(mixed),
        "accuracy_mixed": float(mixed.mean()) if len(mixed) else None,
        "micro_f1_with_polarity": 2 * n_right / max(1, n_judged + n_found),
    }


def _review_figures(rows: Sequence[Row], labels: Sequence[Labels], review_below: float) -> Figures:
    """What goes to a person, as index.models.Mention.confidence says, and how often sentiment or intent is wrong."""
    unsure = np.array(
        [min(said.sentiment_probability, said.intent_probability) < review_below for said in labels], dtype=bool
    )
    wrong = np.array(
        [(said.sentiment, said.intent) != (row.sentiment, row.intent) for row, said in zip(rows, labels, strict=True)]
    )
    return {
        "below": review_below,
        "n": len(rows),
        "share": float(unsure.mean()),
        "wrong_inside": float(wrong[unsure].mean()) if unsure.any() else None,
        "wrong_outside": float(wrong[~unsure].mean()) if not unsure.all() else None,
        "wrong_caught": float(unsure[wrong].mean()) if wrong.any() else None,
    }
