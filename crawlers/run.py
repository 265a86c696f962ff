"""The child process: reads jobs from standard input, one JSON line each, and crawls each source once.

Writes `<run_id>.jsonl`, `<run_id>.bad.jsonl` and, last, `<run_id>.stats.json` into the job's spool folder. A parent
gives one job (launch.py); several jobs must agree on PRIVATE_HOST, because the resolver is the process's.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.settings import Settings as ScrapySettings

from crawlers.job import Job
from crawlers.options import check
from crawlers.outcome import CrawlStats
from crawlers.parsers.common import OptionsError
from crawlers.spiders.appstore import AppStoreSpider
from crawlers.spiders.base import SourceSpider
from crawlers.spiders.feed import FeedSpider
from crawlers.spiders.json_api import JsonSpider
from crawlers.spiders.page import PageSpider
from crawlers.spool import SpoolWriter

SPIDERS: dict[str, type[SourceSpider]] = {
    "feed": FeedSpider,
    "page": PageSpider,
    "appstore": AppStoreSpider,
    "json": JsonSpider,
}


def scrapy_settings(job: Job) -> dict[str, Any]:
    """Scrapy's settings for one job; whatever is not named here is Scrapy's default. Raises OptionsError."""
    crawl = job.crawl
    options = check(job.source)
    delay_s = crawl.delay_s if options.delay_s is None else options.delay_s
    if not job.source.allow_private:
        delay_s = max(delay_s, crawl.delay_s)
    return {
        "PRIVATE_HOST": _host(job.source.url) if job.source.allow_private else "",
        "SOURCE_URL": job.source.url,
        "SECRET_HEADERS": options.headers_env,
        "USER_AGENT": crawl.user_agent,
        "DEFAULT_REQUEST_HEADERS": {"Accept": "*/*", "Accept-Language": "zh-CN,zh;q=0.9"},
        "ROBOTSTXT_OBEY": True,
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",  # newest first, as lists have them
        "CONCURRENT_REQUESTS": 4,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "DOWNLOAD_DELAY": delay_s,
        "DOWNLOAD_DELAY_JITTER": 0,  # never faster than delay_s
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": delay_s,
        "AUTOTHROTTLE_MAX_DELAY": 60,
        "DOWNLOAD_TIMEOUT": crawl.timeout_s,
        "DOWNLOAD_MAXSIZE": crawl.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DNS_TIMEOUT": min(20.0, crawl.timeout_s),
        "TWISTED_DNS_RESOLVER": "crawlers.politeness.GuardedResolver",
        "DOWNLOAD_HANDLERS": {"data": None, "file": None, "ftp": None, "s3": None},
        "DOWNLOADER_MIDDLEWARES": {
            # Before robots.txt is asked for (100), so that no host is touched before it is checked.
            "crawlers.politeness.AddressGuard": 20,
            "crawlers.politeness.RobotsByStatus": 30,
            "crawlers.politeness.OwnHostSecrets": 450,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            "crawlers.politeness.PatientRetry": 550,
        },
        "EXTENSIONS": {"crawlers.politeness.CrawlDelay": 10},
        "RETRY_TIMES": crawl.max_retries,
        "RETRY_GIVE_UP_LOG_LEVEL": "WARNING",
        "REDIRECT_MAX_TIMES": 5,
        "HTTPERROR_ALLOW_ALL": True,
        "CLOSESPIDER_TIMEOUT": crawl.run_timeout_s,
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # behind a proxy the address check would look at the proxy's address
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "LOGSTATS_INTERVAL": 0,
        "LOG_LEVEL": "WARNING",
        "STATS_DUMP": False,
    }


def crawl(jobs: list[Job]) -> None:
    """Crawl the sources of all jobs, side by side, and return when all have ended."""
    process: AsyncCrawlerProcess | None = None
    private_host: str | None = None
    runs: list[tuple[Job, Crawler, SpoolWriter]] = []
    for job in jobs:
        try:
            settings = scrapy_settings(job)
        except OptionsError as e:
            write_stats(job.stats_path, CrawlStats(problem=str(e)))
            continue
        if private_host not in (None, settings["PRIVATE_HOST"]):
            raise ValueError("jobs of one process must agree on their private host")
        private_host = settings["PRIVATE_HOST"]
        process = process or AsyncCrawlerProcess(settings)
        spool = SpoolWriter(job.spool_dir, job.run_id)
        # A higher priority than the process's own settings, which are merged into the crawler's.
        crawler = Crawler(SPIDERS[job.source.kind], ScrapySettings(settings, priority="cmdline"))
        process.crawl(crawler, job=job, spool=spool)
        runs.append((job, crawler, spool))
    if process is not None:
        process.start()
    for job, crawler, spool in runs:
        write_stats(job.stats_path, _finish(crawler, spool))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _finish(crawler: Crawler, spool: SpoolWriter) -> CrawlStats:
    spider = crawler.spider
    if not isinstance(spider, SourceSpider) or crawler.stats is None:
        spool.abandon()
        return CrawlStats(problem="采集没有能开始，原因见日志")
    spider.wind_up()
    spool.close()
    return spider.summary(crawler.stats.get_value("finish_reason") or "")


def write_stats(path: Path, stats: CrawlStats) -> None:
    """Atomic: readers see all or nothing."""
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("w", encoding="utf-8") as lines:
        lines.write(stats.model_dump_json())
        lines.flush()
        os.fsync(lines.fileno())
    part.replace(path)


def _end_with_parent(parent: int) -> None:
    """A crawl that nobody waits for must not go on beside the one that the next worker starts."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    jobs = [Job.model_validate_json(line) for line in sys.stdin if line.strip()]
    crawl(jobs)


if __name__ == "__main__":
    main()
