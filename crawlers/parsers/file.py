"""A CSV, XLSX or JSON-lines file -> mentions and refused rows, one row at a time.

The source's url stays empty: files are taken from the inbox folder `<inbox>/<source id>/`.
Columns (or keys) have Mention's field names; text and published_at are needed, the rest is optional:
    id, platform, kind, url, title, text, published_at, author, author_id, followers, verified, region,
    likes, comments, reposts, views, rating (1-5), parent_id      (and persona, engagement as objects in JSON lines)
Common Chinese headings (正文, 内容, 标题, 发布时间, 作者, 链接, 平台, 点赞, 评论, 转发, 阅读 ...) are understood.

Options beside the common ones (parsers/common.py):
    columns       a table: field name -> heading in the file, e.g. {text = "帖子内容"}
    sheet         name of the XLSX sheet (default: the first)
"""

from __future__ import annotations

import codecs
import csv
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from pydantic import Field
from python_calamine import CalamineError, CalamineWorkbook

from crawlers.fields import digest, native_id, parse_count, parse_rating, parse_time, plausible, url_key
from crawlers.parsers.common import ITEM_FIELDS, CommonOptions
from crawlers.texts import sound
from index.models import Engagement, Mention, MentionKind, Persona

FIELDS = ("platform", *ITEM_FIELDS)
_ALIASES = {
    "text": "正文 内容 文本 全文 评论内容 帖子内容 content",
    "title": "标题 题目",
    "published_at": "发布时间 发表时间 时间 日期 评论时间 published date time",
    "author": "作者 昵称 用户名 用户 发布者 发言者",
    "author_id": "作者id 用户id uid",
    "url": "链接 网址 地址 link",
    "platform": "平台 渠道 网站",
    "id": "编号 帖子id 评论id",
    "kind": "类型 类别",
    "region": "地区 ip属地 属地",
    "followers": "粉丝数 粉丝",
    "verified": "认证",
    "likes": "点赞数 点赞 赞",
    "comments": "评论数 评论 回复数",
    "reposts": "转发数 转发 分享数",
    "rating": "评分 星级 stars star",
    "views": "阅读数 阅读 浏览数 播放数 阅读量",
}
_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()} | {
    name: name for name in FIELDS
}
_KINDS = {"帖子": "post", "微博": "post", "评论": "comment", "回复": "comment", "评价": "review", "文章": "article",
          "新闻": "article", "提问": "question", "问题": "question", "投诉": "complaint"}  # fmt: skip
_BLANK = {"", "-", "--", "—", "null", "none", "nan", "n/a", "无"}
_TRUE, _FALSE = {"true", "1", "是", "yes", "已认证"}, {"false", "0", "否", "no", "未认证"}
_UNPACKED_AT_MOST = 2 * 1024**3


class ImportFileError(Exception):
    """A file that cannot be imported at all; the text (Chinese) says where, why and what to do."""


class FileOptions(CommonOptions):
    columns: dict[str, str] = Field(default_factory=dict)
    sheet: str = ""


@dataclass(frozen=True)
class Refused:
    """One row that is not imported: its number as a spreadsheet shows it (a line of JSON: from 1)."""

    row: int
    column: str
    value: str
    reason: str


Row = tuple[int, Mapping[str, Any]]


def open_rows(path: Path, *, columns: Mapping[str, str], sheet: str = "", encoding: str = "") -> Iterator[Row]:
    """The rows of a file, keyed by field name, read as they are asked for. Raises ImportFileError, also midway."""
    if path.is_dir():
        raise ImportFileError(f"{path} 是文件夹，请给出其中的一个文件")
    if not path.is_file():
        raise ImportFileError(f"找不到文件 {path}")
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return _json_rows(path, encoding or _encoding(path))
    if suffix in (".csv", ".tsv", ".txt"):
        table = _csv_table(path, encoding or _encoding(path))
    elif suffix in (".xlsx", ".xlsm", ".xls", ".ods"):
        table = _sheet_table(path, sheet)
    else:
        raise ImportFileError(f"不认识的文件类型 {path.name}，可用 .csv、.xlsx、.jsonl")
    header = next(table, None)
    if header is None:
        raise ImportFileError(f"{path.name} 是空的")
    names = _header([str(cell).strip() for cell in header], columns, path)
    return _named_rows(table, names)


def _header(cells: list[str], columns: Mapping[str, str], path: Path) -> list[str | None]:
    chosen = {heading: name for name, heading in columns.items()}
    missing_columns = [heading for heading in chosen if heading not in cells]
    if missing_columns:
        raise ImportFileError(
            f"{path.name} 没有选项 columns 指定的列 {'、'.join(missing_columns)}；文件的列是：{'、'.join(cells)}"
        )
    names: list[str | None] = []
    for cell in cells:
        name = chosen.get(cell) or (
            None if columns and _NAMES.get(cell.lower()) in columns else _NAMES.get(cell.lower())
        )
        names.append(name if name not in names else None)
    missing = [name for name in ("text", "published_at") if name not in names]
    if missing:
        shown = "、".join(cell for cell in cells[:20] if cell) or "（无）"
        raise ImportFileError(f"{path.name} 第 1 行缺少必需的列 {'、'.join(missing)}；文件的列是：{shown}")
    return names


def _named_rows(table: Iterator[list[Any]], names: list[str | None]) -> Iterator[Row]:
    for number, cells in enumerate(table, start=2):
        row = {name: cell for name, cell in zip(names, cells, strict=False) if name}
        if any(str(cell).strip() for cell in cells if cell is not None):
            yield number, row


def _encoding(path: Path) -> str:
    """utf-8-sig, utf-16 or gb18030, whichever the whole file is in. Raises ImportFileError."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as e:
        raise ImportFileError(f"不能读取 {path}：{e.strerror}") from e
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            with path.open(encoding=encoding) as file:
                while file.read(1 << 20):
                    pass
        except UnicodeDecodeError:
            continue
        return encoding
    raise ImportFileError(f"{path.name} 既不是 UTF-8 也不是 GB18030 编码，请另存为 UTF-8 后再导入")


def _csv_table(path: Path, encoding: str) -> Iterator[list[Any]]:
    csv.field_size_limit(16 * 1024 * 1024)
    try:
        with path.open(encoding=encoding, newline="") as file:
            head = file.readline()
            file.seek(0)
            delimiter = max(",\t;|", key=head.count)
            yield from csv.reader(file, delimiter=delimiter)
    except (csv.Error, UnicodeError) as e:
        raise ImportFileError(f"{path.name} 不是完好的 CSV：{e}") from e
    except OSError as e:
        raise ImportFileError(f"不能读取 {path}：{e.strerror}") from e


def _sheet_table(path: Path, sheet: str) -> Iterator[list[Any]]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                if sum(part.file_size for part in packed.infolist()) > _UNPACKED_AT_MOST:
                    raise ImportFileError(f"{path.name} 解压后太大，请拆分后导入")
        book = CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
        if sheet and sheet not in names:
            raise ImportFileError(f"{path.name} 没有工作表 {sheet}；有：{'、'.join(names)}")
        if not names:
            return
        # Row numbers must be those that people see, so leading blank rows stay.
        yield from book.get_sheet_by_name(sheet or names[0]).to_python(skip_empty_area=False)
    except (CalamineError, OSError, zipfile.BadZipFile) as e:
        raise ImportFileError(f"{path.name} 不是完好的表格文件：{e}") from e


def _json_rows(path: Path, encoding: str) -> Iterator[Row]:
    try:
        with path.open(encoding=encoding) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                yield number, _flat(row) if isinstance(row, dict) else {"": line.strip()}
    except UnicodeError as e:
        raise ImportFileError(f"{path.name} 不是完好的 {encoding} 文本：{e}") from e
    except OSError as e:
        raise ImportFileError(f"不能读取 {path}：{e.strerror}") from e


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """persona and engagement as Mention has them, beside flat keys."""
    flat = {_NAMES[key.lower()]: value for key, value in row.items() if key.lower() in _NAMES}
    persona, engagement = row.get("persona"), row.get("engagement")
    if isinstance(persona, dict):
        flat |= {"author": persona.get("name"), "author_id": persona.get("id")}
        flat |= {name: persona.get(name) for name in ("followers", "verified", "region")}
    if isinstance(engagement, dict):
        flat |= {name: engagement.get(name) for name in ("likes", "comments", "reposts", "views")}
    return {name: sound(value) if isinstance(value, str) else value for name, value in flat.items()}


def read_row(
    number: int, row: Mapping[str, Any], *, source_id: str, platform_default: str, options: FileOptions, now: datetime
) -> Mention | Refused:
    """The mention of one row, or which cell is wrong and why."""
    if "" in row:
        return Refused(number, "", str(row[""])[:100], "这一行不是 JSON 对象")
    cells = {name: "" if value is None else value for name, value in row.items()}
    words = {name: str(value).strip() for name, value in cells.items() if str(value).strip().lower() not in _BLANK}

    def refused(column: str, reason: str) -> Refused:
        return Refused(number, column, str(cells.get(column, ""))[:100], reason)

    text = str(cells.get("text", "")).strip() or words.get("title", "")
    if not text:
        return refused("text", "没有正文")
    published_at = parse_time(cells.get("published_at"), now=now)
    if published_at is None and options.undated == "collected" and "published_at" not in words:
        published_at = now
    if published_at is None:
        return refused(
            "published_at", "看不懂的时间，请写成 2026-11-16 08:30" if "published_at" in words else "没有发布时间"
        )
    if not plausible(published_at, now):
        return refused("published_at", "时间不可信：早于 1995 年或晚于现在一天以上")
    kind = _KINDS.get(words.get("kind", ""), words.get("kind", "").lower() or options.kind)
    if kind not in get_args(MentionKind):
        return refused("kind", f"不认识的类型，可用 {'、'.join(get_args(MentionKind))}")
    counts: dict[str, int | None] = {}
    for name in ("likes", "comments", "reposts", "views", "followers"):
        counts[name] = parse_count(words[name]) if name in words else None
        if name in words and counts[name] is None:
            return refused(name, "不是数")
    rating = parse_rating(words.get("rating"))
    if "rating" in words and rating is None:
        return refused("rating", "评分应是 1 到 5")
    verified = words.get("verified", "").lower()
    if verified and verified not in _TRUE | _FALSE:
        return refused("verified", "请写 是 或 否")

    said = words.get("id", "")
    prefix, colon, rest = said.partition(":")
    platform = words.get("platform") or (prefix if colon and rest else platform_default)
    url, author = words.get("url", ""), words.get("author", "")
    own = native_id(said) or digest(url_key(url) if url else f"|{text}|{published_at.isoformat()}|{author}")
    return Mention(
        # An id that is whole already (platform:native_id, as search --json prints it) stays as it is.
        id=said if colon and rest else f"{platform}:{own}",
        platform=platform,
        kind=kind,
        url=url,
        title=words.get("title", "") if words.get("title") != text else "",
        text=text,
        persona=_persona(words, platform, counts.pop("followers"), verified in _TRUE if verified else None),
        published_at=published_at,
        collected_at=now,
        engagement=Engagement(**counts),
        rating=rating,
        parent_id=_with_platform(words.get("parent_id", ""), platform),
        source=source_id,
    )


def _persona(words: dict[str, str], platform: str, followers: int | None, verified: bool | None) -> Persona | None:
    name, account = words.get("author", ""), words.get("author_id", "")
    if not name and not account:
        return None
    key = account.removeprefix(f"{platform}:") or name
    return Persona(
        id=f"{platform}:{key}", name=name or key, followers=followers, verified=verified, region=words.get("region")
    )


def _with_platform(said: str, platform: str) -> str | None:
    if not said:
        return None
    return said if ":" in said and not said.startswith("http") else f"{platform}:{native_id(said)}"
