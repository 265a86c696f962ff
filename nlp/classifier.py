"""What the service asks of a model; nlp/linear.py is one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from index.models import Labels


class NlpError(Exception):
    """A model or its data cannot be used; the text says which file, what is wrong and how to mend it."""


class Classifier(Protocol):
    """Reads Chinese texts. version names the weights; it is stored with every label."""

    version: str

    def read(self, texts: Sequence[str]) -> list[Labels]:
        """One Labels per text, in order. Texts may be of any length, also empty."""


HOME = "+"
"""Parts the version of the program's recipe from the digest of what was trained at home."""


def home_version(version: str, weights: Iterable[bytes]) -> str:
    """The version of a model that does not ship with the program: other weights, other name, so that labels are told
    apart and read again."""
    digest = hashlib.sha256()
    for part in weights:
        digest.update(part)
    return f"{version}{HOME}{digest.hexdigest()[:8]}"
