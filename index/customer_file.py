"""Customers from a CSV or XLSX file: one row per order, checked cell by cell before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from index.models import Customer, Frozen, Order

if TYPE_CHECKING:
    import pandas as pd

BEIJING = ZoneInfo("Asia/Shanghai")
COLUMNS = {
    "customer_id": "客户编号",
    "name": "姓名",
    "phone": "手机",
    "handles": "平台账号",
    "tier": "等级",
    "tags": "标签",
    "note": "备注",
    "order_number": "订单号",
    "order_at": "下单时间",
    "order_amount": "金额",
    "order_items": "商品",
}
"""Column name -> the Chinese heading that is taken as well. customer_id and name are needed."""
EARLIEST, AHEAD = datetime(1995, 1, 1, tzinfo=BEIJING), timedelta(days=1)
MOST_YUAN = 1e9
NEEDED = ("customer_id", "name")

_PHONE = r"^(\+?86[ -]?)?1\d{2}[ -]?\d{4}[ -]?\d{4}$|^\d{4}$|^0\d{2,3}-?\d{7,8}$"
_HANDLES = r"^[a-z0-9_-]+:[^:;；]+([;；]\s*[a-z0-9_-]+:[^:;；]+)*$"


class CustomerFileError(Exception):
    """The file cannot be read as a table of customers at all."""


class BadCell(Frozen):
    """One wrong cell; row counts as in the file (the heading is row 1)."""

    row: int
    column: str
    value: str
    reason: str


class CustomerFile(Frozen):
    """What a file says. customers is empty where there are bad cells: nothing is half-imported."""

    n_rows: int
    customers: tuple[Customer, ...]
    bad_cells: tuple[BadCell, ...]


def read_customers(path: Path, *, now: datetime) -> CustomerFile:
    """Read and check a file. Raises CustomerFileError where it is no such table."""
    table = _table(path)
    bad = _bad_cells(table, now)
    customers = () if bad else tuple(_customers(table.to_dict("records"), now))
    return CustomerFile(n_rows=len(table), customers=customers, bad_cells=tuple(bad))


def _table(path: Path) -> pd.DataFrame:
    """All cells as stripped text, columns by their English names."""
    table = _cells(path)
    english = {chinese: name for name, chinese in COLUMNS.items()}
    table = table.rename(columns={column: english.get(str(column).strip(), str(column).strip()) for column in table})
    if missing := [f"{name} ({COLUMNS[name]})" for name in NEEDED if name not in table]:
        raise CustomerFileError(f"{path.name}: 缺少列 {', '.join(missing)}; 可用的列: {', '.join(COLUMNS)}")
    if unknown := [column for column in table if column not in COLUMNS]:
        raise CustomerFileError(f"{path.name}: 不认识的列 {', '.join(unknown)}; 可用的列: {', '.join(COLUMNS)}")
    if doubled := sorted({str(column) for column in table.columns[table.columns.duplicated()]}):
        raise CustomerFileError(f"{path.name}: 列重复: {', '.join(doubled)}")
    for name in COLUMNS:
        table[name] = table[name].str.strip() if name in table else ""
    return table[(table != "").any(axis=1)][list(COLUMNS)]


def _cells(path: Path) -> pd.DataFrame:
    """The table as the file has it, blank rows included."""
    import pandas as pd

    if path.is_dir():
        raise CustomerFileError(f"{path} 是文件夹, 请给出其中的一个文件")
    if not path.is_file():
        raise CustomerFileError(f"找不到文件 {path}")
    try:
        if path.suffix.lower() in (".xlsx", ".xls"):
            table = pd.read_excel(path, dtype=str, engine="calamine", keep_default_na=False)
        elif path.suffix.lower() == ".csv":
            encoding = _encoding(path)
            table = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding=encoding)
        else:
            raise CustomerFileError(f"{path.name}: 只认 .csv 和 .xlsx 文件")
    except UnicodeDecodeError as error:
        raise CustomerFileError(f"{path.name}: 读不成表格: 既不是 UTF-8 也不是 GB18030 编码") from error
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise CustomerFileError(f"{path.name}: 读不成表格: {error}") from error
    except Exception as error:  # calamine raises its own errors, which share no base with the above
        if type(error).__module__.split(".")[0] != "python_calamine":
            raise
        raise CustomerFileError(f"{path.name}: 读不成表格: {error}") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the cells that are too many for names of rows
        raise CustomerFileError(f"{path.name}: 行里的格比表头多, 请检查逗号与引号")
    return table.fillna("")


def _encoding(path: Path) -> str:
    """UTF-8 (with or without a mark), else GB18030, which is what Excel in China writes."""
    try:
        path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


def _bad_cells(table: pd.DataFrame, now: datetime) -> list[BadCell]:
    """Every wrong cell of the table, by pandera in lazy mode, in the order of the file."""
    import pandas as pd
    import pandera.pandas as pa

    def optional(check: pa.Check) -> pa.Column:
        return pa.Column(str, check)

    def or_empty(pattern: str) -> str:
        return rf"^$|{pattern}"

    has_order = table["order_number"] != ""
    moments, amounts = _moments(table["order_at"]), pd.to_numeric(table["order_amount"], errors="coerce")
    first_name = table.groupby("customer_id")["name"].transform("first")
    schema = pa.DataFrameSchema(
        {
            "customer_id": pa.Column(str, pa.Check(lambda cells: cells != "", error="客户编号不能为空")),
            "name": pa.Column(
                str,
                [
                    pa.Check(lambda cells: cells != "", error="姓名不能为空"),
                    pa.Check(lambda cells: cells == first_name, error="同一客户编号前后姓名不一致"),
                ],
            ),
            "phone": optional(pa.Check.str_matches(or_empty(_PHONE), error="不是手机号、座机号或尾号四位")),
            "handles": optional(pa.Check.str_matches(or_empty(_HANDLES), error="应为 平台:账号, 多个用分号隔开")),
            "order_number": optional(
                pa.Check(
                    lambda cells: (cells != "") | ((table["order_at"] == "") & (table["order_amount"] == "")),
                    error="有下单时间或金额就要有订单号",
                )
            ),
            "order_at": pa.Column(
                str,
                [
                    pa.Check(
                        lambda _: ~has_order | moments.notna(), error="不是时间, 应如 2026-11-18 或 2026-11-18 10:30"
                    ),
                    pa.Check(
                        lambda _: ~has_order | moments.isna() | moments.between(EARLIEST, now + AHEAD),
                        error="时间不可信: 早于 1995 年或晚于现在一天以上",
                    ),
                ],
            ),
            "order_amount": optional(
                pa.Check(lambda _: ~has_order | amounts.between(0, MOST_YUAN), error="应为不小于 0 的数 (元)")
            ),
        }
    )
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        cases = pd.DataFrame(columns=["index", "column", "failure_case", "check"])
    bad = [
        BadCell(
            row=int(case["index"]) + 2, column=case["column"], value=str(case["failure_case"]), reason=case["check"]
        )
        for case in cases.to_dict("records")
    ]
    numbers = table["order_number"].str.replace("-", "").str.upper()  # as Customer.order_numbers compares them
    owners = table[has_order].groupby(numbers[has_order])["customer_id"].nunique()
    for index, row in table[numbers.isin(owners[owners > 1].index)].iterrows():
        bad.append(
            BadCell(row=int(index) + 2, column="order_number", value=row["order_number"], reason="订单号属于多个客户")
        )
    return sorted(bad, key=lambda cell: (cell.row, list(COLUMNS).index(cell.column)))


def _moments(cells: pd.Series[str]) -> pd.Series[Any]:
    import pandas as pd

    dated = cells.where(cells.str.contains(r"\d{4}"))  # 10:30 alone would become today's
    return pd.to_datetime(dated, errors="coerce", format="mixed", yearfirst=True, utc=True)


def _customers(rows: Iterable[dict[str, str]], now: datetime) -> Iterable[Customer]:
    by_id: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_id.setdefault(row["customer_id"], []).append(row)
    for customer_id, own in by_id.items():
        orders = {row["order_number"]: _order(row) for row in own if row["order_number"]}
        yield Customer(
            id=customer_id,
            name=own[0]["name"],
            phone_tail=re.sub(r"\D", "", _last(own, "phone"))[-4:],
            handles=tuple(dict.fromkeys(handle for row in own for handle in _handles(row["handles"]))),
            orders=tuple(sorted(orders.values(), key=lambda order: order.at)),
            tier=_last(own, "tier"),
            tags=tuple(dict.fromkeys(tag for row in own for tag in _split(row["tags"]))),
            note=_last(own, "note"),
            created_at=now,
            updated_at=now,
        )


def _order(row: dict[str, str]) -> Order:
    moment = _parse_moment(row["order_at"])
    return Order(number=row["order_number"], at=moment, amount=float(row["order_amount"]), items=row["order_items"])


def _parse_moment(text: str) -> datetime:
    """A moment of the file; without an offset it is Beijing time."""
    import pandas as pd

    moment: datetime = pd.to_datetime(text, yearfirst=True).to_pydatetime()
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)


def _last(rows: list[dict[str, str]], column: str) -> str:
    return next((row[column] for row in reversed(rows) if row[column]), "")


def _handles(cell: str) -> list[str]:
    """`platform:handle` without the blanks that people put around the colon."""
    return [":".join(part.strip() for part in handle.split(":", 1)) for handle in _split(cell)]


def _split(cell: str) -> list[str]:
    return [part.strip() for part in re.split("[;；]", cell) if part.strip()]
