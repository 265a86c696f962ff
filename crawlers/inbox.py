"""Sources of kind file: the inbox folder `<inbox>/<source id>/` to the spool, each file once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from crawlers.importing import FileRead, ImportFileError, read_file, write_report
from crawlers.outcome import CrawlStats, PageEnd
from crawlers.parsers.common import BadLine, read_options
from crawlers.parsers.file import FileOptions
from crawlers.spool import SpoolError, SpoolWriter
from index.models import Source

SETTLED_S = 2.0
"""A file that was written to more recently may still be growing: it waits for the next run."""
REMEMBERED_REASONS = 20


def read_inbox(source: Source, inbox_dir: Path | None, spool_dir: Path, run_id: str, now: datetime) -> CrawlStats:
    """Read the new files, then move them to `done/`, with a report of refused rows beside each.

    Raises OptionsError.
    """
    if inbox_dir is None:
        return CrawlStats(problem=f"来源 {source.id} 从收件目录读文件，但没有给出收件目录")
    options = read_options(FileOptions, source)
    folder = inbox_dir / source.id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = sorted(path for path in folder.iterdir() if _is_ready(path, now))
        n_bytes = sum(path.stat().st_size for path in paths)
        with SpoolWriter(spool_dir, run_id) as spool:
            read, failed = _spool_files(paths, spool, source, options, now)
        _put_away(read, folder / "done")
    except (OSError, SpoolError) as e:
        return CrawlStats(problem=f"收件目录 {folder} 或暂存目录不能读写：{e}")
    reasons = [f"{path.name} 行 {one.row} {one.column}：{one.reason}" for path, file in read for one in file.refused]
    return CrawlStats(
        finish_reason="finished",
        n_bytes=n_bytes,
        n_items=spool.n_items,
        n_bad=spool.n_bad,
        first=None if paths else PageEnd.NOT_MODIFIED,
        ends=_ends(len(read), len(failed), none=not paths),
        examples={PageEnd.FILE: failed[0]} if failed else {},
        bad_reasons=(*failed, *reasons)[:REMEMBERED_REASONS],
    )


def _is_ready(path: Path, now: datetime) -> bool:
    if (
        not path.is_file()
        or path.name.startswith((".", "~$"))
        or path.suffix.lower() in (".part", ".tmp", ".crdownload")
    ):
        return False
    return not 0 <= now.timestamp() - path.stat().st_mtime < SETTLED_S


def _spool_files(
    paths: Iterable[Path], spool: SpoolWriter, source: Source, options: FileOptions, now: datetime
) -> tuple[list[tuple[Path, FileRead]], list[str]]:
    """The files that were read, and what was wrong with those that could not be."""
    read: list[tuple[Path, FileRead]] = []
    failed: list[str] = []
    for path in paths:
        try:
            file = read_file(path, source_id=source.id, platform_default=source.platform, now=now, options=options)
            for mention in file.mentions:
                spool.write(mention)
        except ImportFileError as e:
            failed.append(str(e))
            continue
        for one in file.refused:
            spool.write_bad(BadLine(f"{path.name} 行 {one.row}", f"{one.column}：{one.reason}", {"value": one.value}))
        read.append((path, file))
    return read, failed


def _put_away(read: list[tuple[Path, FileRead]], done: Path) -> None:
    done.mkdir(exist_ok=True)
    for path, file in read:
        target, number = done / path.name, 1
        while target.exists():
            number += 1
            target = done / f"{path.stem}-{number}{path.suffix}"
        if file.refused:
            write_report(target.with_name(f"{target.name}.refused.csv"), file.refused)
        os.replace(path, target)


def _ends(n_read: int, n_failed: int, *, none: bool) -> dict[PageEnd, int]:
    ends = {PageEnd.PARSED: n_read, PageEnd.FILE: n_failed, PageEnd.NOT_MODIFIED: int(none)}
    return {end: count for end, count in ends.items() if count}
