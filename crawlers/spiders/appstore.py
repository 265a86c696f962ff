"""Spider for App Store reviews: pages 1 to 10 until one is empty; other spellings of the URL if the first page is."""

from __future__ import annotations

from collections.abc import Iterator

import scrapy
from scrapy.http import Response

from crawlers.parsers import appstore
from crawlers.parsers.common import Parsed
from crawlers.spiders.base import SourceSpider, charset


class AppStoreSpider(SourceSpider):
    options_model = appstore.AppStoreOptions
    options: appstore.AppStoreOptions

    def start_url(self) -> str:
        return appstore.spellings(self.source.url, 1)[0]

    def read(self, response: Response) -> Parsed:
        return appstore.parse(response.body, response.url, source=self.source, now=self.now, charset=charset(response))

    def follow(self, response: Response, parsed: Parsed) -> Iterator[scrapy.Request | None]:
        number = response.meta["note"].get("page", 1)
        spelling = response.meta["note"].get("spelling", 0)
        if parsed.n_items and number < appstore.LAST_PAGE:
            url = appstore.spellings(self.source.url, number + 1)[spelling]
            yield self.request(url, page=number + 1, spelling=spelling)
        elif number == 1 and not parsed.n_items and not parsed.problem:
            others = appstore.spellings(self.source.url, 1)
            if spelling + 1 < len(others):
                yield self.request(others[spelling + 1], page=1, spelling=spelling + 1)
