"""Spider for JSON APIs: one request, then on by page number, cursor or the answer's own link."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import scrapy
from scrapy.http import Response

from crawlers.parsers import json_api
from crawlers.parsers.common import Parsed
from crawlers.spiders.base import SourceSpider, charset


class JsonSpider(SourceSpider):
    options_model = json_api.JsonOptions
    options: json_api.JsonOptions

    async def start(self) -> AsyncIterator[scrapy.Request]:
        cursor = self.source.state.get("cursor") if self.options.keep_cursor else None
        if cursor:
            self.state["cursor"] = cursor
        url, body = json_api.page_url(self.source.url, self.options, cursor=cursor)
        request = self.request(url, first=True, body=body)
        if request is not None:
            yield request

    def start_url(self) -> str:
        return json_api.page_url(self.source.url, self.options)[0]

    def read(self, response: Response) -> Parsed:
        return json_api.parse(response.body, response.url, source=self.source, now=self.now, charset=charset(response))

    def follow(self, response: Response, parsed: Parsed) -> Iterator[scrapy.Request | None]:
        if parsed.problem:
            return
        if parsed.cursor:
            if self.options.keep_cursor:
                self.state["cursor"] = parsed.cursor
            url, body = json_api.page_url(self.source.url, self.options, cursor=parsed.cursor)
            yield self.request(url, body=body)
        elif parsed.next_url:
            yield self.request(response.urljoin(parsed.next_url))
        elif self.options.page_param and parsed.n_items and parsed.more:
            number = response.meta["note"].get("page", 0) + 1
            url, body = json_api.page_url(self.source.url, self.options, page=number)
            yield self.request(url, body=body, page=number)
