"""The real crawlers on the real site, with the sources that settings.toml provisions for it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crawlers import spool
from crawlers.launch import launch
from index.models import Mention, Outcome, Source
from sample.posts import Post
from sample.site import Site, serve
from sample.world import World
from settings import ROOT, CrawlSettings
from tests.sample.conftest import ANCHOR, Clock, running

PLACE = "{sample}/"
SETTINGS = tomllib.loads((ROOT / "settings.toml").read_text(encoding="utf-8"))
SOURCES = [row for row in SETTINGS.get("sources", []) if row.get("url", "").startswith(PLACE)]


TWICE = {SOURCES[0]["id"], *[row["id"] for row in SOURCES if row["kind"] == "feed"][:1]} if SOURCES else set()


class Crawled:
    """What the first run of every source brought, and the second of some."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Any]] = {}
        self.mentions: dict[str, Mention] = {}


@pytest.fixture(scope="module")
def crawled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    clock = Clock(ANCHOR)
    crawl = CrawlSettings.model_validate(SETTINGS.get("crawl", {}))
    for site in running(serve(0, clock, world=world)):
        found = Crawled()
        for row in SOURCES:
            found.runs[row["id"]] = crawl_one(row, site, clock, crawl, tmp_path_factory.mktemp("spool"), found)
        yield found


def crawl_one(
    row: dict[str, Any], site: Site, clock: Clock, crawl: CrawlSettings, folder: Path, found: Crawled
) -> list[Any]:
    source = Source.model_validate(row | {"url": row["url"].replace(PLACE, site.url + "/")})
    runs = []
    for number in (1, 2) if row["id"] in TWICE else (1,):
        clock.now = ANCHOR + timedelta(minutes=number - 1)
        run, state = launch(source, run_id=f"run-{number}", crawl=crawl, spool_dir=folder, clock=clock)
        source = source.but(state=state)
        runs.append(run)
    for file in spool.pending(folder):
        for batch in spool.read(file, 500):
            found.mentions |= {mention.id: mention for mention in batch.mentions}
    clock.now = ANCHOR
    return runs


def test_the_settings_have_sources_for_every_platform_of_the_site() -> None:
    wanted = {"weiyan", "shequ", "appstore", "pinglun", "wenzhang", "tousu"}
    assert {row["platform"] for row in SOURCES} == wanted


def test_every_first_run_ends_well_with_nothing_bad(crawled: Crawled) -> None:
    ends = {name: (runs[0].outcome, runs[0].n_bad) for name, runs in crawled.runs.items()}
    assert ends == dict.fromkeys(ends, (Outcome.OK, 0))


def test_a_second_run_reads_only_what_is_new(crawled: Crawled) -> None:
    again = [runs for runs in crawled.runs.values() if len(runs) == 2]
    assert again
    assert {second.outcome for _, second in again} <= {Outcome.OK, Outcome.EMPTY}
    assert all(second.n_items < 20 and second.n_requests < first.n_requests + 1 for first, second in again)


def test_all_sources_together_need_few_requests(crawled: Crawled) -> None:
    assert sum(runs[0].n_requests for runs in crawled.runs.values()) < 140


def test_everything_that_names_a_brand_is_found(crawled: Crawled, posts: list[Post]) -> None:
    wanted = {
        f"{post.platform}:{post.id}"
        for post in posts
        if post.platform != "wenzhang" and not post.is_reply and post.about != "neither"
    }
    assert wanted <= set(crawled.mentions)
    titles = {mention.title for mention in crawled.mentions.values() if mention.platform == "wenzhang"}
    assert {post.title for post in posts if post.platform == "wenzhang"} <= titles


def test_what_is_crawled_is_what_was_posted(crawled: Crawled, posts: list[Post]) -> None:
    for post in posts:
        mention = crawled.mentions.get(f"{post.platform}:{post.id}")
        if mention is None:
            continue
        assert mention.persona is not None
        assert mention.persona.name == post.author.name
        assert abs(mention.published_at - post.published_at) < timedelta(minutes=2)
        assert "".join(mention.text.split()) == "".join(post.text.split())


def test_counts_regions_and_threads_come_along(crawled: Crawled) -> None:
    mentions = list(crawled.mentions.values())
    weiyan = [mention for mention in mentions if mention.platform == "weiyan"]
    assert all(mention.persona and mention.persona.followers is not None for mention in weiyan)
    assert all(mention.persona and mention.persona.verified is not None for mention in weiyan)
    assert all(mention.persona and mention.persona.region for mention in mentions if mention.platform == "shequ")
    assert any(mention.parent_id for mention in mentions if mention.platform == "shequ")
    assert {mention.kind for mention in mentions} == {"post", "comment", "review", "article", "complaint"}
