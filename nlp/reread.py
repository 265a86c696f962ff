"""What the labels of public corpora mean in our guide: a first model's reading, weighed with what a corpus said.

A corpus was labelled by another guide, so its label is evidence, not truth. How strong, is counted on the rows
that were read both ways: P(its label | our label), source by source. Bayes' rule then joins that with the
probabilities of a model that learnt our guide. Where a label says nothing (every personal post is "other"),
the model's word stays alone; where it says much (stars of a review), it corrects the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from nlp.examples import CLASSES, Examples
from nlp.heads import Floats

N_COMMON = 60.0
"""How many rows the rate over all corpora weighs against the rows of one source."""

N_SMOOTH = 1.0


def reread(corpora: Examples, heads: Mapping[str, Floats], both: tuple[Examples, Examples]) -> Examples:
    """The corpora with targets by our guide.

    heads: logits of a calibrated model for the rows of `corpora`, by head, (n, classes) or (n, 16), polarity
    (n, 16, 3). both: rows that were labelled twice, by our guide and by a corpus, in the same order.
    """
    ours, theirs = both
    found = {}
    for head in CLASSES:
        probable = softmax(heads[head], axis=1)
        said = getattr(corpora, head)
        known = said.sum(axis=1) > 0
        if known.any():
            likely = _likelihoods(getattr(ours, head), getattr(theirs, head), theirs.sources)
            label = said.argmax(axis=1)
            for row in np.flatnonzero(known):
                probable[row] *= likely.get(corpora.sources[row], likely[""])[:, label[row]]
        found[head] = (probable / probable.sum(axis=1, keepdims=True)).astype(np.float32)
    aspects = expit(heads["aspects"] + _evidence(corpora, ours, theirs)).astype(np.float32)
    judged = corpora.polarity.sum(axis=2, keepdims=True) > 0.9
    read = softmax(heads["polarity"], axis=2) * 0.5 * (aspects > 0.5)[:, :, None]
    return Examples(
        corpora.texts,
        corpora.sources,
        **found,
        aspects=aspects,
        aspects_weight=np.ones_like(aspects),
        polarity=np.where(judged, corpora.polarity, read).astype(np.float32),
    )


def _likelihoods(ours: Floats, theirs: Floats, sources: list[str]) -> dict[str, Floats]:
    """Per source P(its class | our class), one row per class of ours; under "" that of all corpora."""
    known = (ours.sum(axis=1) > 0) & (theirs.sum(axis=1) > 0)
    pairs = np.stack([ours.argmax(axis=1), theirs.argmax(axis=1)], axis=1)
    n = ours.shape[1]

    def counted(rows: NDArray[np.bool_]) -> Floats:
        counts = np.zeros((n, n), dtype=np.float32)
        np.add.at(counts, tuple(pairs[rows].T), 1)
        return counts

    common = counted(known) + N_SMOOTH
    common /= common.sum(axis=1, keepdims=True)
    of_source = {"": common}
    names = np.array(sources)
    for source in set(sources):
        counts = counted(known & (names == source))
        # A class that this corpus never uses says nothing by its absence.
        used = counts.sum(axis=0) > 0
        mixed = counts + common * N_COMMON * used
        of_source[source] = np.where(used, mixed / np.maximum(mixed.sum(axis=1, keepdims=True), N_SMOOTH), common)
    return of_source


def _evidence(corpora: Examples, ours: Examples, theirs: Examples) -> Floats:
    """Log odds that a corpus's word on each aspect adds: positive where it names one, mostly negative where not."""
    named, spoken = theirs.aspects > 0.5, ours.aspects > 0.5
    known = theirs.aspects_weight > 0
    names = np.array(theirs.sources)
    added = np.zeros_like(corpora.aspects)
    theirs_of = np.array(corpora.sources)
    common_hit = _rate(named & spoken, spoken & known, 0.5)
    common_false = _rate(named & ~spoken, ~spoken & known, 0.05)
    for source in set(corpora.sources):
        rows = theirs_of == source
        here = (names == source)[:, None] & known
        hit = _rate(named & spoken & here, spoken & here, common_hit)
        false = _rate(named & ~spoken & here, ~spoken & here, common_false)
        says = corpora.aspects[rows] > 0.5
        odds = np.where(says, np.log(hit / false), np.log((1 - hit) / (1 - false)))
        added[rows] = np.clip(odds, -3, 3) * (corpora.aspects_weight[rows] > 0)
    return added


def _rate(hits: NDArray[np.bool_], of: NDArray[np.bool_], usual: Floats | float) -> Floats:
    rate: Floats = ((hits.sum(axis=0) + 10 * usual) / (of.sum(axis=0) + 10)).astype(np.float32)
    return np.clip(rate, 0.005, 0.995)
