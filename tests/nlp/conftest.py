"""A small data folder of invented rows and a model trained on it by the real trainer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from nlp.export import export
from nlp.linear import LinearClassifier, load
from nlp.train_linear import main
from tests.nlp import tiny

# The first text builds the table of simplified characters, on a slow machine for longer than hypothesis waits.
settings.register_profile("nlp", deadline=None)
settings.load_profile("nlp")

KINDS: tuple[dict[str, Any], ...] = (
    {"text": "太难喝了差评", "intent": "complaint", "sentiment": "negative", "severity": 0, "aspects": ["taste"]},
    {
        "text": "退款不给办要投诉",
        "intent": "complaint",
        "sentiment": "negative",
        "severity": 1,
        "aspects": ["aftersale"],
    },
    {
        "text": "喝完拉肚子进医院",
        "intent": "complaint",
        "sentiment": "negative",
        "severity": 2,
        "aspects": ["food_safety"],
    },
    {"text": "非常好喝推荐", "intent": "praise", "sentiment": "positive", "severity": 0, "aspects": ["taste"]},
    {"text": "请问几点关门", "intent": "question", "sentiment": "neutral", "severity": 0, "aspects": ["service"]},
    {"text": "建议增加小杯", "intent": "suggestion", "sentiment": "neutral", "severity": 0, "aspects": ["portion"]},
    {"text": "多少钱哪里买", "intent": "purchase", "sentiment": "neutral", "severity": 0, "aspects": ["price"]},
    {"text": "今天天气真好啊", "intent": "other", "sentiment": "positive", "severity": 0, "aspects": []},
)


def labelled_rows(n_each: int) -> list[dict[str, Any]]:
    return [{**kind, "text": f"{kind['text']}第{number}次"} for number in range(n_each) for kind in KINDS]


@pytest.fixture(scope="session")
def training_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("mentions", "corpora"):
        (folder / name).mkdir()
    (folder / "mentions" / "train.jsonl").write_text(_lines(labelled_rows(30)), encoding="utf-8")
    (folder / "mentions" / "written.jsonl").write_text(_lines(labelled_rows(3)), encoding="utf-8")
    corpora = [
        {"t": f"{words}呢", "s": sentiment, "i": intent, "a": ["taste"], "w": 0.8, "src": "made"}
        for words, sentiment, intent in (("好喝", 2, "praise"), ("难喝", 0, "complaint"), ("几点", 1, "question"))
        for _ in range(20)
    ]
    with gzip.open(folder / "corpora" / "train.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(_lines([*corpora, {"t": "没有标签", "src": "made"}]))
    return folder


@pytest.fixture(scope="session")
def model_file(training_data: Path) -> Path:
    file = training_data / "linear.npz"
    assert main(["--data", str(training_data), "--out", str(file)]) == 0
    return file


@pytest.fixture(scope="session")
def classifier(model_file: Path) -> LinearClassifier:
    return load(model_file)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a transformer that has learnt nothing."""
    folder = tmp_path_factory.mktemp("tiny")
    export(tiny.network(), tiny.tokenizer(), tiny.manifest(), folder, tiny.TEXTS)
    return folder


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
