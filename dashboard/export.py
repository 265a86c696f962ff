"""Mentions as CSV and XLSX that no spreadsheet program takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from dashboard import formats, labels
from index.models import Mention

COLUMNS = (
    "编号",
    "平台",
    "类型",
    "发言者",
    "粉丝数",
    "发布时间(北京)",
    "标题",
    "正文",
    "情感",
    "意图",
    "严重程度",
    "方面",
    "人工更正",
    "点赞",
    "评论",
    "转发",
    "转载",
    "来源",
    "原文链接",
)
AT_MOST = 20_000
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_CELL_LIMIT = 32_767


def safe(cell: object) -> str:
    """Text that a spreadsheet shows and does not run: an apostrophe goes before what begins like a formula."""
    text = "" if cell is None else str(cell)
    inner = text.lstrip(" \u3000\ufeff\u200b")
    return f"'{text}" if inner.startswith(_FORMULA_STARTS) or text.startswith(_FORMULA_STARTS) else text


def row(mention: Mention) -> list[object]:
    persona, engagement = mention.persona, mention.engagement
    aspects = "、".join(labels.aspect(each.name) + labels.POLARITY_SIGN[each.polarity] for each in mention.aspects)
    return [
        mention.id,
        labels.platform(mention.platform),
        labels.KIND[mention.kind],
        persona.name if persona else None,
        persona.followers if persona else None,
        formats.full(mention.published_at).removesuffix(" 北京时间"),
        mention.title,
        mention.text,
        labels.SENTIMENT[mention.sentiment] if mention.sentiment else None,
        labels.INTENT[mention.intent] if mention.intent else None,
        labels.SEVERITY[mention.severity] if mention.severity is not None else None,
        aspects,
        mention.review.reviewer if mention.review else None,
        engagement.likes,
        engagement.comments,
        engagement.reposts,
        "是" if mention.is_copy else "否",
        mention.source,
        mention.url,
    ]


def to_csv(mentions: Sequence[Mention]) -> bytes:
    """UTF-8 with a byte order mark, which Excel needs to read Chinese."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for mention in mentions:
        writer.writerow([cell if isinstance(cell, int) else safe(cell) for cell in row(mention)])
    return out.getvalue().encode("utf-8-sig")


def to_xlsx(mentions: Sequence[Mention]) -> bytes:
    import xlsxwriter

    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(out, options) as book:
        sheet = book.add_worksheet("提及")
        bold = book.add_format({"bold": True})
        for column, name in enumerate(COLUMNS):
            sheet.write_string(0, column, name, bold)
        for line, mention in enumerate(mentions, 1):
            for column, cell in enumerate(row(mention)):
                if isinstance(cell, int):
                    sheet.write_number(line, column, cell)
                elif cell is not None:
                    sheet.write_string(line, column, str(cell)[:_CELL_LIMIT])
        sheet.freeze_panes(1, 0)
        sheet.set_column(7, 7, 60)
    return out.getvalue()
