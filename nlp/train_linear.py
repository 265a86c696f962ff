"""Trains the linear model: python -m nlp.train_linear --data DIR [--extra FILE] [--out nlp/model/linear.npz].

First weights are found on the large public corpora, whose labels are weak; then every head is trained on
the hand-labelled mentions, held to the first weights by an L2 penalty on the difference. What the mentions
do not speak of therefore stays as the corpora taught it. A tenth of the mentions is held out to find the
temperatures and thresholds and to report figures; the weights that are written have seen all of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, vstack
from scipy.special import expit, log_softmax, softmax

from index.models import ASPECTS, Intent, Sentiment
from nlp.calibration import best_temperature, best_thresholds, f1
from nlp.classifier import NlpError, home_version
from nlp.clean import for_model
from nlp.examples import CORPORA, MENTIONS, WRITTEN, json_lines, refusing
from nlp.features import N_BUCKETS, buckets, matrix
from nlp.heads import INTENTS, SENTIMENTS, SEVERITIES, Floats
from nlp.linear import FILE, HEADS, N_COLUMNS, LinearClassifier, Weights, load, save
from nlp.rows import NUMBERS

Ints = NDArray[np.int64]

VERSION = "linear-2026.11.1"
SEED = 20261126
HELD_OUT = 0.1
WRITTEN_WEIGHT = {"sentiment": 0.0, "intent": 0.0, "severity": 0.3, "aspects": 0.5}
"""Of a row of written.jsonl against a real one: those rows help to find harm, but blur sentiment and intent."""

N_FEATURES = 160_000
"""As many windows are kept in the end, those with the largest weights."""

L2_CORPORA = 1e-6
L2_MENTIONS = {"sentiment": 1e-5, "intent": 1e-5, "severity": 5e-6, "aspects": 2e-6}
BALANCE = {"sentiment": 0.0, "intent": 0.8, "severity": 0.6, "aspects": 0.0}
"""Power of the inverse class frequency by which rows are weighted: 0 not at all, 1 all classes weigh the same."""

WORDLESS = ("", "。", "…", "?", "!", "0", "[图片]", "转发微博", "分享图片", "@", "http://t.cn/a")
N_WORDLESS = 6
"""Texts that say nothing, so many times each: they are other and neutral, whatever the bias says."""

_AT_ONCE = 5000
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts as the model reads them with their labels as numbers; _UNKNOWN or a row of it where there is none."""

    texts: list[str]
    sentiment: Ints
    intent: Ints
    severity: Ints
    aspects: Ints
    weight: Floats

    def take(self, rows: Sequence[int]) -> Examples:
        arrays = (getattr(self, name)[rows] for name in Examples.__slots__[1:])
        return Examples([self.texts[row] for row in rows], *arrays)


def read_mentions(file: Path) -> Examples:
    """Rows that were read one by one; a head that is null was not judged."""
    rows = list(json_lines(file))
    with refusing(file) as at:
        return Examples(
            texts=[for_model(row["text"]) for row in at(rows)],
            sentiment=np.array([_class(SENTIMENTS, row["sentiment"]) for row in at(rows)], dtype=np.int64),
            intent=np.array([_class(INTENTS, row["intent"]) for row in at(rows)], dtype=np.int64),
            severity=np.array([_class(SEVERITIES, row["severity"]) for row in at(rows)], dtype=np.int64),
            aspects=np.array([_named(row["aspects"]) for row in at(rows)], dtype=np.int64).reshape(-1, len(ASPECTS)),
            weight=np.ones(len(rows), dtype=np.float32),
        )


def _class(classes: Sequence[Any], label: Any) -> int:
    return _UNKNOWN if label is None else classes.index(label)


def _named(aspects: Sequence[str] | None) -> list[int]:
    if aspects is None:
        return [_UNKNOWN] * len(ASPECTS)
    named = {ASPECTS.index(name) for name in aspects}
    return [int(place in named) for place in range(len(ASPECTS))]


def wordless() -> Examples:
    texts = [for_model(text) for text in WORDLESS] * N_WORDLESS
    return Examples(
        texts=texts,
        sentiment=np.full(len(texts), SENTIMENTS.index(Sentiment.NEUTRAL)),
        intent=np.full(len(texts), INTENTS.index(Intent.OTHER)),
        severity=np.zeros(len(texts), dtype=np.int64),
        aspects=np.zeros((len(texts), len(ASPECTS)), dtype=np.int64),
        weight=np.ones(len(texts), dtype=np.float32),
    )


def read_corpora(file: Path, without: Set[str]) -> Examples:
    """The public corpora but for the texts that were labelled by hand."""
    rows = list(json_lines(file))
    with refusing(file) as at:
        every = Examples(
            texts=[for_model(row["t"]) for row in at(rows)],
            sentiment=np.array([_class(NUMBERS, row.get("s")) for row in at(rows)]),
            intent=np.array([_class(INTENTS, row.get("i") or None) for row in at(rows)]),
            severity=np.full(len(rows), _UNKNOWN),
            aspects=np.array([_named(row.get("a")) for row in at(rows)]),
            weight=np.array([float(row.get("w", 1.0)) for row in at(rows)], dtype=np.float32),
        )
    return _but(every, without)


def choose_buckets(mentions: Sequence[str], corpora: Sequence[str]) -> tuple[NDArray[np.int32], Floats]:
    """The buckets worth a weight and their idf: in two mentions and twelve texts, or in thirty texts."""
    in_mentions = _document_counts(mentions)
    in_all = in_mentions + _document_counts(corpora)
    kept = np.flatnonzero(((in_all >= 12) & (in_mentions >= 2)) | (in_all >= 30)).astype(np.int32)
    idf = np.log((1 + len(mentions) + len(corpora)) / (1 + in_all[kept])) + 1
    return kept, idf.astype(np.float32)


def fit(
    features: csr_matrix, truth: Floats, weight: Floats, *, l2: float, start: Floats, single: bool, n_steps: int
) -> tuple[Floats, Floats]:
    """Weights and bias of a softmax (one class per row) or, if not single, of one logistic head per column.

    The penalty is on the difference to `start`.
    """
    n_features, n_classes = features.shape[1], truth.shape[1]
    transposed = features.T.tocsr()
    share = (weight / weight.sum()).astype(np.float32)[:, None]

    def loss_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat[: n_features * n_classes].reshape(n_features, n_classes).astype(np.float32)
        logits = features @ weights + flat[n_features * n_classes :].astype(np.float32)
        if single:
            loss = -(share * truth * log_softmax(logits, axis=1)).sum()
            error = (softmax(logits, axis=1) - truth) * share
        else:
            loss = (share * (np.logaddexp(0, logits) - truth * logits)).sum()
            error = (expit(logits) - truth) * share
        away = weights - start
        gradient = transposed @ error + l2 * away
        return float(loss + l2 / 2 * (away**2).sum()), np.concatenate([gradient.ravel(), error.sum(axis=0)]).astype(
            float
        )

    first = np.concatenate([start.ravel(), np.zeros(n_classes)]).astype(float)
    found = minimize(loss_and_gradient, first, jac=True, method="L-BFGS-B", options={"maxiter": n_steps, "maxcor": 7}).x
    weights = found[: n_features * n_classes].reshape(n_features, n_classes)
    return weights.astype(np.float32), found[n_features * n_classes :].astype(np.float32)


def train(
    data: Path, say: Callable[[str], None], *, extra: Path | None = None, without: Set[str] = frozenset()
) -> Weights:
    """Weights from DIR/mentions/train.jsonl, written.jsonl and DIR/corpora/train.jsonl.gz; the same every time.

    extra: more rows that people labelled, without those that stand in train.jsonl. without: texts that it must not see,
    as nlp.clean.for_model gives them.
    """
    say("读取数据 …")
    mentions = _joined(_but(read_mentions(data / MENTIONS), without), wordless())
    n_from_data = len(mentions.texts)
    if extra is not None:
        mentions = _joined(mentions, _but(read_mentions(extra), without | set(mentions.texts)))
    written = read_mentions(data / WRITTEN)
    corpora = read_corpora(data / CORPORA, set(mentions.texts) | without)
    say(
        f"手工标注 {len(mentions.texts)} 行, 编写 {len(written.texts)} 行, 公开语料 {len(corpora.texts)} 行; 统计特征 …"
    )
    kept, idf = choose_buckets(mentions.texts + written.texts, corpora.texts)
    column_of = np.full(N_BUCKETS, -1, dtype=np.int32)
    column_of[kept] = np.arange(len(kept), dtype=np.int32)
    features = {id(part): _features(part.texts, column_of, idf) for part in (mentions, written, corpora)}
    start = _train_on_corpora(corpora, features[id(corpora)], say)

    labelled = _joined(mentions, written)
    is_written = np.arange(len(labelled.texts)) >= len(mentions.texts)
    both = vstack([features[id(mentions)], features[id(written)]], format="csr")
    held_out = np.zeros(len(labelled.texts), dtype=bool)
    order = np.random.default_rng(SEED).permutation(n_from_data)
    held_out[order[: round(HELD_OUT * len(order))]] = True

    say("用手工标注训练, 留出十分之一 …")
    weights, bias = _train_on_mentions(labelled, both, is_written, ~held_out, start)
    logits = both[held_out] @ weights + bias
    temperature, threshold = _calibrate(logits, labelled, held_out)
    for line in _figures(logits / temperature, labelled, held_out, threshold):
        say(line)
    say("用全部手工标注训练 …")
    weights, bias = _train_on_mentions(labelled, both, is_written, np.ones_like(held_out), start)
    strongest = np.sort(np.argsort(-np.abs(weights / np.abs(weights).max(axis=0)).max(axis=1))[:N_FEATURES])
    return Weights(VERSION, kept[strongest], idf[strongest], weights[strongest], bias, temperature, threshold)


def _train_on_corpora(corpora: Examples, features: csr_matrix, say: Callable[[str], None]) -> Floats:
    """First weights of all columns; severity, which no corpus has, starts from nothing."""
    start = np.zeros((features.shape[1], N_COLUMNS), dtype=np.float32)
    for head in ("sentiment", "intent", "aspects"):
        say(f"用公开语料训练 {head} …")
        truth = _truth(corpora, head)
        rows = np.flatnonzero(truth.min(axis=1) >= 0)
        columns = HEADS[head]
        start[:, columns], _ = _fit_head(
            head, features[rows], truth[rows], corpora.weight[rows], l2=L2_CORPORA, start=start[:, columns], n_steps=50
        )
    return start


def _train_on_mentions(
    labelled: Examples, features: csr_matrix, is_written: NDArray[np.bool_], rows: NDArray[np.bool_], start: Floats
) -> tuple[Floats, Floats]:
    weights = np.zeros_like(start)
    bias = np.zeros(N_COLUMNS, dtype=np.float32)
    for head, columns in HEADS.items():
        weight = np.where(is_written, WRITTEN_WEIGHT[head], 1).astype(np.float32)
        truth = _truth(labelled, head)
        used = rows & (weight > 0) & (truth.min(axis=1) >= 0)
        truth = truth[used]
        weights[:, columns], bias[columns] = _fit_head(
            head,
            features[used],
            truth,
            weight[used] * _balance(truth, BALANCE[head]),
            l2=L2_MENTIONS[head],
            start=start[:, columns],
            n_steps=60,
        )
    return weights, bias


def _fit_head(
    head: str, features: csr_matrix, truth: Floats, weight: Floats, *, l2: float, start: Floats, n_steps: int
) -> tuple[Floats, Floats]:
    """The classes of a head together; each aspect by itself, as the frequent ones would leave the rare unfinished."""
    if head != "aspects":
        return fit(features, truth, weight, l2=l2, start=start, single=True, n_steps=n_steps)
    weights, bias = np.zeros_like(start), np.zeros(truth.shape[1], dtype=np.float32)
    for column in range(truth.shape[1]):
        here = slice(column, column + 1)
        weights[:, here], bias[here] = fit(
            features, truth[:, here], weight, l2=l2, start=start[:, here], single=False, n_steps=n_steps
        )
    return weights, bias


def _calibrate(logits: Floats, labelled: Examples, held_out: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Per head the temperature with the least log loss, per aspect the threshold with the best F1."""
    temperature = np.ones(N_COLUMNS, dtype=np.float32)
    threshold = np.full(N_COLUMNS, 0.5, dtype=np.float32)
    for head, columns in HEADS.items():
        truth = _truth(labelled, head)[held_out]
        temperature[columns] = best_temperature(logits[:, columns], truth, single=head != "aspects")
    aspects = HEADS["aspects"]
    probable = expit(logits[:, aspects] / temperature[aspects])
    threshold[aspects] = best_thresholds(probable, labelled.aspects[held_out])
    return temperature, threshold


def _figures(logits: Floats, labelled: Examples, held_out: NDArray[np.bool_], threshold: Floats) -> list[str]:
    lines = []
    for head in ("sentiment", "intent", "severity"):
        true = _truth(labelled, head)[held_out]
        found = logits[:, HEADS[head]].argmax(axis=1)
        accuracy = (true.argmax(axis=1) == found).mean()
        macro = f1(true, np.eye(true.shape[1])[found]).mean()
        lines.append(f"  留出部分 {head}: 准确率 {accuracy:.4f}, macro-F1 {macro:.4f}")
    aspects = labelled.aspects[held_out]
    spoken_of = expit(logits[:, HEADS["aspects"]]) >= threshold[HEADS["aspects"]]
    micro, macro = f1(aspects.reshape(-1, 1), spoken_of.reshape(-1, 1))[0], f1(aspects, spoken_of).mean()
    return [*lines, f"  留出部分 aspects: micro-F1 {micro:.4f}, macro-F1 {macro:.4f}"]


def _truth(examples: Examples, head: str) -> Floats:
    """One column per class with 0 and 1; a row of _UNKNOWN where the label is missing."""
    if head == "aspects":
        return examples.aspects.astype(np.float32)
    labels: Ints = getattr(examples, head)
    columns = HEADS[head]
    truth = np.eye(columns.stop - columns.start, dtype=np.float32)[labels]
    truth[labels == _UNKNOWN] = _UNKNOWN
    return truth


def _balance(truth: Floats, power: float) -> Floats:
    if not power:
        return np.ones(len(truth), dtype=np.float32)
    per_class = (len(truth) / truth.shape[1] / truth.sum(axis=0)) ** power
    weights: Floats = (truth @ per_class).astype(np.float32)
    return weights


def _but(examples: Examples, without: Set[str]) -> Examples:
    return examples.take([row for row, text in enumerate(examples.texts) if text not in without])


def _joined(one: Examples, other: Examples) -> Examples:
    return Examples(
        one.texts + other.texts,
        *(np.concatenate([getattr(one, name), getattr(other, name)]) for name in Examples.__slots__[1:]),
    )


def _features(texts: Sequence[str], column_of: NDArray[np.int32], idf: Floats) -> csr_matrix:
    parts = [matrix(texts[at : at + _AT_ONCE], column_of, idf) for at in range(0, len(texts), _AT_ONCE)]
    return vstack(parts, format="csr")


def _document_counts(texts: Sequence[str]) -> Ints:
    counts = np.zeros(N_BUCKETS, dtype=np.int64)
    for at in range(0, len(texts), _AT_ONCE):
        rows, hashed = buckets(texts[at : at + _AT_ONCE])
        once = np.unique(rows.astype(np.int64) * N_BUCKETS + hashed) % N_BUCKETS
        counts += np.bincount(once, minlength=N_BUCKETS)
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nlp.train_linear", description="训练线性模型")
    parser.add_argument("--data", type=Path, required=True, help="含有 mentions/ 和 corpora/ 的目录")
    parser.add_argument(
        "--extra", type=Path, help="人工改正的标注 (manage.py export labels 的输出); train.jsonl 里已有的略过"
    )
    parser.add_argument("--out", type=Path, default=FILE, help=f"写到哪里 (默认 {FILE.name})")
    given = parser.parse_args(arguments)
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - began:5.0f} s] {line}\n")
        sys.stdout.flush()

    try:
        weights = train(given.data, say, extra=given.extra)
        if given.out.resolve() != FILE:
            parts = (weights.buckets.tobytes(), weights.weights.tobytes())
            weights = replace(weights, version=home_version(weights.version, parts))
        given.out.parent.mkdir(parents=True, exist_ok=True)
        save(weights, given.out)
        classifier: LinearClassifier = load(given.out)
    except (NlpError, OSError) as e:
        sys.stderr.write(f"{e}\n")
        return 1
    say(f"已写入 {given.out} ({given.out.stat().st_size / 1e6:.1f} MB), 版本 {classifier.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
