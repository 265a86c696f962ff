"""Spider for feeds: one page, and the pages of its entries where the source's options ask for them (follow)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import scrapy
from scrapy.http import Response

from crawlers.parsers import feed, page
from crawlers.parsers.common import Parsed
from crawlers.spiders.base import SourceSpider, charset
from index.models import Mention


class FeedSpider(SourceSpider):
    options_model = feed.FeedOptions
    options: feed.FeedOptions

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[str, Mention] = {}
        """Mentions with a short text, by the URL of the page that may have the whole of it."""

    def read(self, response: Response) -> Parsed:
        if response.meta["first"]:
            return self._read_feed(response)
        mention = self.waiting.pop(response.meta["note"]["url"])
        text = page.article(response.body, charset=charset(response), encoding=self.options.encoding)
        if len(text) > len(mention.text):
            mention = mention.model_copy(update={"text": text})
        return Parsed(mentions=(mention,))

    def _read_feed(self, response: Response) -> Parsed:
        parsed = feed.parse(response.body, response.url, source=self.source, now=self.now, charset=charset(response))
        if not self.options.follow:
            return parsed
        short = [one for one in parsed.mentions if one.url and len(one.text) < self.options.follow_below]
        self.waiting = {one.url: one for one in short}
        rest = tuple(one for one in parsed.mentions if self.waiting.get(one.url) is not one)
        return replace(parsed, mentions=rest, links=tuple(self.waiting))

    def follow(self, response: Response, parsed: Parsed) -> Iterator[scrapy.Request | None]:
        if response.meta["first"]:
            for url in parsed.links:
                yield self.request(url, url=url)

    def wind_up(self) -> None:
        """Mentions whose page could not be read keep the feed's own text."""
        self.keep(Parsed(mentions=tuple(self.waiting.values())))
