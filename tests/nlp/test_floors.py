"""The shipped model stays at its figures: floors.json holds them with a margin and the digest of each data file.

Only measuring a better model and writing its figures here may raise a floor; lowering one needs a reason
in the commit. The data lie outside the project; without them the test says so and is skipped.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nlp.evaluate import evaluate, read_rows
from nlp.linear import load

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FLOORS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "floors.json").read_text(encoding="utf-8"))


@cache
def figures_on(name: str) -> dict[str, Any]:
    file = DATA / name
    if not file.exists():
        pytest.skip(f"no data to measure on: {name} is not beside the project (../shared/data)")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest == FLOORS[name]["sha256"], f"{name} is not the file that the floors were measured on"
    return evaluate(read_rows(file), load())


@pytest.mark.parametrize(
    ("name", "figure", "floor"),
    [(name, figure, floor) for name, of_file in FLOORS.items() for figure, floor in of_file["floors"].items()],
)
def test_a_figure_is_not_below_its_floor(name: str, figure: str, floor: float) -> None:
    value: Any = figures_on(name)
    for key in figure.split("."):
        value = value[key]
    assert value >= floor
