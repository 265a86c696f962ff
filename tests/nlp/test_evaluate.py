"""Figures on labelled rows, and data that cannot be used."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from index.models import Labels
from nlp.classifier import NlpError
from nlp.evaluate import Row, evaluate, main, read_rows
from tests.builders import some_labels


class Says:
    """Answers what the test wants."""

    version = "test-1"

    def __init__(self, *labels: Labels) -> None:
        self.labels = list(labels)

    def read(self, texts: Sequence[str]) -> list[Labels]:
        assert len(texts) == len(self.labels)
        return self.labels


def test_figures_are_those_worked_out_by_hand() -> None:
    rows = [
        Row("a", intent="complaint", sentiment="negative", severity="1", aspects=frozenset({"taste"})),
        Row("b", intent="complaint", sentiment="negative", severity="0", aspects=frozenset()),
        Row("c", intent="praise", sentiment="positive", severity="0", aspects=frozenset({"taste", "price"})),
        Row("d", intent="praise", sentiment="neutral", severity="2", aspects=frozenset()),
    ]
    said = Says(
        some_labels("negative", "complaint", 2, "taste:negative", intent_probability=1.0),
        some_labels("negative", "praise", 0, "price:positive", intent_probability=0.55),
        some_labels("positive", "praise", 0, "taste:positive", intent_probability=1.0),
        some_labels("positive", "praise", 0, intent_probability=1.0),
    )
    figures = evaluate(rows, said)
    intent = figures["intent"]
    assert intent["accuracy"] == 0.75
    assert intent["classes"]["complaint"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }
    assert intent["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert intent["calibration"]["ece"] == pytest.approx(0.25 * 0.55)
    assert intent["calibration"]["accuracy_at_80_coverage"] == 1.0
    assert figures["severity"]["at_least_1"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }
    assert figures["aspects"]["micro_f1"] == pytest.approx(2 / 3)
    assert figures["aspects"]["classes"]["price"]["f1"] == 0


def test_a_head_without_labels_has_no_figures() -> None:
    figures = evaluate([Row("a", sentiment="negative")], Says(some_labels()))
    assert set(figures) == {"model_version", "n", "sentiment"}


def test_it_reads_mention_rows_and_corpora_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.write(
            '{"text": "好", "intent": "praise", "sentiment": "positive", "severity": 0, "aspects": ["taste"]}\n\n'
        )
        out.write('{"t": "差", "s": 0, "i": "complaint", "a": [], "src": "x"}\n{"t": "无"}\n')
    assert read_rows(file) == [
        Row("好", "praise", "positive", "0", frozenset({"taste"})),
        Row("差", "complaint", "negative", None, frozenset()),
        Row("无"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "第 2 行不是有效的 JSON"),
        ("[1]", "第 2 行应是一个 JSON 对象"),
        ('{"intent": "praise"}', "第 2 行缺少文本字段"),
        ('{"text": "a", "intent": "angry"}', "第 2 行的 intent 是未知的标签 'angry'"),
        ('{"text": "a", "severity": 3}', "第 2 行的 severity"),
        ('{"t": "a", "s": 7}', "第 2 行的 sentiment"),
        ('{"text": "a", "aspects": ["colour"]}', "第 2 行的 aspects 里有未知的方面 'colour'"),
        ('{"text": "a", "aspects": "taste"}', "第 2 行的 aspects 应是列表"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"text": "好"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(NlpError, match=said):
        read_rows(file)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "找不到数据文件"),
        ("empty.jsonl", b"\n", "没有数据行"),
        ("binary.jsonl", b"\xff\xfe\x00", "读不了"),
        ("cut.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99)[:30], "读不了"),
        ("plain.jsonl.gz", b'{"text": "a"}\n', "读不了"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NlpError, match=said) as caught:
        read_rows(file)
    assert name in str(caught.value)


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


def test_the_command_ends_with_an_error_and_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "none.jsonl")]) == 1
    assert "找不到数据文件" in capsys.readouterr().err
