"""Floors rise by measuring and fall only with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp import floors
from nlp.classifier import NlpError
from nlp.floors import MARGIN, Gate, risen

SET, FIGURE = "mentions/test.jsonl", "intent.accuracy"


def gate_at(floor: float) -> Gate:
    return Gate(floors={"linear": {SET: {FIGURE: floor}, "other.jsonl": {FIGURE: 0.5}}})


def floor_of(gate: Gate) -> float:
    return gate.floors["linear"][SET][FIGURE]


def test_a_better_figure_raises_its_floor_to_the_margin_below_it() -> None:
    assert floor_of(risen(gate_at(0.7), "linear", {SET: {FIGURE: 0.8}})) == pytest.approx(0.79)


def test_a_figure_between_floor_and_margin_leaves_the_floor() -> None:
    assert floor_of(risen(gate_at(0.795), "linear", {SET: {FIGURE: 0.8}})) == 0.795


def test_a_figure_below_its_floor_is_refused_and_named() -> None:
    with pytest.raises(NlpError, match=r"linear mentions/test\.jsonl intent\.accuracy 0\.850 -> 0\.790.*--lower"):
        risen(gate_at(0.85), "linear", {SET: {FIGURE: 0.8}})


def test_a_reason_lowers_the_floor_and_is_kept() -> None:
    gate = risen(gate_at(0.85), "linear", {SET: {FIGURE: 0.8}}, reason="new labels")
    assert floor_of(gate) == pytest.approx(0.79)
    (kept,) = gate.lowered
    assert (kept["from"], kept["to"], kept["reason"]) == (0.85, pytest.approx(0.79), "new labels")


def test_sets_that_were_not_measured_and_other_models_keep_their_floors() -> None:
    gate = risen(gate_at(0.7), "transformer", {SET: {FIGURE: 0.9}})
    gate = risen(gate, "linear", {SET: {FIGURE: 0.8}})
    assert gate.floors["linear"]["other.jsonl"] == {FIGURE: 0.5}
    assert gate.floors["transformer"][SET][FIGURE] == pytest.approx(0.89)


@given(st.floats(0, 1), st.floats(0, 1))
def test_without_a_reason_no_floor_ever_falls(before: float, value: float) -> None:
    try:
        after = floor_of(risen(gate_at(before), "linear", {SET: {FIGURE: value}}))
    except NlpError:
        assert value < before
    else:
        assert after >= before
        assert after <= max(before, value - MARGIN + 1e-9, 0)


def test_floors_are_read_as_they_were_written(tmp_path: Path) -> None:
    gate = risen(gate_at(0.85), "linear", {SET: {FIGURE: 0.8}}, reason="换了数据")
    floors.write(gate, tmp_path / "floors.json")
    assert floors.read(tmp_path / "floors.json") == gate


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ceilings": {}}'])
def test_a_damaged_file_of_floors_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "floors.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(NlpError, match=r"floors\.json"):
        floors.read(file)
