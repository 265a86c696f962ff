"""Sets that were written to try a model: sarcasm, negation, harm and what only looks like it (tests/model/*.jsonl)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from index.models import Labels
from nlp.figures import Reader
from nlp.rows import Row

PROBES = ("sarcasm.jsonl", "negation.jsonl", "crisis.jsonl")


def probe(rows: Sequence[Row], reader: Reader) -> dict[str, Any]:
    """Per kind of row the share that is read right, head by head; of rows in pairs, of how many both are."""
    labels = reader.read([row.text for row in rows])
    kinds = dict.fromkeys(row.kind or "rows" for row in rows)
    figures: dict[str, Any] = {"n": len(rows), "kinds": {}}
    for kind in kinds:
        of_kind = [(row, said) for row, said in zip(rows, labels, strict=True) if (row.kind or "rows") == kind]
        figures["kinds"][kind] = _shares_right(of_kind)
    pairs: dict[int, list[bool]] = {}
    for row, said in zip(rows, labels, strict=True):
        if row.pair is not None:
            pairs.setdefault(row.pair, []).append(row.sentiment == said.sentiment)
    if pairs:
        figures["pairs"] = {"n": len(pairs), "sentiment": sum(map(all, pairs.values())) / len(pairs)}
    return figures


def _shares_right(rows: Sequence[tuple[Row, Labels]]) -> dict[str, float]:
    n = len(rows)
    return {
        "n": n,
        "intent": sum(row.intent == said.intent for row, said in rows) / n,
        "sentiment": sum(row.sentiment == said.sentiment for row, said in rows) / n,
        "severity": sum(row.severity == str(said.severity) for row, said in rows) / n,
        "severity_at_least_1": sum((row.severity != "0") == (said.severity >= 1) for row, said in rows) / n,
    }
