"""What the command line says: tables or JSON, progress, logs, and errors as one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import structlog
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typer._click import exceptions as usage  # typer ships its own click and names these nowhere else

from index.models import Frozen, Mention, Record

Json = Annotated[bool, typer.Option("--json", help="输出一个 JSON 文档")]
BEIJING = ZoneInfo("Asia/Shanghai")
LONGEST_CELL = 300
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, soft_wrap=True)


class UsageError(Exception):
    """What was asked cannot be done; the text says why and what to do."""


def now() -> datetime:
    return datetime.now(UTC)


def say(document: Any, rows: Sequence[dict[str, Any]], *, as_json: bool, title: str = "") -> None:
    """One JSON document, or a table of the rows."""
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str, indent=None) + "\n")
        return
    if title:
        out.print(title, markup=False, highlight=False)
    if not rows:
        return
    table = Table(show_edge=False, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_plain(value) for value in row.values()))
    out.print(table)


def _plain(value: Any) -> Any:
    """Cell text that no console markup can hide in; a very long one is cut (--json gives it whole)."""
    if isinstance(value, datetime):
        value = value.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")
    text = "" if value is None else str(value)
    return Text(text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…")


def dump(record: Record | Frozen) -> dict[str, Any]:
    return record.model_dump(mode="json")


def mention_document(mention: Mention) -> dict[str, Any]:
    """A mention with the labels that count: a person's word before the model's."""
    return {
        **dump(mention),
        "sentiment": mention.sentiment,
        "intent": mention.intent,
        "severity": mention.severity,
    }


def instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"时间 {text!r} 看不懂, 请写成 2026-11-01 或 2026-11-01T08:00") from error
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)).astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"时间 {text!r} 超出范围") from error


@contextmanager
def progress(label: str, total: int | None, *, as_json: bool) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere; gives advance(n)."""
    columns = (*Progress.get_default_columns()[:2], TextColumn("{task.completed:,}"), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=as_json or not err.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda n: bar.advance(task, n)


def configure_logs() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(bool_as_flag=False)
            if not sys.stderr.isatty()
            else structlog.dev.ConsoleRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


_IN_CHINESE = (
    ("Value error, ", ""),
    (" is not one of ", " 不对, 可用的有 "),
    ("Input should be greater than or equal to", "应不小于"),
    ("Input should be less than or equal to", "应不大于"),
    ("Input should be a valid integer, unable to parse string as an integer", "应为整数"),
    ("No such command", "没有命令"),
    ("No such option:", "没有选项"),
    ("Got unexpected extra argument(s)", "多余的参数"),
)
"""What typer says of a wrong command line, and how we say it."""


def usage_line(error: usage.ClickException) -> str:
    """One line in place of typer's English box."""
    param = getattr(error, "param", None)
    place = param.opts[-1] if param else getattr(error, "option_name", "")
    if isinstance(error, usage.MissingParameter):
        said = f"缺少 {place}"
    elif isinstance(error, usage.BadOptionUsage):
        said = f"选项 {place} 后面缺少值"
    else:
        said = error.message
        for english, chinese in _IN_CHINESE:
            said = said.replace(english, chinese)
        said = f"{place}: {said}" if param else said
    return f"{said.rstrip('.')}。用 --help 看写法"


def drop_output() -> None:
    """Nobody takes it any more, so Python must not try once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(line: str) -> None:
    err.print(f"错误: {line}", style="red", markup=False, highlight=False)
