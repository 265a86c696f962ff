"""Every bad cell is named, and nothing is half-imported."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.customer_file import CustomerFileError, read_customers
from tests.builders import NOW

HEAD = "customer_id,name,phone,handles,tier,tags,note,order_number,order_at,order_amount,order_items\n"


def reading(tmp_path: Path, rows: str, *, head: str = HEAD, encoding: str = "utf-8"):
    path = tmp_path / "customers.csv"
    path.write_text(head + rows, encoding=encoding)
    return read_customers(path, now=NOW)


def test_rows_of_one_customer_become_one_customer_with_orders_in_time_order(tmp_path: Path) -> None:
    rows = (
        "C1,林小满,13800001234,weiyan:小满;shequ:满满,金卡,常客,,SL202611180002,2026-11-18 10:30,38,拿铁\n"
        "C1,林小满,,,,,,SL202611010001,2026-11-01,21.5,美式\n"
    )
    customer = reading(tmp_path, rows).customers[0]
    assert customer.handles == ("weiyan:小满", "shequ:满满")
    assert customer.phone_tail == "1234"
    assert [order.number for order in customer.orders] == ["SL202611010001", "SL202611180002"]
    assert customer.orders[1].at.isoformat() == "2026-11-18T02:30:00+00:00"


def test_blanks_around_the_colon_of_a_handle_do_not_matter(tmp_path: Path) -> None:
    assert reading(tmp_path, "C1,林,,weiyan: 小满 ; shequ:满满,,,,,,,\n").customers[0].handles == (
        "weiyan:小满",
        "shequ:满满",
    )


def test_an_order_number_counts_the_same_with_and_without_a_hyphen(tmp_path: Path) -> None:
    rows = "C1,林,,,,,,AB-20261118,2026-11-01,1,\nC2,陈,,,,,,ab20261118,2026-11-01,1,\n"
    assert [cell.column for cell in reading(tmp_path, rows).bad_cells] == ["order_number", "order_number"]


def test_three_wrong_cells_in_ten_thousand_rows_are_named_and_nothing_is_imported(tmp_path: Path) -> None:
    lines = [f"C{n},客户{n},1380000{n % 10000:04d},,,,,N{n:08d},2026-11-01,10,\n" for n in range(10_000)]
    lines[41] = "C41,客户41,no phone,,,,,N00000041,2026-11-01,10,\n"
    lines[4999] = "C4999,客户4999,,,,,,N00004999,someday,10,\n"
    lines[9999] = "C9999,客户9999,,,,,,N00009999,2026-11-01,-3,\n"
    file = reading(tmp_path, "".join(lines))
    assert file.n_rows == 10_000
    assert file.customers == ()
    assert [(cell.row, cell.column, cell.value) for cell in file.bad_cells] == [
        (43, "phone", "no phone"),
        (5001, "order_at", "someday"),
        (10_001, "order_amount", "-3"),
    ]
    assert all(cell.reason for cell in file.bad_cells)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (",林,,,,,,,,,", "customer_id"),
        ("C1,,,,,,,,,,", "name"),
        ("C1,林,,小满,,,,,,,", "handles"),
        ("C1,林,,,,,,,2026-11-01,10,", "order_number"),
        ("C1,林,,,,,,N1,,10,", "order_at"),
        ("C1,林,,,,,,N1,10:30,10,", "order_at"),
        ("C1,林,,,,,,N1,2099-01-01,10,", "order_at"),
        ("C1,林,,,,,,N1,1970-01-01,10,", "order_at"),
        ("C1,林,,,,,,N1,2026-11-01,many,", "order_amount"),
        ("C1,林,,,,,,N1,2026-11-01,inf,", "order_amount"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(tmp_path: Path, row: str, column: str) -> None:
    (cell,) = reading(tmp_path, row + "\n").bad_cells
    assert (cell.row, cell.column) == (2, column)


def test_blank_lines_do_not_shift_the_rows_that_are_named(tmp_path: Path) -> None:
    file = reading(tmp_path, "\n\nC1,林,no phone,,,,,,,,\n")
    assert file.n_rows == 1
    assert [cell.row for cell in file.bad_cells] == [4]


def test_order_times_with_and_without_an_offset_may_stand_in_one_file(tmp_path: Path) -> None:
    rows = "C1,林,,,,,,N1,2026-11-01 10:00,1,\nC1,林,,,,,,N2,2026-11-02T10:00:00+08:00,1,\n"
    assert [order.at.isoformat() for order in reading(tmp_path, rows).customers[0].orders] == [
        "2026-11-01T02:00:00+00:00",
        "2026-11-02T02:00:00+00:00",
    ]


def test_rows_with_more_cells_than_the_heading_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CustomerFileError, match="比表头多"):
        reading(tmp_path, "C1,林,,,,,,,,,,extra\n")


def test_an_order_number_of_two_customers_is_refused_in_both_rows(tmp_path: Path) -> None:
    rows = "C1,林,,,,,,N1,2026-11-01,1,\nC2,陈,,,,,,N1,2026-11-01,1,\n"
    assert [(cell.row, cell.column) for cell in reading(tmp_path, rows).bad_cells] == [
        (2, "order_number"),
        (3, "order_number"),
    ]


def test_two_names_for_one_customer_id_are_refused(tmp_path: Path) -> None:
    rows = "C1,林,,,,,,,,,\nC1,陈,,,,,,,,,\n"
    assert [(cell.row, cell.column) for cell in reading(tmp_path, rows).bad_cells] == [(3, "name")]


def test_chinese_headings_and_gb18030_are_taken(tmp_path: Path) -> None:
    file = reading(tmp_path, "C1,林小满,weiyan:小满\n", head="客户编号,姓名,平台账号\n", encoding="gb18030")
    assert file.customers[0].name == "林小满"


def test_an_excel_file_is_read_like_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "customers.xlsx"
    pd.DataFrame({"customer_id": ["C1"], "name": ["林"], "order_number": ["N1"], "order_at": ["2026-11-01"],
                  "order_amount": ["9.9"]}).to_excel(path, index=False, engine="xlsxwriter")  # fmt: skip
    assert read_customers(path, now=NOW).customers[0].orders[0].amount == 9.9


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("c.csv", b"customer_id\nC1\n", "name"),
        ("c.csv", b"customer_id,name,password\nC1,x,y\n", "password"),
        ("c.xlsx", b"not a workbook", "读不成"),
        ("c.txt", b"customer_id,name\n", r"\.csv"),
        ("c.csv", b"", "读不成"),
    ],
)
def test_what_is_no_table_of_customers_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CustomerFileError, match=reason):
        read_customers(tmp_path / name, now=NOW)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CustomerFileError, match=r"nowhere\.csv"):
        read_customers(tmp_path / "nowhere.csv", now=NOW)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(max_size=12), min_size=11, max_size=11))
def test_any_cells_are_taken_or_named(tmp_path: Path, cells: list[str]) -> None:
    row = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    try:
        file = reading(tmp_path, row + "\n", encoding="utf-8")
    except (CustomerFileError, UnicodeEncodeError):
        return
    assert bool(file.customers) != bool(file.bad_cells) or file.n_rows == 0
