"""The written texts of the sample world: texts/*.jsonl, checked line by line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

TEXTS_DIR = Path(__file__).parent / "texts"

Platform = Literal["weiyan", "shequ", "appstore", "pinglun", "wenzhang", "tousu"]


class TextsError(Exception):
    """A file of texts cannot be used; says which file and line, and what is wrong there."""


Sentiment = Literal["negative", "neutral", "positive"]
Intent = Literal["complaint", "praise", "question", "suggestion", "purchase", "other"]


class Reply(BaseModel):
    """What others answered below it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1)
    sentiment: Sentiment = "neutral"
    intent: Intent = "other"


class Text(BaseModel):
    """One written text and what its writer meant by it (used to place it in time, never shown to the crawlers).

    `{order}` in a text stands for an order number; in crisis texts 9日 .. 16日 are days around the 14th, on which
    the site starts (sample/posts.py puts the real ones there).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: Platform
    theme: str
    about: Literal["brand", "competitor", "both", "neither"]
    sentiment: Sentiment
    intent: Intent
    crisis: bool = False
    text: str = Field(min_length=1)
    title: str = ""
    replies: tuple[Reply, ...] = ()
    rating: int | None = Field(None, ge=1, le=5)


def load_texts(folder: Path = TEXTS_DIR) -> list[Text]:
    """Every text once (an exact repeat is left out), in an order that depends on the texts alone."""
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise TextsError(f"no *.jsonl in {folder}: the sample site has nothing to show")
    by_key: dict[str, Text] = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                text = _parse(line, f"{path.name}:{number}")
                key = hashlib.sha256(f"{text.platform}\n{text.text}".encode()).hexdigest()
                by_key.setdefault(key, text)
    return [by_key[key] for key in sorted(by_key)]


def _parse(line: str, place: str) -> Text:
    try:
        return Text.model_validate_json(line)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise TextsError(f"{place}: {field}: {first['msg']}") from e
