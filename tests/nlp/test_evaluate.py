"""The command that measures: a file, a folder with models side by side, floors and the card."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlp import floors
from nlp.evaluate import main


def test_the_command_prints_one_json_document(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "太难喝了", "intent": "complaint", "sentiment": "negative"}\n', encoding="utf-8")
    command = [sys.executable, "-m", "nlp.evaluate", "--data", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert figures["n"] == 1
    assert figures["sentiment"]["n"] == 1


def test_the_command_prints_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "太难喝了", "intent": "complaint", "severity": 0, "aspects": []}\n', encoding="utf-8")
    assert main(["--data", str(file)]) == 0
    assert "macro-F1" in capsys.readouterr().out


def test_a_folder_of_a_transformer_alone_is_measured_with_the_shipped_linear_model(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "太难喝了", "intent": "complaint"}\n', encoding="utf-8")
    assert main(["--data", str(file), "--folder", str(tiny_model)]) == 0
    assert "bert-tiny" in capsys.readouterr().out


def test_the_command_ends_with_an_error_and_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "none.jsonl")]) == 1
    assert "找不到数据文件" in capsys.readouterr().err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a mentions set and one corpus."""
    folder = tmp_path / "data"
    (folder / "mentions").mkdir(parents=True)
    (folder / "corpora").mkdir()
    row = {"text": "太难喝了", "intent": "complaint", "sentiment": "negative", "severity": 0, "aspects": ["taste"]}
    rows = [{**row, "text": f"太难喝了{number}"} for number in range(20)]
    (folder / "mentions" / "test.jsonl").write_text(lines(rows), encoding="utf-8")
    with gzip.open(folder / "corpora" / "test_waimai_10k.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(lines([{"t": f"很好吃{number}", "s": 2} for number in range(30)]))
    return folder


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_a_folder_gives_all_lines_beside_the_fixed_references(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(data), "--model", "linear"]) == 0
    shown = capsys.readouterr().out
    assert "| mentions/test intent.accuracy | 0.870 |" in shown
    assert "| waimai_10k sentiment.two_way_accuracy | 0.915 |" in shown
    assert "没有这些数据文件, 未衡量: corpora/test_online_shopping_10_cats.jsonl.gz" in shown
    assert "繁体 (s2t)" in shown
    assert "sarcasm honest" in shown


def test_a_folder_as_json_holds_every_figure(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(data), "--model", "linear", "--rows", "10", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["linear"]
    assert measured["sets"]["corpora/test_waimai_10k.jsonl.gz"]["n"] == 10
    assert measured["sets"]["mentions/test.jsonl"]["n"] == 20, "the mentions are always read whole"
    assert measured["intervals"]["intent.accuracy"]["low"] <= measured["intervals"]["intent.accuracy"]["high"]
    assert measured["robustness"]["full_stop"]["n"] == 20
    assert measured["probes"]["negation.jsonl"]["pairs"]["n"] == 60


def test_a_folder_without_the_sets_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--model", "linear"]) == 1
    assert "没有 mentions/ 和 corpora/ 的测试集" in capsys.readouterr().err


def test_a_model_that_was_asked_for_and_is_not_there_is_an_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(data), "--model", "transformer", "--folder", str(tmp_path)]) == 1
    assert "找不到模型文件" in capsys.readouterr().err


def test_floors_are_written_with_the_digests_and_not_lowered(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "floors.json"
    shutil.copy(floors.FILE, file)
    before = file.read_bytes()
    command = ["--data", str(data), "--model", "linear", "--write-floors", "--floors", str(file)]
    assert main(command) == 1
    assert '确要降低请加 --lower "理由"' in capsys.readouterr().err
    assert file.read_bytes() == before
    assert main([*command, "--lower", "rows of a test"]) == 0
    gate = floors.read(file)
    earlier = floors.read(floors.FILE).lowered
    assert {one["reason"] for one in gate.lowered if one not in earlier} == {"rows of a test"}
    assert gate.sha256["mentions/test.jsonl"] != json.loads(before)["sha256"]["mentions/test.jsonl"]


def test_the_card_gets_its_tables_between_the_marks(data: Path, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n", encoding="utf-8")
    assert main(["--data", str(data), "--model", "linear", "--card", str(card)]) == 0
    text = card.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- figures -->\n| line | target |")
    assert text.endswith("|\n<!-- end of figures -->\nafter\n")
    assert "old" not in text


def test_a_card_without_marks_is_not_touched(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "README.md"
    card.write_text("plain\n", encoding="utf-8")
    assert main(["--data", str(data), "--model", "linear", "--card", str(card)]) == 1
    assert "没有一对标记" in capsys.readouterr().err
    assert card.read_text(encoding="utf-8") == "plain\n"
