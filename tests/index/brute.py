"""What a query means, said once more in plain loops over mentions: the oracle of the store tests."""

from collections import Counter
from datetime import timedelta
from itertools import product

from index.query import matches, parse
from index.text import search_text


def fits(mention, query):
    """mention.indexed_at counts if it is known."""
    node = parse(query.text)
    folded = search_text(mention.title, mention.text)
    persona = mention.persona.id if mention.persona else None
    version = mention.labels.model_version if mention.labels else None
    return (
        (node is None or matches(node, folded, mention))
        and (not query.topics or bool(set(query.topics) & set(mention.topics)))
        and (query.since is None or mention.published_at >= query.since)
        and (query.until is None or mention.published_at < query.until)
        and (query.indexed_since is None or mention.indexed_at >= query.indexed_since)
        and (query.indexed_until is None or mention.indexed_at < query.indexed_until)
        and (not query.platforms or mention.platform in query.platforms)
        and (not query.sources or mention.source in query.sources)
        and (not query.sentiments or mention.sentiment in query.sentiments)
        and (not query.intents or mention.intent in query.intents)
        and (query.severity_from is None or (mention.severity is not None and mention.severity >= query.severity_from))
        and _has_aspect(mention, query)
        and (query.story_id is None or mention.story_id == query.story_id)
        and (not query.persona_ids or persona in query.persona_ids)
        and (query.customer_id is None or mention.customer_id == query.customer_id)
        and (query.confidence_below is None or (mention.confidence or 2) < query.confidence_below)
        and (query.model_version_not is None or version != query.model_version_not)
        and (query.copies == "all" or mention.is_copy == (query.copies == "only"))
        and (query.hidden == "with" or (mention.hidden is not None) == (query.hidden == "only"))
    )


def _has_aspect(mention, query):
    if not query.aspects and query.aspect_polarity is None:
        return True
    return any(
        (not query.aspects or aspect.name in query.aspects) and query.aspect_polarity in (None, aspect.polarity)
        for aspect in mention.aspects
    )


def grouped(mentions, query, by):
    counts = Counter()
    for mention in mentions:
        if fits(mention, query):
            counts.update(product(*(_keys(mention, dimension) for dimension in by)))
    return dict(counts)


def _keys(mention, dimension):
    local = mention.published_at + timedelta(hours=8)
    minutes = local.replace(minute=local.minute // 5 * 5)
    return {
        "sentiment": [mention.sentiment or ""],
        "intent": [mention.intent or ""],
        "severity": ["" if mention.severity is None else str(mention.severity)],
        "topic": list(mention.topics),
        "platform": [mention.platform],
        "source": [mention.source],
        "kind": [mention.kind],
        "day": [f"{local:%Y-%m-%d}"],
        "hour": [f"{local:%Y-%m-%dT%H}"],
        "five_minutes": [f"{minutes:%Y-%m-%dT%H:%M}"],
        "aspect": sorted({aspect.name for aspect in mention.aspects}),
        "aspect_polarity": sorted({f"{aspect.name}:{aspect.polarity}" for aspect in mention.aspects}),
        "story": [mention.story_id or ""],
        "persona": [mention.persona.id if mention.persona else ""],
        "customer": [mention.customer_id or ""],
        "model_version": [mention.labels.model_version if mention.labels else ""],
    }[dimension]
