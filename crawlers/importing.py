"""Import of one file of mentions, for the command line and the inbox."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from datetime import datetime
from pathlib import Path

from crawlers.parsers.file import FileOptions, ImportFileError, Refused, open_rows, read_row
from index.models import Mention

__all__ = ["FileRead", "ImportFileError", "Refused", "read_file", "write_report"]


@dataclass
class FileRead:
    """A file being read: mentions come one by one; n_rows and refused grow as they are taken."""

    mentions: Iterator[Mention]
    refused: list[Refused] = field(default_factory=list)
    n_rows: int = 0


def read_file(
    path: Path,
    *,
    source_id: str,
    platform_default: str = "import",
    now: datetime,
    options: FileOptions | None = None,
) -> FileRead:
    """Raises ImportFileError at once for a file that cannot be read, and while reading for one that breaks midway."""
    options = options or FileOptions()
    rows = open_rows(path, columns=options.columns, sheet=options.sheet, encoding=options.encoding)
    reading = FileRead(mentions=iter(()))

    def mentions() -> Iterator[Mention]:
        for number, row in rows:
            reading.n_rows += 1
            result = read_row(
                number, row, source_id=source_id, platform_default=platform_default, options=options, now=now
            )
            if isinstance(result, Refused):
                reading.refused.append(result)
            else:
                yield result

    reading.mentions = mentions()
    return reading


def write_report(path: Path, refused: Iterable[Refused]) -> None:
    """Every refused row as CSV that spreadsheet programs open as UTF-8; no cell can become a formula."""
    with path.open("w", encoding="utf-8-sig", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["行", "列", "值", "原因"])
        for one in refused:
            writer.writerow([_harmless(str(cell)) for cell in astuple(one)])


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
