"""Golden pages: what each parser makes of a page in tests/pages, and that no mutation of one makes it raise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawlers.parsers import appstore, feed, json_api, page
from crawlers.parsers.common import Parsed
from index.models import Source
from tests.crawlers.conftest import NOW, a_source

PAGES = Path(__file__).parents[1] / "pages"
CASES = sorted(str(path.parent.relative_to(PAGES)) for path in PAGES.glob("*/*/meta.json"))


def load(case: str) -> tuple[bytes, dict[str, Any], Source]:
    meta = json.loads((PAGES / case / "meta.json").read_text(encoding="utf-8"))
    kind = case.partition("/")[0]
    source = a_source(kind, meta["url"], platform=meta["platform"], options=meta["options"])
    return (PAGES / case / meta["page"]).read_bytes(), meta, source


def parse(body: bytes, meta: dict[str, Any], source: Source) -> Parsed:
    if meta.get("list"):
        return page.parse_list(body, meta["url"], source=source, charset=meta.get("charset", ""))
    parsers: dict[str, Callable[..., Parsed]] = {
        "feed": feed.parse,
        "page": page.parse,
        "appstore": appstore.parse,
        "json": json_api.parse,
    }
    return parsers[source.kind](body, meta["url"], source=source, now=NOW, charset=meta.get("charset", ""))


def told(parsed: Parsed) -> dict[str, Any]:
    """The answer as JSON, without what is empty."""
    answer: dict[str, Any] = asdict(parsed) | {
        "mentions": [
            mention.model_dump(mode="json", exclude_defaults=True, exclude={"source", "collected_at"})
            for mention in parsed.mentions
        ],
        "bad": [asdict(bad) for bad in parsed.bad],
    }
    return {key: value for key, value in json.loads(json.dumps(answer)).items() if value not in ([], "", None)}


@pytest.mark.parametrize("case", CASES)
def test_a_golden_page_gives_what_was_checked_by_a_person(case: str, request: pytest.FixtureRequest) -> None:
    body, meta, source = load(case)
    answer = told(parse(body, meta, source))
    expected = PAGES / case / "expected.json"
    if request.config.getoption("--update-golden", default=False):
        expected.write_text(json.dumps(answer, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    assert answer == json.loads(expected.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_the_same_page_gives_the_same_ids(case: str) -> None:
    body, meta, source = load(case)
    again = [mention.id for mention in parse(body, meta, source).mentions]
    assert [mention.id for mention in parse(body, meta, source).mentions] == again
    assert len(set(again)) == len(again)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "double", "noise", "cut"]),
        st.floats(0, 1),
        st.integers(1, 400),
        st.binary(max_size=12),
    ),
    min_size=1,
    max_size=4,
)


def mutate(body: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    for edit, place, length, noise in edits:
        at = int(place * len(body))
        if edit == "drop":
            body = body[:at] + body[at + length :]
        elif edit == "double":
            body = body[:at] + body[at : at + length] * 3 + body[at + length :]
        elif edit == "noise":
            body = body[:at] + noise + body[at + len(noise) :]
        else:
            body = body[:at]
    return body


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CASES), EDITS)
def test_no_mutation_of_a_page_makes_a_parser_raise(case: str, edits: list[tuple[str, float, int, bytes]]) -> None:
    body, meta, source = load(case)
    parsed = parse(mutate(body, edits), meta, source)
    assert all(mention.text and mention.source == "lab" for mention in parsed.mentions)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        ["feed/atom", "page/article-declared-gbk", "page/forum-list-gb18030", "appstore/one", "json/vendor"]
    ),
    st.binary(max_size=400),
)
def test_no_garbage_makes_a_parser_raise(case: str, body: bytes) -> None:
    _, meta, source = load(case)
    assert parse(body, meta, source).mentions == ()


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "feed",
                        "entry",
                        "items",
                        "data",
                        "list",
                        "docId",
                        "body",
                        "pubTime",
                        "user",
                        "id",
                        "label",
                        "im:rating",
                        "author",
                        "content",
                        "link",
                        "code",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_json_of_another_shape_makes_a_parser_raise(data: Any) -> None:
    body = json.dumps(data).encode()
    for case in ("feed/json-feed", "appstore/one", "json/vendor"):
        _, meta, source = load(case)
        parse(body, meta, source)


HALF_AN_EMOJI = "\\ud83d"


@pytest.mark.parametrize("case", ["feed/json-feed", "appstore/one", "json/vendor"])
def test_half_an_emoji_does_not_stop_a_mention_from_being_written(case: str) -> None:
    body, meta, source = load(case)
    cut = json.dumps(json.loads(body))
    for word in ("旗舰店", "点单页", "外卖"):
        cut = cut.replace(json.dumps(word)[1:-1], json.dumps(word)[1:-1] + HALF_AN_EMOJI)
    assert HALF_AN_EMOJI in cut
    parsed = parse(cut.encode(), meta, source)
    assert parsed.mentions
    assert all(mention.model_dump_json() for mention in parsed.mentions)


def test_half_an_emoji_in_a_malformed_feed_does_not_either() -> None:
    source = a_source("feed", "https://a.example/rss")
    item = (
        "<item><title>笑&#xd83d;</title><link>https://a.example/&#xd83d;1</link><description>哭&#55357;</description>"
    )
    body = f"<rss version='2.0'><channel>{item}<pubDate>2026-11-25</pubDate></item></channel></rss>".encode()
    (mention,) = feed.parse(body, source.url, source=source, now=NOW).mentions
    assert mention.model_dump_json()
