"""The whole recipe on a tiny network and a small folder of data: it ends with files that the service reads with."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from nlp import train as training
from nlp.clean import for_model
from nlp.examples import Examples
from nlp.heads import INTENTS
from nlp.learn import Stage
from nlp.linear import load as load_linear
from nlp.train import main
from nlp.transformer import load


@pytest.fixture
def data(training_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    shutil.copytree(training_data, folder)
    with gzip.open(folder / "mentions" / "unlabelled.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"id": "1", "text": "今天好喝吗"}, ensure_ascii=False) + "\n")
    monkeypatch.setattr(training, "N_HELD_OUT", 60)
    return folder


def test_a_model_of_ours_is_trained_on_and_taken_up_again(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--data", str(data), "--base", str(tiny_model), "--work", str(tmp_path / "work")]

    assert main([*command, "--out", str(tmp_path / "first")]) == 0

    linear = load_linear(tmp_path / "work" / "linear.npz")
    model = load(tmp_path / "first", linear=linear, device="cpu")
    assert model.version == training.VERSION
    assert [label.model_version for label in model.read(["太难喝了", "好喝"])] == [training.VERSION] * 2

    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "again")]) == 0
    assert "third: 已有 third.pt" in capsys.readouterr().out
    weights = [(tmp_path / name / "mentions.onnx").read_bytes() for name in ("first", "again")]
    assert weights[0] == weights[1]


def test_a_text_that_people_read_is_learnt_once_and_by_their_label(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gzip.open(data / "corpora" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        text = for_model(json.loads(next(file))["t"])
    row = {"id": "x", "text": text, "intent": "suggestion", "sentiment": "neutral", "severity": 0, "aspects": []}
    extra = tmp_path / "extra.jsonl"
    extra.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    taught: dict[str, Examples] = {}

    def note(_network: object, _tokenizer: object, examples: Examples, stage: Stage, *_: object) -> None:
        taught[stage.name] = examples

    monkeypatch.setattr(training, "learn", note)
    command = ["--data", str(data), "--base", str(tiny_model), "--work", str(tmp_path / "work")]
    assert main([*command, "--extra", str(extra), "--out", str(tmp_path / "out")]) == 0

    assert list(taught) == ["third", "paired", "last", "closing"]
    for examples in taught.values():
        (place,) = (place for place, given in enumerate(examples.texts) if given == text)
        assert INTENTS[int(examples.intent[place].argmax())] == "suggestion"
