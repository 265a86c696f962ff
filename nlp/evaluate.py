"""How well a classifier reads labelled rows: python -m nlp.evaluate --data FILE.jsonl[.gz] [--json]."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from index.models import ASPECTS, Intent, Labels, Sentiment
from nlp.classifier import Classifier, NlpError

N_BINS = 10
COVERAGE = 0.8
_CLASSES: dict[str, tuple[str, ...]] = {
    "intent": tuple(Intent),
    "sentiment": tuple(Sentiment),
    "severity": ("0", "1", "2"),
}
_SHORT_NAMES = {"t": "text", "i": "intent", "s": "sentiment", "a": "aspects"}
"""Names of the fields of the corpora rows; their sentiment is a number."""


@dataclass(frozen=True, slots=True)
class Row:
    """A text and what is true of it; None where the row has no such label."""

    text: str
    intent: str | None = None
    sentiment: str | None = None
    severity: str | None = None
    aspects: frozenset[str] | None = None


@runtime_checkable
class GivesProbabilities(Protocol):
    def probabilities(self, texts: Sequence[str]) -> Mapping[str, NDArray[np.float32]]: ...


def read_rows(file: Path) -> list[Row]:
    """Rows of a JSON lines file, also gzipped. Raises NlpError with the line of the mistake."""
    if not file.is_file():
        raise NlpError(f"找不到数据文件 {file}; 请给出 .jsonl 或 .jsonl.gz 文件")
    rows = []
    try:
        with _opened(file) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    rows.append(_row(line, f"{file} 第 {number} 行"))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as e:
        raise NlpError(f"数据文件 {file} 读不了: {e}") from e
    if not rows:
        raise NlpError(f"数据文件 {file} 里没有数据行")
    return rows


def evaluate(rows: Sequence[Row], classifier: Classifier) -> dict[str, Any]:
    """Figures per head over the rows that have its label; a head that no row has is absent."""
    texts = [row.text for row in rows]
    labels = classifier.read(texts)
    figures: dict[str, Any] = {"model_version": classifier.version, "n": len(rows)}
    for head, classes in _CLASSES.items():
        judged = [place for place, row in enumerate(rows) if getattr(row, head) is not None]
        if judged:
            true = [str(getattr(rows[place], head)) for place in judged]
            read = [str(getattr(labels[place], head)) for place in judged]
            sure = [float(getattr(labels[place], f"{head}_probability")) for place in judged]
            figures[head] = _class_figures(true, read, sure, classes)
            if head == "severity":
                found = _counts([int(said) >= 1 for said in true], [int(said) >= 1 for said in read])
                figures[head]["at_least_1"] = found
    if figures.get("sentiment") and isinstance(classifier, GivesProbabilities):
        _add_two_way(figures["sentiment"], rows, classifier)
    judged = [place for place, row in enumerate(rows) if row.aspects is not None]
    if judged:
        figures["aspects"] = _aspect_figures([rows[place] for place in judged], [labels[place] for place in judged])
    return figures


def _opened(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8")
    return file.open(encoding="utf-8")


def _row(line: str, place: str) -> Row:
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as e:
        raise NlpError(f"{place}不是有效的 JSON: {e}") from e
    if not isinstance(raw, dict):
        raise NlpError(f'{place}应是一个 JSON 对象, 如 {{"text": "…", "intent": "complaint"}}')
    if "text" not in raw:
        raw = {_SHORT_NAMES[name]: value for name, value in raw.items() if name in _SHORT_NAMES}
        number = raw.get("sentiment")
        if isinstance(number, int) and 0 <= number < len(Sentiment):
            raw["sentiment"] = _CLASSES["sentiment"][number]
    if not isinstance(raw.get("text"), str):
        raise NlpError(f"{place}缺少文本字段 text (字符串)")
    known = {head: _label(head, raw.get(head), place) for head in _CLASSES}
    return Row(text=raw["text"], aspects=_aspects(raw.get("aspects"), place), **known)


def _label(head: str, value: object, place: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or str(value) not in _CLASSES[head]:
        raise NlpError(f"{place}的 {head} 是未知的标签 {value!r}; 可用的有 {', '.join(_CLASSES[head])}")
    return str(value)


def _aspects(value: object, place: str) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise NlpError(f'{place}的 aspects 应是列表, 如 ["taste", "price"]')
    for name in value:
        if name not in ASPECTS:
            raise NlpError(f"{place}的 aspects 里有未知的方面 {name!r}; 可用的有 {', '.join(ASPECTS)}")
    return frozenset(value)


def _counts(true: Sequence[bool], read: Sequence[bool]) -> dict[str, float]:
    """Precision, recall and F1 of one class (0 where undefined) and how many are truly of it."""
    hits = sum(said and found for said, found in zip(true, read, strict=True))
    precision = hits / sum(read) if any(read) else 0.0
    recall = hits / sum(true) if any(true) else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": sum(true)}


def _class_figures(
    true: Sequence[str], read: Sequence[str], sure: Sequence[float], classes: Iterable[str]
) -> dict[str, Any]:
    right = np.array([said == found for said, found in zip(true, read, strict=True)])
    confidence = np.array(sure)
    per_class = {
        name: _counts([said == name for said in true], [found == name for found in read])
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


def _add_two_way(figures: dict[str, Any], rows: Sequence[Row], classifier: GivesProbabilities) -> None:
    """Accuracy between negative and positive alone, for sets that know no neutral."""
    polar = [row for row in rows if row.sentiment in (Sentiment.NEGATIVE, Sentiment.POSITIVE)]
    if not polar:
        return
    probable = classifier.probabilities([row.text for row in polar])["sentiment"]
    positive = probable[:, 2] > probable[:, 0]
    true = np.array([row.sentiment == Sentiment.POSITIVE for row in polar])
    figures["two_way_accuracy"] = float((positive == true).mean())


def _aspect_figures(rows: Sequence[Row], labels: Sequence[Labels]) -> dict[str, Any]:
    true = [row.aspects or frozenset() for row in rows]
    read = [frozenset(aspect.name for aspect in label.aspects) for label in labels]
    per_aspect = {name: _counts([name in said for said in true], [name in found for found in read]) for name in ASPECTS}
    everything = _counts(
        [name in said for said in true for name in ASPECTS], [name in found for found in read for name in ASPECTS]
    )
    present = [figures["f1"] for figures in per_aspect.values() if figures["support"]]
    return {
        "n": len(rows),
        "micro_precision": everything["precision"],
        "micro_recall": everything["recall"],
        "micro_f1": everything["f1"],
        "macro_f1": float(np.mean(present)) if present else 0.0,
        "classes": per_aspect,
    }


def _table(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"模型 {figures['model_version']}, {figures['n']} 行"
    for head in (*_CLASSES, "aspects"):
        if head not in figures:
            continue
        of_head = figures[head]
        yield ""
        if head == "aspects":
            yield f"aspects ({of_head['n']} 行)  micro-F1 {of_head['micro_f1']:.3f}  macro-F1 {of_head['macro_f1']:.3f}"
        else:
            calibration = of_head["calibration"]
            yield (
                f"{head} ({of_head['n']} 行)  准确率 {of_head['accuracy']:.3f}  macro-F1 {of_head['macro_f1']:.3f}  "
                f"ECE {calibration['ece']:.3f}  80% 覆盖准确率 {calibration['accuracy_at_80_coverage']:.3f}"
            )
        if "two_way_accuracy" in of_head:
            yield f"  只分正负的准确率 {of_head['two_way_accuracy']:.3f}"
        classes = dict(of_head["classes"])
        if "at_least_1" in of_head:
            classes[">= 1"] = of_head["at_least_1"]
        yield f"  {'':<14}{'P':>7}{'R':>7}{'F1':>7}{'n':>7}"
        for name, of_class in classes.items():
            numbers = "".join(f"{of_class[key]:>7.3f}" for key in ("precision", "recall", "f1"))
            yield f"  {name:<14}{numbers}{of_class['support']:>7}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nlp.evaluate", description="在标注数据上衡量模型")
    parser.add_argument("--data", type=Path, required=True, help="标注数据 .jsonl 或 .jsonl.gz")
    parser.add_argument("--json", action="store_true", help="输出一个 JSON 文档")
    parser.add_argument("--model", choices=("linear",), default="linear", help="用哪个模型 (默认 linear)")
    given = parser.parse_args(arguments)
    try:
        from nlp.linear import load

        figures = evaluate(read_rows(given.data), load())
    except NlpError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    shown = json.dumps(figures, ensure_ascii=False, indent=2) if given.json else "\n".join(_table(figures))
    sys.stdout.write(f"{shown}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
