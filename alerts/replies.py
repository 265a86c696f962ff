"""Suggested replies: drafts from alerts/messages/replies.toml that fit a mention. People choose, edit and post."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import Field

from index.models import Customer, Frozen, Intent, Mention, Sentiment

FILE = Path(__file__).parent / "messages" / "replies.toml"
N_SUGGESTIONS = 3


class Template(Frozen):
    title: str
    text: str
    intents: tuple[Intent, ...] = ()
    aspects: tuple[str, ...] = ()
    severity_from: int = Field(0, ge=0, le=2)


class Suggestion(Frozen):
    """A draft and where it comes from, both as shown."""

    text: str
    source: str


@cache
def templates() -> tuple[Template, ...]:
    with FILE.open("rb") as file:
        return tuple(Template.model_validate(entry) for entry in tomllib.load(file)["reply"])


def suggest(
    mention: Mention,
    customer: Customer | None,
    brand: str,
    *,
    known: Sequence[Template] | None = None,
    limit: int = N_SUGGESTIONS,
) -> list[Suggestion]:
    """The drafts that fit best, most specific first; empty if nothing is known of the mention's intent."""
    fitting = [(score, template) for template in known or templates() if (score := _fit(template, mention)) > 0]
    fitting.sort(key=_first, reverse=True)
    name = _called(mention)
    hint = " · 客户已关联, 不必再问订单号" if customer is not None and customer.orders else ""
    return [
        Suggestion(
            text=template.text.replace("{name}", name).replace("{brand}", brand),
            source=f"话术模板 · {template.title}{hint}",
        )
        for _, template in fitting[:limit]
    ]


def _first(entry: tuple[int, Template]) -> int:
    return entry[0]


def _fit(template: Template, mention: Mention) -> int:
    """0 does not fit; more is more specific."""
    if mention.intent is None or (template.intents and mention.intent not in template.intents):
        return 0
    if (mention.severity or 0) < template.severity_from:
        return 0
    spoken = {aspect.name for aspect in mention.aspects if aspect.polarity != Sentiment.POSITIVE}
    if template.aspects and not spoken & set(template.aspects):
        return 0
    return 1 + 4 * bool(template.aspects) + 3 * template.severity_from


def _called(mention: Mention) -> str:
    """By the name under which they wrote: the customer's real name has no place in a public reply."""
    if mention.persona is not None and mention.persona.name.strip():
        return mention.persona.name.strip()
    return ""
