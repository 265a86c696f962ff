"""The classifier that the service reads with, chosen by the settings."""

from __future__ import annotations

from nlp.classifier import Classifier
from settings import Settings


def load_classifier(settings: Settings) -> Classifier:
    """The linear model: weights trained at home (data_dir/model/linear.npz) if there are any, else those shipped.

    Raises NlpError that says which file is missing or damaged and how to mend it.
    """
    from nlp.linear import FILE, load

    own = settings.data_dir / "model" / FILE.name
    return load(own if own.exists() else FILE)
