"""Written sets: shares right by kind, and pairs that must both be right."""

from __future__ import annotations

from nlp.probes import probe
from nlp.rows import Row
from tests.builders import some_labels
from tests.nlp.test_figures import Says


def test_shares_are_by_kind_and_a_pair_counts_only_whole() -> None:
    rows = [
        Row("a", "praise", "positive", "0", frozenset(), pair=1, kind="praised"),
        Row("b", "complaint", "negative", "1", frozenset(), pair=1, kind="negated"),
        Row("c", "praise", "positive", "0", frozenset(), pair=2, kind="praised"),
        Row("d", "complaint", "negative", "2", frozenset(), pair=2, kind="negated"),
    ]
    said = Says(
        some_labels("positive", "praise"),
        some_labels("negative", "complaint", 1),
        some_labels("positive", "other"),
        some_labels("positive", "praise", 1),
    )
    found = probe(rows, said)
    assert found["pairs"] == {"n": 2, "sentiment": 0.5}
    assert found["kinds"]["praised"] == {
        "n": 2, "intent": 0.5, "sentiment": 1.0, "severity": 1.0, "severity_at_least_1": 1.0,
    }  # fmt: skip
    assert found["kinds"]["negated"]["severity"] == 0.5
    assert found["kinds"]["negated"]["severity_at_least_1"] == 1.0
