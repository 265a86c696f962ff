"""The classifier that the service reads with: the best model whose files are sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlp.classifier import Classifier, NlpError
from settings import Settings

if TYPE_CHECKING:
    from nlp.linear import LinearClassifier

SHIPPED = Path(__file__).parent / "model"
LINEAR = "linear.npz"
TRANSFORMER = ("mentions.json", "mentions.onnx", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """fallback_reason says, for people, why no better model reads: which file, what is wrong, how to mend it.

    rank: 0 the best there is, 1 a transformer in its place or without its linear model, 2 the linear model.
    """

    classifier: Classifier
    fallback_reason: str | None
    rank: int = 0


def load_classifier(settings: Settings) -> Loaded:
    """The transformer trained at home (data_dir/model/) or shipped (nlp/model/), else the linear model.

    The transformer reads together with the linear model, or alone where that is missing or damaged. Raises NlpError
    with what is wrong with every model if none can be used.
    """
    linear, of_linear = _linear(settings)
    reasons = []
    for folder in _folders(settings):
        try:
            transformer = _transformer(folder, linear, settings)
        except NlpError as e:
            reasons.append(str(e))
        else:
            found = [*reasons, *of_linear]
            return Loaded(transformer, "; ".join(found) or None, rank=1 if found else 0)
    if linear is None:
        raise NlpError("; ".join([*reasons, *of_linear]))
    return Loaded(linear, "; ".join([*reasons, *of_linear]), rank=2)


def fingerprint(settings: Settings) -> str:
    """Which files of all models are there: while it stays, loading again gives the same. ctime tells of what keeps size
    and mtime: other rights, or a copy that took the times along."""
    seen = []
    for folder in (_home(settings), SHIPPED):
        for name in (*TRANSFORMER, LINEAR):
            try:
                stat = (folder / name).stat()
            except OSError:
                continue
            seen.append(f"{folder / name}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}")
    return "\n".join(seen)


def _folders(settings: Settings) -> tuple[Path, ...]:
    """Where a transformer lies, the best first."""
    home = _home(settings)
    at_home = any((home / name).exists() for name in TRANSFORMER)
    return (home, SHIPPED) if at_home else (SHIPPED,)


def _home(settings: Settings) -> Path:
    return settings.data_dir / "model"


def _transformer(folder: Path, linear: LinearClassifier | None, settings: Settings) -> Classifier:
    # Heavy: only those pay who read.
    from nlp.transformer import load

    return load(folder, linear=linear, device=settings.nlp.device)


def _linear(settings: Settings) -> tuple[LinearClassifier | None, list[str]]:
    """The first sound one, and what is wrong with those before it."""
    from nlp.linear import load

    at_home = _home(settings) / LINEAR
    reasons: list[str] = []
    for file in (at_home, SHIPPED / LINEAR) if at_home.exists() else (SHIPPED / LINEAR,):
        try:
            return load(file), reasons
        except NlpError as e:
            reasons.append(str(e))
    return None, reasons
