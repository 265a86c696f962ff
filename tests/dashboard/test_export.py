from __future__ import annotations

import csv
import io

import python_calamine
from hypothesis import given
from hypothesis import strategies as st

from dashboard import export
from tests.builders import a_mention, a_persona, some_labels

FORMULA = '=HYPERLINK("http://evil.example","点我")'


def test_no_cell_of_the_csv_begins_like_a_formula() -> None:
    mention = a_mention(FORMULA, title="+1", persona=a_persona(name="@SUM(1)"), labels=some_labels())
    rows = list(csv.reader(io.StringIO(export.to_csv([mention]).decode("utf-8-sig"))))
    cells = dict(zip(rows[0], rows[1], strict=True))
    assert cells["正文"] == "'" + FORMULA
    assert cells["标题"] == "'+1"
    assert cells["发言者"] == "'@SUM(1)"


def test_the_workbook_holds_text_where_the_csv_needs_an_apostrophe() -> None:
    data = export.to_xlsx([a_mention(FORMULA, url="https://example.com/1")])
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    rows = book.get_sheet_by_index(0).to_python()
    cells = dict(zip(rows[0], rows[1], strict=True))
    assert cells["正文"] == FORMULA
    assert b"<f>" not in data


@given(st.text(max_size=30))
def test_a_safe_cell_never_begins_like_a_formula_and_loses_nothing(text: str) -> None:
    cell = export.safe(text)
    assert not cell.lstrip(" \u3000\ufeff\u200b").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell in (text, f"'{text}")
