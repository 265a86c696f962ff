"""What a second model adds to the logits of the first: its probabilities as evidence, weighed by a share per head.

A logarithmic opinion pool: Genest and Zidek, Combining Probability Distributions, Statistical Science 1 (1986).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import logit

from nlp.heads import Floats

_LEAST = 1e-4


def evidence(probabilities: Mapping[str, Floats]) -> dict[str, Floats]:
    """Per head log probabilities of every class, or log odds of every aspect; none so sure that it outvotes all."""
    return {
        head: logit(np.clip(each, _LEAST, 1 - _LEAST)) if head == "aspects" else np.log(np.maximum(each, _LEAST))
        for head, each in probabilities.items()
    }


def pooled(logits: Floats, temperature: float, share: float, said: Floats) -> Floats:
    """Logits of one head joined with the evidence of the same texts."""
    return logits / temperature + share * said
