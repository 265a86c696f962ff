"""`--update-golden` rewrites tests/pages/**/expected.json from what the parsers say now."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import hypothesis
import pytest

from index.models import Source

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
"""Thursday noon in Beijing."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected answers of golden pages")


def a_source(kind: str, url: str = "", **changes: Any) -> Source:
    fields: dict[str, Any] = {
        "id": "lab",
        "name": "测试来源",
        "kind": kind,
        "platform": "lab",
        "url": url,
        "basis": "测试",
        "reviewed": date(2026, 1, 1),
    }
    return Source.model_validate(fields | changes)
