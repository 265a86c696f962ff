"""Shares of agreement: what counts, how uncertain they are, and when nothing is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from dashboard import agreement
from dashboard.agreement import Judged, Share
from index.models import Intent, Reviewed, Sentiment
from tests.builders import NOW, a_mention, a_review, an_aspect, some_labels


def judged(*, doubtful: bool = False, version: str = "new-1", **said: object) -> Judged:
    """The model said negative, complaint, 0, taste:negative; the person what is given."""
    labels = some_labels(aspects="taste:negative", model_version=version)
    review = a_review(**{"sentiment": None, "intent": None, **said})
    mention = a_mention(labels=some_labels("positive", model_version="later"), review=review)
    return mention, Reviewed(id=mention.id, at=NOW, labels=labels, doubtful=doubtful)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(share: tuple[int, int]) -> None:
    low, high = Share(*share).bounds
    wanted = binomtest(*share).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_few_judgements_are_no_share_even_if_all_agree() -> None:
    assert Share(29, 29).value is None
    assert Share(30, 30).value == 1
    assert Share(30, 30).bounds[0] < 0.9


def test_a_head_that_nobody_judged_does_not_count() -> None:
    found = [judged(sentiment=Sentiment.NEGATIVE), judged(intent=Intent.PRAISE), judged(severity=0)]
    assert agreement.of_head("sentiment", found) == Share(1, 1)
    assert agreement.of_head("intent", found) == Share(0, 1)
    assert agreement.of_head("severity", found) == Share(1, 1)
    assert agreement.of_head("aspects", found) == Share(0, 0)


@pytest.mark.parametrize(
    ("person", "share"),
    [
        ("taste:negative", Share(1, 1)),
        ("taste:positive", Share(0, 2)),
        ("taste:negative price:negative", Share(1, 2)),
        ("", Share(0, 1)),
    ],
)
def test_aspects_are_compared_with_their_polarity_as_jaccard(person: str, share: Share) -> None:
    found = [judged(aspects=tuple(an_aspect(each) for each in person.split()))]
    assert agreement.of_head("aspects", found) == share


def test_what_counts_is_what_the_model_had_said_when_the_person_looked() -> None:
    found = [judged(sentiment=Sentiment.POSITIVE)]
    assert found[0][0].labels is not None
    assert found[0][0].labels.sentiment == Sentiment.POSITIVE
    assert agreement.of_head("sentiment", found) == Share(0, 1)


def test_versions_and_doubtful_ones_are_told_apart() -> None:
    found = [judged(version="old-1"), judged(doubtful=True), judged()]
    assert len(agreement.of_versions({"new-1"}, found)) == 2
    assert len(agreement.of_versions({"new-1", "old-1"}, found)) == 3
    assert agreement.of_versions(set(), found) == []
    assert (len(agreement.doubtful(found)), len(agreement.others(found))) == (1, 2)
    assert len(agreement.of_topic("shanlan", found)) == 3
    assert agreement.of_topic("qingyu", found) == []


def test_a_mention_that_nothing_had_read_says_nothing_about_the_model() -> None:
    mention, record = judged(sentiment=Sentiment.NEGATIVE)
    assert agreement.of_head("sentiment", [(mention, record.but(labels=None))]) == Share(0, 0)
