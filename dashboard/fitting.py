"""Whether one mention in hand is what a MentionQuery asks for: for lists that come from records, not from a search."""

from __future__ import annotations

from index.models import Mention
from index.query import matches, parse
from index.store import MentionQuery
from index.text import search_text


def fits(query: MentionQuery, mention: Mention) -> bool:
    """By the conditions of the filter row. Raises QueryError."""
    if query.hidden != "with" and (mention.hidden is not None) != (query.hidden == "only"):
        return False
    if query.severity_from is not None and (mention.severity is None or mention.severity < query.severity_from):
        return False
    return (
        (query.since is None or mention.published_at >= query.since)
        and (query.until is None or mention.published_at < query.until)
        and (not query.topics or any(topic in query.topics for topic in mention.topics))
        and (not query.platforms or mention.platform in query.platforms)
        and (not query.sources or mention.source in query.sources)
        and (not query.sentiments or mention.sentiment in query.sentiments)
        and (not query.intents or mention.intent in query.intents)
        and (not query.aspects or any(aspect.name in query.aspects for aspect in mention.aspects))
        and _says(query.text, mention)
    )


def doubts(mention: Mention, below: float) -> list[str]:
    """The heads for which MentionQuery.confidence_below finds it (待复核); none once a person looked."""
    read = mention.labels
    if read is None or mention.review is not None:
        return []
    sure = {"sentiment": read.sentiment_probability, "intent": read.intent_probability}
    return [head for head, probability in sure.items() if probability < below]


def _says(text: str, mention: Mention) -> bool:
    node = parse(text) if text.strip() else None
    return node is None or matches(node, search_text(mention.title, mention.text), mention)
