"""Reading mentions: with which model, again after another model came, and what people said of the readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from index.models import CORRECTED, Aspect, Labels, LogEntry, Mention, MentionEdit, Reviewed
from index.store import Between, Store
from nlp.classifier import Classifier, NlpError
from nlp.load import Loaded, fingerprint, load_classifier
from nlp.pii import mask
from settings import Settings

log = structlog.get_logger()

AT_ONCE = 500
"""Mentions that an export holds at a time."""


# -------------------------------------------------------------------------------------------------- the model


class Reader:
    """The model in use, looked at again when its files change. Raises NlpError if none can be loaded."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fingerprint = fingerprint(settings)
        self.loaded = load_classifier(settings)
        _tell(self.loaded)

    def refresh(self) -> bool:
        """Load again what changed on disk; whether another model reads now. The one in memory is never given up
        for a worse one: files may just be on their way."""
        seen = fingerprint(self._settings)
        if seen == self._fingerprint:
            return False
        self._fingerprint = seen
        try:
            found = load_classifier(self._settings)
        except NlpError as error:
            log.warning("model files changed and cannot be read; the model in memory goes on", reason=str(error))
            return False
        if found.rank > self.loaded.rank:
            log.warning(
                "model files changed and cannot be read; the model in memory goes on", reason=found.fallback_reason
            )
            return False
        before, self.loaded = self.loaded, found
        _tell(found)
        return before.classifier.version != found.classifier.version


def _tell(loaded: Loaded) -> None:
    version, reason = loaded.classifier.version, loaded.fallback_reason
    if reason is None:
        log.info("model loaded", version=version)
    else:
        log.warning("reading with the fallback model", version=version, reason=reason)


@dataclass
class Rereading:
    """Where one pass over what another model read has come to; a new process begins a new pass."""

    version: str = ""
    after: str | None = None
    n_batches: int = 0

    def start(self, version: str) -> None:
        self.version, self.after, self.n_batches = version, None, 0


# ---------------------------------------------------------------------------------------------------- reading


def read_mentions(classifier: Classifier, mentions: Sequence[Mention], hidden: Callable[[str], str]) -> list[Mention]:
    """The mentions with labels. A forward is read with what it forwards, as the training rows are: "我不信//@…" or
    "心真大//@…" say nothing or the opposite alone. hidden: takes the names of the topics out of a text."""
    read = classifier.read([hidden(mention.said) for mention in mentions])
    return [mention.model_copy(update={"labels": labels}) for mention, labels in zip(mentions, read, strict=True)]


def still_the_same(store: Store, read: Sequence[Mention]) -> list[Mention]:
    """Those that the store still has with the words that were read, as it has them now but for the labels."""
    there = store.mentions([mention.id for mention in read])
    return [
        there[mention.id].model_copy(update={"labels": mention.labels})
        for mention in read
        if mention.id in there and there[mention.id].said == mention.said
    ]


def keep_labels(store: Store, mentions: Sequence[Mention]) -> None:
    """Write the labels; what people said, the story, the customer and the rest stay as they are."""
    store.edit_mentions({mention.id: MentionEdit(labels=mention.labels) for mention in mentions})


# ---------------------------------------------------------------------------------- what people said of them


def keep_what_was_judged(store: Store, mentions: Sequence[Mention]) -> None:
    """Before other labels take their place: what the model had said of the reviewed ones, where it is not kept yet."""
    missing = [
        Reviewed(id=mention.id, at=mention.review.at, labels=mention.labels, words=mention.words)
        for mention in mentions
        if mention.review is not None and store.get(Reviewed, mention.id) is None
    ]
    if missing:
        store.put_all(missing)


def training_rows(store: Store, *, since: datetime | None) -> Iterator[dict[str, Any]]:
    """One row a reviewed mention in the order of (time of the review, id): people's words as truth, the model's beside.

    A head that nobody judged is None, and what was judged before its author edited it is left out: people said it of
    other words. Texts are masked once more: the rules for that may be newer than the text.
    """
    kept = store.find(Reviewed, {"at": Between(ge=since)} if since else None, order_by="at")
    known = {record.id: record for record in kept}
    # Reviews from before such records were kept stand in the log only.
    logged = store.find(LogEntry, {"action": CORRECTED, **({"at": Between(ge=since)} if since else {})})
    ids = sorted({*known, *(entry.note for entry in logged)})
    order = sorted((review_at, mention_id) for mention_id, review_at in _reviewed_at(store, ids, since))
    for start in range(0, len(order), AT_ONCE):
        some = [mention_id for _, mention_id in order[start : start + AT_ONCE]]
        there = store.mentions(some)
        for mention_id in some:
            mention = there.get(mention_id)
            if mention is None or mention.review is None:
                continue
            record = known.get(mention_id) or store.get(Reviewed, mention_id)
            if record is None or record.is_about(mention):
                yield training_row(mention, record)


def _reviewed_at(store: Store, ids: Sequence[str], since: datetime | None) -> Iterator[tuple[str, datetime]]:
    for start in range(0, len(ids), AT_ONCE):
        for mention in store.mentions(ids[start : start + AT_ONCE]).values():
            if mention.review is not None and (since is None or mention.review.at >= since):
                yield mention.id, mention.review.at


def training_row(mention: Mention, reviewed: Reviewed | None) -> dict[str, Any]:
    """The form of the labelled data, with None where nobody judged, and what the model had said under `model`."""
    review = mention.review
    assert review is not None
    said = reviewed.labels if reviewed is not None else mention.labels
    return {
        "id": mention.id,
        "text": mask(mention.said),
        "source": mention.platform,
        "intent": review.intent,
        "sentiment": review.sentiment,
        "severity": review.severity,
        "aspects": None if review.aspects is None else _names(review.aspects),
        "polarity": None if review.aspects is None else _polarity(review.aspects),
        "reviewed_at": review.at.isoformat(),
        "doubtful": reviewed.doubtful if reviewed is not None else None,
        "topics": list(mention.topics),
        "model": None if said is None else _model_row(said),
    }


def _model_row(said: Labels) -> dict[str, Any]:
    return {
        "version": said.model_version,
        "intent": said.intent,
        "intent_probability": said.intent_probability,
        "sentiment": said.sentiment,
        "sentiment_probability": said.sentiment_probability,
        "severity": said.severity,
        "severity_probability": said.severity_probability,
        "aspects": _names(said.aspects),
        "polarity": _polarity(said.aspects),
    }


def _names(aspects: Sequence[Aspect]) -> list[str]:
    return sorted({aspect.name for aspect in aspects})


def _polarity(aspects: Sequence[Aspect]) -> dict[str, str]:
    return {aspect.name: aspect.polarity.value for aspect in sorted(aspects, key=_name)}


def _name(aspect: Aspect) -> str:
    return aspect.name
