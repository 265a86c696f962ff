"""The single modules at the top keep to their layers (packages are checked by import-linter)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from settings import ROOT

NOT_FOR = {
    "settings": {"index", "crawlers", "nlp", "alerts", "dashboard", "jobs", "worker", "manage", "sample"},
    "labelling": {"jobs", "worker", "manage", "dashboard", "crawlers", "alerts", "sample", "apscheduler", "streamlit"},
    "jobs": {
        "rereading",
        "worker",
        "manage",
        "dashboard",
        "sample",
        "apscheduler",
        "streamlit",
        "scrapy",
        "sqlite3",
        "pysqlite3",
    },
    "rereading": {"worker", "manage", "dashboard", "sample", "crawlers", "alerts", "apscheduler", "streamlit"},
    "worker": {"manage", "dashboard", "sample", "crawlers", "nlp", "alerts", "streamlit", "scrapy", "pysqlite3"},
    "doctor": {"manage", "worker", "dashboard", "streamlit", "scrapy", "apscheduler", "pysqlite3"},
    "supervise": {"manage", "worker", "jobs", "streamlit", "scrapy", "apscheduler", "pysqlite3"},
    "console": {"manage", "jobs", "worker", "dashboard", "crawlers", "nlp", "alerts", "streamlit", "apscheduler"},
    "store_commands": {
        *("manage", "jobs", "worker", "dashboard", "crawlers", "nlp", "alerts", "streamlit", "elasticsearch"),
        *("scrapy", "apscheduler", "torch", "transformers", "pysqlite3"),
    },
    "manage": {"streamlit", "scrapy", "apscheduler", "torch", "transformers", "pysqlite3"},
    "bench": {"manage", "worker", "dashboard", "streamlit", "scrapy", "apscheduler"},
}


def imported(path: Path) -> set[str]:
    """First parts of all module names that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("module", NOT_FOR)
def test_a_module_at_the_top_imports_nothing_from_above_or_aside(module: str) -> None:
    assert imported(ROOT / f"{module}.py") & NOT_FOR[module] == set()


def test_every_module_at_the_top_has_its_layer() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == set(NOT_FOR)


def test_only_the_store_and_its_tests_open_a_database() -> None:
    rooms = ("crawlers", "nlp", "alerts", "dashboard", "sample")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert not [path.name for path in files if imported(path) & {"sqlite3", "pysqlite3"}]
    others = [path.name for path in (ROOT / "index").glob("*.py") if imported(path) & {"pysqlite3"}]
    assert all(name.startswith("embedded") for name in others)


def test_no_file_of_the_dashboard_hides_a_package_of_the_top() -> None:
    tops = {"crawlers", "nlp", "index", "alerts", "dashboard", "sample", *NOT_FOR}
    assert not tops & {path.stem for path in (ROOT / "dashboard").glob("*.py")}
