"""The order that a parent gives to the crawling child process, as one JSON line."""

from __future__ import annotations

from pathlib import Path

from index.models import Frozen, Instant, Source
from settings import CrawlSettings


class Job(Frozen):
    run_id: str
    source: Source
    crawl: CrawlSettings
    spool_dir: Path
    now: Instant

    @property
    def stats_path(self) -> Path:
        return self.spool_dir / f"{self.run_id}.stats.json"
