"""Which stories are shown as the most copied ones, and with which number."""

from dashboard import queries
from index.models import Mention
from index.store import MentionQuery, Store
from tests.builders import NOW, a_mention, ago

OF_TODAY = MentionQuery(since=ago(hours=24))


def a_story(name: str, n_copies: int, *, first_hours_ago: float) -> list[Mention]:
    first = a_mention(
        f"{name}首发", id=f"weibo:{name}", story_id=f"weibo:{name}", published_at=ago(hours=first_hours_ago)
    )
    copies = [
        a_mention(f"{name}转载", platform="zhihu", story_id=first.id, is_copy=True, published_at=ago(hours=1))
        for _ in range(n_copies)
    ]
    return [first, *copies]


def test_the_most_copied_come_first_and_what_nobody_copied_is_no_story(store: Store) -> None:
    crowd = [
        *a_story("b", 2, first_hours_ago=3),
        *a_story("a", 3, first_hours_ago=2),
        *a_story("c", 0, first_hours_ago=2),
    ]
    store.add_mentions(crowd, now=NOW)
    found = queries.stories((), OF_TODAY)
    assert [(first.id, n, platforms) for first, n, platforms in found] == [
        ("weibo:a", 4, ("zhihu", "weibo")),
        ("weibo:b", 3, ("zhihu", "weibo")),
    ]
    assert queries.stories((), OF_TODAY, limit=1) == found[:1]


def test_the_number_is_that_of_the_mentions_in_the_period(store: Store) -> None:
    crowd = [*a_story("old", 2, first_hours_ago=30), *a_story("once", 1, first_hours_ago=30)]
    store.add_mentions(crowd, now=NOW)
    ((first, n, _),) = queries.stories((), OF_TODAY)
    assert (first.id, n) == ("weibo:old", 2)
