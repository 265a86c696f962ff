"""Which options a source of each kind understands; for doctor and forms, without loading Scrapy."""

from __future__ import annotations

import os
import re

from crawlers.parsers.appstore import AppStoreOptions, spellings
from crawlers.parsers.common import CommonOptions, OptionsError, read_options
from crawlers.parsers.feed import FeedOptions
from crawlers.parsers.file import FileOptions
from crawlers.parsers.json_api import JsonOptions
from crawlers.parsers.page import PageOptions
from settings import SourceSettings

OPTIONS: dict[str, type[CommonOptions]] = {
    "feed": FeedOptions,
    "page": PageOptions,
    "appstore": AppStoreOptions,
    "json": JsonOptions,
    "file": FileOptions,
}


def check(source: SourceSettings) -> CommonOptions:
    """The options of a source, with the environment variables that they name. Raises OptionsError."""
    options = read_options(OPTIONS[source.kind], source)
    if source.kind != "file" and not re.match(r"https?://[^/\s]", source.url):
        raise OptionsError(f"来源 {source.id} 的网址 {source.url} 应以 http:// 或 https:// 开头")
    missing = sorted(name for name in options.headers_env.values() if not os.environ.get(name))
    if missing:
        raise OptionsError(f"来源 {source.id} 要用环境变量 {'、'.join(missing)}，但没有设置")
    if source.kind == "appstore":
        spellings(source.url, 1)
    return options


def problem(source: SourceSettings) -> str | None:
    """What is wrong with a source's options, in one Chinese sentence; None if nothing is."""
    try:
        check(source)
    except OptionsError as e:
        return str(e)
    return None
