"""The shipped models stay at their figures: floors.json holds them with a margin and the digest of each data file.

`python -m nlp.evaluate --data DIR --write-floors` raises floors; to lower one takes --lower and a reason, which is
kept. The data lie outside the project (../shared/data); what needs them says so and is skipped. The written sets are
here, so they are always measured.
"""

from __future__ import annotations

from functools import cache

import pytest

from nlp import floors
from nlp.evaluate import load
from nlp.load import SHIPPED, TRANSFORMER
from nlp.probes import PROBES
from nlp.rows import read_rows
from nlp.scoreboard import WRITTEN, Measured, measure, worse_than
from settings import ROOT, NlpSettings

DATA = ROOT.parent / "shared" / "data"
GATE = floors.read()
FLOORS = [
    (model, name, figure, floor)
    for model, of_model in GATE.floors.items()
    for name, of_set in of_model.items()
    for figure, floor in of_set.items()
]


@cache
def measured(model: str) -> Measured:
    data = DATA if DATA.is_dir() else None
    return measure(load(model, SHIPPED), data, review_below=NlpSettings().review_below, n_rows=floors.N_ROWS)


CHANCE = 0.02
"""Two of the six intents have 16 rows in mentions/test: one more right there moves the macro-F1 by a point."""


@cache
def watched(model: str) -> floors.Floors:
    return floors.figures_with_floors(measured(model))


@pytest.mark.parametrize("name", GATE.sha256)
def test_a_data_file_is_the_one_that_the_floors_were_measured_on(name: str) -> None:
    here = floors.digests(DATA)
    if name not in here:
        pytest.skip(f"{name} is not beside the project (../shared/data)")
    assert here[name] == GATE.sha256[name], f"{name} has changed: measure again with --write-floors"


@pytest.mark.parametrize(("model", "name", "figure", "floor"), FLOORS)
def test_a_figure_is_not_below_its_floor(model: str, name: str, figure: str, floor: float) -> None:
    found = watched(model)
    if name not in found:
        pytest.skip(f"no data to measure {name} on: they are not beside the project (../shared/data)")
    assert found[name][figure] >= floor


def test_every_shipped_model_has_floors() -> None:
    shipped = {"linear"} | ({"transformer"} if (SHIPPED / TRANSFORMER[0]).exists() else set())
    assert set(GATE.floors) == shipped


def test_on_no_line_with_a_target_the_linear_model_reads_better_by_more_than_chance() -> None:
    if "transformer" not in GATE.floors:
        pytest.skip("no transformer is shipped")
    if not measured("linear")["sets"]:
        pytest.skip("no data to compare on: they are not beside the project (../shared/data)")
    assert worse_than(measured("transformer"), measured("linear"), by=CHANCE, with_target=True) == []


@pytest.mark.parametrize("name", PROBES)
def test_a_written_set_is_labelled_throughout_and_holds_no_text_twice(name: str) -> None:
    rows = read_rows(WRITTEN / name)
    assert len({row.text for row in rows}) == len(rows)
    assert all(None not in (row.intent, row.sentiment, row.severity, row.aspects, row.kind) for row in rows)
