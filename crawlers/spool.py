"""The spool between crawling and ingest: atomic files of mention lines, kept until the store has confirmed them.

<spool>/.<run_id>.part        being written; removed or finished by whoever started the run
<spool>/<run_id>.jsonl        complete: one Mention a line
<spool>/<run_id>.bad.jsonl    what could not become a mention, with its reason; appears before the .jsonl
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from crawlers.parsers.common import BadLine
from index.models import Mention

MOST_BAD = 10_000
"""So many bad lines of one file are looked at."""


class SpoolError(Exception):
    """The spool folder cannot be written or read; the text says which file and why."""


@dataclass(frozen=True)
class SpoolFile:
    """A complete spool file and the bad lines beside it (which need not exist)."""

    run_id: str
    path: Path
    bad_path: Path


@dataclass(frozen=True)
class Batch:
    """Some lines of a spool file; bad are lines that are no mention (cut short, damaged)."""

    mentions: tuple[Mention, ...]
    bad: tuple[BadLine, ...]


class SpoolWriter:
    """Writes one run's lines; close() makes them visible all at once, leaving with an error drops them."""

    def __init__(self, spool_dir: Path, run_id: str) -> None:
        self.file = SpoolFile(run_id, spool_dir / f"{run_id}.jsonl", spool_dir / f"{run_id}.bad.jsonl")
        self._part = _part(spool_dir, run_id)
        self._bad_part = _part(spool_dir, f"{run_id}.bad")
        try:
            spool_dir.mkdir(parents=True, exist_ok=True)
            self._lines = self._part.open("w", encoding="utf-8")
            self._bad_lines = self._bad_part.open("w", encoding="utf-8")
        except OSError as e:
            raise SpoolError(f"不能写入暂存目录 {spool_dir}：{e.strerror}") from e
        self.n_items = 0
        self.n_bad = 0

    def write(self, mention: Mention) -> None:
        self._lines.write(mention.model_dump_json(exclude_defaults=True) + "\n")
        self.n_items += 1

    def write_bad(self, bad: BadLine) -> None:
        self._bad_lines.write(json.dumps(asdict(bad), ensure_ascii=False, default=str) + "\n")
        self.n_bad += 1

    def flush(self) -> None:
        self._lines.flush()
        self._bad_lines.flush()

    def close(self) -> None:
        for lines in (self._bad_lines, self._lines):
            lines.flush()
            os.fsync(lines.fileno())
            lines.close()
        _publish(self._part, self._bad_part, self.file)

    def abandon(self) -> None:
        """Drop what was written."""
        self._lines.close()
        self._bad_lines.close()
        discard(self.file.path.parent, self.file.run_id)

    def __enter__(self) -> SpoolWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


def _part(spool_dir: Path, name: str) -> Path:
    return spool_dir / f".{name}.part"


def _publish(part: Path, bad_part: Path, file: SpoolFile) -> None:
    """Empty files leave no trace; the bad lines come first, so that they are there once the run is seen."""
    for source, target in ((bad_part, file.bad_path), (part, file.path)):
        if source.exists():
            if source.stat().st_size:
                source.replace(target)
            else:
                source.unlink()
    folder = os.open(file.path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def salvage(spool_dir: Path, run_id: str) -> tuple[int, int]:
    """Publish what a killed run had written, without its half-written last line. Returns (n_items, n_bad)."""
    file = SpoolFile(run_id, spool_dir / f"{run_id}.jsonl", spool_dir / f"{run_id}.bad.jsonl")
    part, bad_part = _part(spool_dir, run_id), _part(spool_dir, f"{run_id}.bad")
    counts = []
    for path in (part, bad_part):
        if not path.exists():
            counts.append(0)
            continue
        with path.open("r+b") as lines:
            whole = lines.read()
            keep = whole.rfind(b"\n") + 1
            lines.truncate(keep)
            os.fsync(lines.fileno())
        counts.append(whole[:keep].count(b"\n"))
    if spool_dir.is_dir():
        _publish(part, bad_part, file)
    return counts[0], counts[1]


def discard(spool_dir: Path, run_id: str) -> None:
    """Remove the unfinished files of a run."""
    for path in (_part(spool_dir, run_id), _part(spool_dir, f"{run_id}.bad")):
        path.unlink(missing_ok=True)


def pending(spool_dir: Path) -> list[SpoolFile]:
    """Complete files, oldest first."""
    if not spool_dir.is_dir():
        return []
    paths = [path for path in spool_dir.glob("*.jsonl") if not path.name.endswith(".bad.jsonl") and path.name[0] != "."]
    aged = []
    for path in paths:
        with suppress(FileNotFoundError):  # another worker has just ingested it
            aged.append((path.stat().st_mtime_ns, path.name, path))
    return [SpoolFile(p.stem, p, p.with_suffix(".bad.jsonl")) for _, _, p in sorted(aged)]


def read(file: SpoolFile, batch: int) -> Iterator[Batch]:
    """The lines of a file in batches of at most that many. Raises SpoolError if it cannot be read."""
    mentions: list[Mention] = []
    bad: list[BadLine] = []
    try:
        with file.path.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                line = _line(raw, f"{file.path.name} 行 {number}")
                if isinstance(line, Mention):
                    mentions.append(line)
                else:
                    bad.append(line)
                if len(mentions) + len(bad) >= batch:
                    yield Batch(tuple(mentions), tuple(bad))
                    mentions, bad = [], []
    except OSError as e:
        raise SpoolError(f"不能读取暂存文件 {file.path}：{e.strerror}") from e
    if mentions or bad:
        yield Batch(tuple(mentions), tuple(bad))


def _line(raw: bytes, where: str) -> Mention | BadLine:
    shown = {"text": raw[:200].decode("utf-8", "replace")}
    if not raw.endswith(b"\n"):
        return BadLine(where, "这一行没有写完", shown)
    try:
        return Mention.model_validate_json(raw)
    except ValidationError as e:
        first = e.errors()[0]
        return BadLine(where, f"不是提及：{'.'.join(map(str, first['loc']))} {first['msg']}".strip(), shown)


def keep_bad(file: SpoolFile, bad: Sequence[BadLine]) -> None:
    """Keep lines that read() could not take beside the file, with the reason; once each."""
    if not bad:
        return
    known = {one.where for one in read_bad(file, limit=MOST_BAD)}
    with file.bad_path.open("a", encoding="utf-8") as lines:
        for one in bad:
            if one.where not in known:
                lines.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")


def read_bad(file: SpoolFile, limit: int = 100) -> list[BadLine]:
    """The first bad lines beside a file."""
    found: list[BadLine] = []
    try:
        with file.bad_path.open(encoding="utf-8", errors="replace") as lines:
            for raw in lines:
                with suppress(ValueError, TypeError):
                    found.append(BadLine(**json.loads(raw)))
                if len(found) >= limit:
                    break
    except FileNotFoundError:
        return []
    return found


def done(file: SpoolFile) -> None:
    """Remove a file whose mentions the store has confirmed; its bad lines stay until sweep()."""
    file.path.unlink(missing_ok=True)


def sweep(spool_dir: Path, *, before: datetime) -> int:
    """Remove bad lines, stats and unfinished files last written before then; mentions stay. Returns how many."""
    if not spool_dir.is_dir():
        return 0
    n_removed = 0
    for path in spool_dir.iterdir():
        if not path.name.endswith((".bad.jsonl", ".stats.json", ".part", ".log")):
            continue
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                n_removed += 1
    return n_removed
