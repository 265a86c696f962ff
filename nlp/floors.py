"""Floors under the figures of the shipped models: they rise by measuring and fall only with a reason."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp.classifier import NlpError
from nlp.figures import value_at
from nlp.lines import LINES, SETS
from nlp.probes import PROBES
from nlp.scoreboard import WRITTEN, Measured

FILE = WRITTEN / "floors.json"
N_ROWS = 500
"""So many rows of each corpus are read in the gate; the mentions and the written sets are read whole."""

MARGIN = 0.01
"""A floor lies so far below what was measured: another processor rounds int8 another way."""

Floors = dict[str, dict[str, float]]
"""By set and figure."""


@dataclass(frozen=True, slots=True)
class Gate:
    """floors by model; sha256 of the data files that they were measured on; lowered: what was lowered, and why."""

    floors: dict[str, Floors] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    lowered: list[dict[str, Any]] = field(default_factory=list)


def read(file: Path = FILE) -> Gate:
    """Raises NlpError if the file is missing or damaged."""
    try:
        return Gate(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as e:
        raise NlpError(f"模型下限文件 {file} 读不了 ({e}); 请从版本库恢复") from e


def write(gate: Gate, file: Path = FILE) -> None:
    document = {"floors": gate.floors, "sha256": gate.sha256, "lowered": gate.lowered}
    file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def figures_with_floors(measured: Measured) -> Floors:
    """What the gate watches: the lines, how many labels stay under each change, the shares right of written sets."""
    found: Floors = {}
    for line in LINES:
        value = value_at(measured["sets"].get(line.data, {}), line.figure)
        if value is not None:
            found.setdefault(line.data, {})[line.figure] = value
    for change, of_change in measured.get("robustness", {}).items():
        if of_change["n"]:
            kept = found.setdefault("robustness", {})
            kept |= {f"{change}.{head}": 1 - of_change[head] for head in ("sentiment", "intent")}
    for name, figures in measured["probes"].items():
        of_probe = found.setdefault(name, {})
        for kind, of_kind in figures["kinds"].items():
            of_probe |= {f"{kind}.{head}": value for head, value in of_kind.items() if head != "n"}
        if "pairs" in figures:
            of_probe["pairs.sentiment"] = figures["pairs"]["sentiment"]
    return found


def digests(data: Path) -> dict[str, str]:
    """sha256 of every file that is there."""
    files = {name: data / name for name in SETS} | {name: WRITTEN / name for name in PROBES}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file.is_file()}


def risen(gate: Gate, model: str, measured: Mapping[str, Mapping[str, float]], *, reason: str | None = None) -> Gate:
    """The gate with a floor of `model` under each measured figure, raised where the figure is better than it was.

    A floor stays where the figure is worse than when it was made but still above it. Where a figure is below its
    floor, the floor is lowered with `reason`, which is kept; without one NlpError names every such figure.
    """
    old = gate.floors.get(model, {})
    new: Floors = {}
    lowered: list[dict[str, Any]] = []
    for name, of_set in measured.items():
        for figure, value in of_set.items():
            floor = max(0.0, math.floor((value - MARGIN) * 1000) / 1000)
            before = old.get(name, {}).get(figure, 0.0)
            if value < before:
                lowered.append({"figure": f"{model} {name} {figure}", "from": before, "to": floor, "reason": reason})
            new.setdefault(name, {})[figure] = floor if value < before else max(before, floor)
    if lowered and not reason:
        named = "; ".join(f"{one['figure']} {one['from']:.3f} -> {one['to']:.3f}" for one in lowered)
        raise NlpError(f'以下指标低于下限, 没有写入: {named}. 确要降低请加 --lower "理由"')
    kept = {name: of_set for name, of_set in old.items() if name not in new}
    return Gate(gate.floors | {model: kept | new}, gate.sha256, gate.lowered + lowered)
