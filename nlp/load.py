"""The classifier that the service reads with: the best model whose files are sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nlp.classifier import Classifier, NlpError
from settings import Settings

SHIPPED = Path(__file__).parent / "model"
LINEAR = "linear.npz"
TRANSFORMER = ("mentions.json", "mentions.onnx", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """fallback_reason says, for people, why no better model reads: which file, what is wrong, how to mend it."""

    classifier: Classifier
    fallback_reason: str | None


def load_classifier(settings: Settings) -> Loaded:
    """The transformer trained at home (data_dir/model/) or shipped (nlp/model/), else the linear model.

    Raises NlpError with what is wrong with every model if none can be used.
    """
    reasons = []
    for load in _candidates(settings):
        try:
            classifier = load()
        except NlpError as e:
            reasons.append(str(e))
        else:
            return Loaded(classifier, "; ".join(reasons) or None)
    raise NlpError("; ".join(reasons))


def fingerprint(settings: Settings) -> str:
    """Names, sizes and times of the files of all models: while it stays, loading again gives the same."""
    seen = []
    for folder in (_home(settings), SHIPPED):
        for name in (*TRANSFORMER, LINEAR):
            try:
                stat = (folder / name).stat()
            except OSError:
                continue
            seen.append(f"{folder / name}:{stat.st_size}:{stat.st_mtime_ns}")
    return "\n".join(seen)


def _candidates(settings: Settings) -> Iterator[Callable[[], Classifier]]:
    """The best first. What is heavy is imported only when its turn comes."""
    home = _home(settings)
    at_home = any((home / name).exists() for name in TRANSFORMER)
    for folder in (home, SHIPPED) if at_home else (SHIPPED,):
        yield partial(_transformer, folder, settings)
    if (home / LINEAR).exists():
        yield partial(_linear, home / LINEAR)
    yield partial(_linear, SHIPPED / LINEAR)


def _home(settings: Settings) -> Path:
    return settings.data_dir / "model"


def _transformer(folder: Path, settings: Settings) -> Classifier:
    from nlp.transformer import load

    return load(folder, device=settings.nlp.device)


def _linear(file: Path) -> Classifier:
    from nlp.linear import load

    return load(file)
