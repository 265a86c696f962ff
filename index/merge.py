"""How two sightings of one mention become one, and how an edit changes it: the same in every store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from index.models import Engagement, Mention, MentionEdit

RELATIVE_TIMES_DRIFT = timedelta(hours=1)


def merged(old: Mention, new: Mention) -> Mention:
    """The stored mention after it was seen again (the rules are those of Store.add_mentions)."""
    changes: dict[str, Any] = {
        "engagement": _larger(old.engagement, new.engagement),
        "topics": tuple(dict.fromkeys((*old.topics, *new.topics))),
    }
    same_text = (old.title, old.text) == (new.title, new.text)
    if new.collected_at >= old.collected_at:
        changes |= {"text": new.text, "title": new.title, "collected_at": new.collected_at}
        changes |= {
            "url": new.url or old.url,
            "persona": new.persona or old.persona,
            "rating": new.rating or old.rating,
        }
        changes["published_at"] = _moment(old.published_at, new.published_at)
        changes["labels"] = (new.labels or old.labels) if same_text else new.labels
        if not same_text:
            changes["story_keys"] = new.story_keys
    elif same_text:
        changes["labels"] = old.labels or new.labels
    return old.model_copy(update=changes)


def edited(old: Mention, edit: MentionEdit) -> Mention:
    return old.model_copy(update={name: getattr(edit, name) for name in edit.model_fields_set})


def _moment(old: datetime, new: datetime) -> datetime:
    """A page that says "3 小时前" gives another moment at each crawl; the first one is the closest to the truth."""
    return old if abs(new - old) < RELATIVE_TIMES_DRIFT else new


def _larger(old: Engagement, new: Engagement) -> Engagement:
    counts: dict[str, int | None] = {}
    for name in Engagement.model_fields:
        known = [count for count in (getattr(old, name), getattr(new, name)) if count is not None]
        counts[name] = max(known) if known else None
    return Engagement(**counts)
