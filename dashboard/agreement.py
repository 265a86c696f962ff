"""How often people agree with the model, on what they have judged: shares with their uncertainty. Pure.

Only heads that a person judged count (corrected, or confirmed as right). What people look at is chosen, mostly
because the model was in doubt: these shares are not its accuracy on all mentions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from math import sqrt

from index.models import Aspect, Labels, Mention, Review, Reviewed

ENOUGH = 30
"""Fewer judgements say nothing about a share."""
Z_95 = 1.959964

Judged = tuple[Mention, Reviewed]


@dataclass(frozen=True)
class Share:
    """k of n agree."""

    k: int = 0
    n: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(self.k + other.k, self.n + other.n)

    @property
    def value(self) -> float | None:
        """None where there are too few to say."""
        return self.k / self.n if self.n >= ENOUGH else None

    @property
    def bounds(self) -> tuple[float, float]:
        """Wilson's score interval at 95 % (E. B. Wilson, 1927); n must not be 0."""
        share, spread = self.k / self.n, Z_95**2 / self.n
        centre = (share + spread / 2) / (1 + spread)
        half = Z_95 / (1 + spread) * sqrt(share * (1 - share) / self.n + spread / (4 * self.n))
        return max(0.0, centre - half), min(1.0, centre + half)


def _sentiment(said: Labels, review: Review) -> Share:
    return _same(said.sentiment, review.sentiment)


def _intent(said: Labels, review: Review) -> Share:
    return _same(said.intent, review.intent)


def _severity(said: Labels, review: Review) -> Share:
    return _same(said.severity, review.severity)


def _aspects(said: Labels, review: Review) -> Share:
    """Jaccard over aspects with their polarity, pooled: what both say of what either says.

    Aspects of one text hang together, so the interval is a little too narrow.
    """
    if review.aspects is None:
        return Share()
    model, person = _pairs(said.aspects), _pairs(review.aspects)
    return Share(len(model & person), len(model | person))


def _same(said: object, person: object | None) -> Share:
    return Share() if person is None else Share(int(said == person), 1)


def _pairs(aspects: Iterable[Aspect]) -> set[tuple[str, str]]:
    return {(aspect.name, aspect.polarity.value) for aspect in aspects}


HEADS: dict[str, Callable[[Labels, Review], Share]] = {
    "sentiment": _sentiment,
    "intent": _intent,
    "severity": _severity,
    "aspects": _aspects,
}


def of_head(head: str, judged: Sequence[Judged]) -> Share:
    total = Share()
    for mention, record in judged:
        if record.labels is not None and mention.review is not None:
            total += HEADS[head](record.labels, mention.review)
    return total


def of_versions(versions: Set[str], judged: Sequence[Judged]) -> list[Judged]:
    """Those that one of these models had read when a person judged them."""
    return [each for each in judged if each[1].labels is not None and each[1].labels.model_version in versions]


def doubtful(judged: Sequence[Judged]) -> list[Judged]:
    return [each for each in judged if each[1].doubtful]


def others(judged: Sequence[Judged]) -> list[Judged]:
    """Those that people chose for another reason, or nobody knows why."""
    return [each for each in judged if not each[1].doubtful]


def of_topic(topic: str, judged: Sequence[Judged]) -> list[Judged]:
    return [each for each in judged if topic in each[0].topics]
