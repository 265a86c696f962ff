"""Spider for HTML: list pages first, then the article or thread pages they link to, and further pages of threads."""

from __future__ import annotations

from collections.abc import Iterator

import scrapy
from scrapy.http import Response

from crawlers.parsers import page
from crawlers.parsers.common import Parsed
from crawlers.spiders.base import SourceSpider, charset


class PageSpider(SourceSpider):
    options_model = page.PageOptions
    options: page.PageOptions

    def read(self, response: Response) -> Parsed:
        if self._is_list(response):
            return page.parse_list(response.body, response.url, source=self.source, charset=charset(response))
        return page.parse(response.body, response.url, source=self.source, now=self.now, charset=charset(response))

    def _is_list(self, response: Response) -> bool:
        return bool(self.options.links) and not response.meta["note"].get("leaf")

    def follow(self, response: Response, parsed: Parsed) -> Iterator[scrapy.Request | None]:
        for link in parsed.links:
            yield self.request(link, leaf=True, priority=1)
        if parsed.next_url:
            yield self.request(parsed.next_url, leaf=not self._is_list(response))
