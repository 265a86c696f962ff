"""What every model says of a text: the classes of its heads, in the order of their numbers, and labels made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index.models import ASPECTS, Aspect, Intent, Labels, Sentiment

Floats = NDArray[np.float32]

SENTIMENTS = tuple(Sentiment)
INTENTS = tuple(Intent)
SEVERITIES = (0, 1, 2)

SLICES = {
    "sentiment": slice(0, 3),
    "intent": slice(3, 9),
    "severity": slice(9, 12),
    "aspects": slice(12, 12 + len(ASPECTS)),
    "polarity": slice(12 + len(ASPECTS), 12 + 4 * len(ASPECTS)),
}
"""Where each head stands in a row of logits; polarity, which not every model has, holds three per aspect."""

N_LOGITS = SLICES["polarity"].stop


def labels_of(
    probable: Mapping[str, Floats], aspects: Sequence[tuple[Aspect, ...]], model_version: str
) -> list[Labels]:
    """One Labels per row: the likeliest sentiment and intent, the severity that is as likely to be reached as not (its
    median: 0.4, 0.3, 0.3 is a 1, as something is wrong more likely than not), and the aspects as they were found.

    probable: per head one row a text, one column a class.
    """
    best = {head: probable[head].argmax(axis=1) for head in ("sentiment", "intent")}
    best["severity"] = (probable["severity"].cumsum(axis=1)[:, :-1] < 0.5).sum(axis=1)
    rows = np.arange(len(aspects))
    sure = {head: probable[head][rows, of_head] for head, of_head in best.items()}
    return [
        Labels(
            sentiment=SENTIMENTS[best["sentiment"][row]],
            sentiment_probability=float(sure["sentiment"][row]),
            intent=INTENTS[best["intent"][row]],
            intent_probability=float(sure["intent"][row]),
            severity=SEVERITIES[best["severity"][row]],
            severity_probability=float(sure["severity"][row]),
            aspects=of_row,
            model_version=model_version,
        )
        for row, of_row in enumerate(aspects)
    ]


def aspects_of(spoken_of: NDArray[np.bool_], polarity: NDArray[np.intp], probable: Floats) -> tuple[Aspect, ...]:
    """The aspects of one text, each with the sentiment of its number in `polarity`."""
    return tuple(
        Aspect(name=ASPECTS[at], polarity=SENTIMENTS[polarity[at]], probability=float(probable[at]))
        for at in np.flatnonzero(spoken_of)
    )
