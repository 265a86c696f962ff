"""Files of mentions: CSV, XLSX, JSON lines; every wrong cell is named, everything else goes in."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from crawlers.importing import FileRead, ImportFileError, Refused, read_file, write_report
from crawlers.launch import launch
from crawlers.parsers.file import FileOptions
from crawlers.spool import pending, read
from index.models import Mention, Outcome, Run
from settings import CrawlSettings
from tests.crawlers.conftest import NOW, a_source

HEADER = "text,published_at,platform,id,author,likes\n"


def taken(path: Path, **options: Any) -> tuple[list[Mention], FileRead]:
    file = read_file(path, source_id="import", now=NOW, options=FileOptions(**options) if options else None)
    return list(file.mentions), file


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_csv_in_any_usual_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.csv", HEADER + "山岚好喝𠮷,2026-11-16 08:30,weiyan,17,甲,1.5万\n", encoding)
    (mention,), file = taken(path)
    assert (mention.id, mention.text, mention.engagement.likes) == ("weiyan:17", "山岚好喝𠮷", 15_000)
    assert mention.persona is not None
    assert mention.persona.id == "weiyan:甲"
    assert (file.n_rows, file.refused) == (1, [])


def test_chinese_headings_tabs_and_quoted_line_breaks_are_understood(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '正文\t发布时间\t作者\t无关列\n"两行\n正文"\t昨天 12:30\t甲\tx\n')
    (mention,), _ = taken(path)
    assert mention.text == "两行\n正文"
    assert mention.published_at.isoformat() == "2026-11-25T04:30:00+00:00"


def test_columns_can_be_named_in_the_options(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "帖子全文,何时,内容\n对的,2026-11-16,错的\n")
    (mention,), _ = taken(path, columns={"text": "帖子全文", "published_at": "何时"})
    assert mention.text == "对的"


def test_three_wrong_cells_in_ten_thousand_rows_are_named_and_the_rest_goes_in(tmp_path: Path) -> None:
    rows = [f"第{number}条,2026-11-16 08:30,weiyan,{number},甲,{number}" for number in range(10_000)]
    rows[41] = "坏日期,某天,weiyan,41,甲,1"
    rows[4_000] = ",2026-11-16,weiyan,4000,甲,1"
    rows[9_999] = "坏数字,2026-11-16,weiyan,9999,甲,很多"
    mentions, file = taken(write(tmp_path / "a.csv", HEADER + "\n".join(rows)))
    assert (len(mentions), file.n_rows) == (9_997, 10_000)
    assert [(one.row, one.column, one.value) for one in file.refused] == [
        (43, "published_at", "某天"),
        (4_002, "text", ""),
        (10_001, "likes", "很多"),
    ]


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"published_at": "2099-01-01"}, "published_at"),
        ({"published_at": "1970-01-01"}, "published_at"),
        ({"published_at": ""}, "published_at"),
        ({"kind": "视频"}, "kind"),
        ({"verified": "也许"}, "verified"),
        ({"rating": "6"}, "rating"),
        ({"followers": "-1"}, "followers"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_column(tmp_path: Path, cells: dict[str, str], column: str) -> None:
    row = {"text": "好喝", "published_at": "2026-11-16 08:30"} | cells
    mentions, file = taken(write(tmp_path / "a.jsonl", json.dumps(row)))
    assert (mentions, [one.column for one in file.refused]) == ([], [column])


def test_json_lines_take_mentions_as_they_are_exported(tmp_path: Path) -> None:
    original = Mention.model_validate(
        {
            "id": "weiyan:9",
            "platform": "weiyan",
            "kind": "review",
            "url": "https://weiyan.example/9?spm=1",
            "title": "题",
            "text": "=CMD() <b>好喝</b>",
            "persona": {"id": "weiyan:5", "name": "甲", "followers": 3, "verified": True, "region": "上海"},
            "published_at": "2026-11-16T08:30:00+08:00",
            "collected_at": NOW,
            "engagement": {"likes": 1, "views": 2},
            "rating": 4,
            "parent_id": "weiyan:8",
            "source": "import",
        }
    )
    (mention,), _ = taken(write(tmp_path / "a.jsonl", original.model_dump_json()))
    assert mention == original


def test_lines_that_are_no_objects_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    good = json.dumps({"text": "好喝", "published_at": "2026-11-16"})
    mentions, file = taken(write(tmp_path / "a.jsonl", f"{good}\nnot json\n\n[1]\n{good[:-5]}\n"))
    assert len(mentions) == 1
    assert [one.row for one in file.refused] == [2, 4, 5]


def test_a_spreadsheet_keeps_its_dates_and_row_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("提及")
        stamp = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, ["正文", "发布时间", "点赞"])
        sheet.write(1, 0, "带时刻")
        sheet.write_datetime(1, 1, datetime(2026, 11, 16, 8, 30), stamp)
        sheet.write(1, 2, 12)
        sheet.write(3, 0, "只有日期")
        sheet.write_datetime(3, 1, date(2026, 11, 15), day)
        sheet.write(4, 0, "没有日期")
    mentions, file = taken(path)
    assert [mention.published_at.isoformat() for mention in mentions] == [
        "2026-11-16T00:30:00+00:00",
        "2026-11-14T16:00:00+00:00",
    ]
    assert mentions[0].engagement.likes == 12
    assert [(one.row, one.column) for one in file.refused] == [(5, "published_at")]


def test_the_same_file_gives_the_same_ids(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "text,published_at,url\n甲,2026-11-16,\n乙,2026-11-16,https://a.example/?id=2&utm_source=x\n",
    )
    assert [mention.id for mention in taken(path)[0]] == [mention.id for mention in taken(path)[0]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pdf", b"%PDF", "不认识的文件类型"),
        ("a.csv", b"", "是空的"),
        ("a.csv", b"a,b\n1,2\n", "text、published_at"),
        ("a.csv", b"text\nx\n", "published_at"),
        ("a.csv", b"text,published_at\n\xff\xff\x80\xfe\n", "UTF-8"),
        ("a.xlsx", b"PK\x03\x04broken", "表格"),
        ("a.xlsx", b"not a zip", "表格"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImportFileError, match=said):
        taken(tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="文件夹"):
        read_file(tmp_path, source_id="s", now=NOW)


def test_a_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="找不到文件"):
        read_file(tmp_path / "no.csv", source_id="import", now=NOW)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.xlsx", "a.jsonl"]))
def test_garbage_is_an_import_error_or_refused_rows(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("g") / name
    path.write_bytes(content)
    try:
        mentions, _ = taken(path)
    except ImportFileError:
        return
    assert mentions == []


def test_the_report_of_refused_rows_opens_in_a_spreadsheet_and_runs_nothing(tmp_path: Path) -> None:
    write_report(tmp_path / "r.csv", [Refused(2, "published_at", "=CMD()", "看不懂的时间")])
    assert (tmp_path / "r.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with (tmp_path / "r.csv").open(encoding="utf-8-sig", newline="") as lines:
        assert list(csv.reader(lines)) == [["行", "列", "值", "原因"], ["2", "published_at", "'=CMD()", "看不懂的时间"]]


# ------------------------------------------------------------------------------------------------- inbox


def take_inbox(tmp_path: Path, run_id: str = "r1") -> Run:
    source = a_source("file", platform="vendor")
    run, state = launch(
        source,
        run_id=run_id,
        crawl=CrawlSettings(),
        spool_dir=tmp_path / "spool",
        inbox_dir=tmp_path / "inbox",
        clock=lambda: NOW,
    )
    assert state == {}
    return run


def drop(tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "inbox" / "lab"
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / name, content)


def test_files_in_the_inbox_are_spooled_once_and_put_away(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", "text,published_at\n好喝,2026-11-16\n坏日期,某天\n" + "还行,2026-11-16\n" * 9)
    run = take_inbox(tmp_path)
    assert (run.outcome, run.n_items, run.n_bad) == (Outcome.OK, 10, 1)
    (file,) = pending(tmp_path / "spool")
    (batch,) = read(file, 100)
    assert batch.mentions[0].platform == "vendor"
    done = tmp_path / "inbox" / "lab" / "done"
    assert sorted(path.name for path in done.iterdir()) == ["a.csv", "a.csv.refused.csv"]

    again = take_inbox(tmp_path, "r2")
    assert (again.outcome, again.n_items) == (Outcome.EMPTY, 0)


def test_a_file_of_a_name_seen_before_does_not_overwrite_the_old_one(tmp_path: Path) -> None:
    for run_id in ("r1", "r2"):
        drop(tmp_path, "a.csv", "text,published_at\n好喝,2026-11-16\n")
        take_inbox(tmp_path, run_id)
    assert sorted(path.name for path in (tmp_path / "inbox" / "lab" / "done").iterdir()) == ["a-2.csv", "a.csv"]


def test_a_broken_file_fails_by_name_and_the_others_go_in(tmp_path: Path) -> None:
    drop(tmp_path, "bad.csv", "a,b\n1,2\n")
    drop(tmp_path, "good.csv", "text,published_at\n好喝,2026-11-16\n")
    run = take_inbox(tmp_path)
    assert (run.outcome, run.n_items) == (Outcome.PARTIAL, 1)
    assert "bad.csv" in run.message
    assert (tmp_path / "inbox" / "lab" / "bad.csv").exists()


def test_every_broken_file_is_named(tmp_path: Path) -> None:
    for name in ("bad.csv", "worse.csv"):
        drop(tmp_path, name, "a,b\n1,2\n")
    assert ["bad.csv" in line or "worse.csv" in line for line in take_inbox(tmp_path).bad_lines] == [True, True]


def test_only_a_broken_file_is_a_failure(tmp_path: Path) -> None:
    drop(tmp_path, "bad.csv", "a,b\n1,2\n")
    run = take_inbox(tmp_path)
    assert run.outcome is Outcome.FAILED
    assert "缺少必需的列" in run.message
