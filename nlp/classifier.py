"""What the service asks of a model; nlp/linear.py is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from index.models import Labels


class NlpError(Exception):
    """A model or its data cannot be used; the text says which file, what is wrong and how to mend it."""


class Classifier(Protocol):
    """Reads Chinese texts. version names the weights; it is stored with every label."""

    version: str

    def read(self, texts: Sequence[str]) -> list[Labels]:
        """One Labels per text, in order. Texts may be of any length, also empty."""
