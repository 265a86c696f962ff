"""The linear model: reading, files that cannot be used, and training."""

from __future__ import annotations

import contextlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.classifier import NlpError
from nlp.linear import LinearClassifier, load
from nlp.train_linear import main
from tests.nlp.conftest import KINDS

load_shipped = cache(load)


def test_it_reads_what_it_was_trained_on(classifier: LinearClassifier) -> None:
    for kind, labels in zip(KINDS, classifier.read([kind["text"] + "第9次" for kind in KINDS]), strict=True):
        assert (labels.intent, labels.sentiment) == (kind["intent"], kind["sentiment"])
        assert labels.model_version == classifier.version


def test_a_text_gets_the_same_labels_alone_and_in_a_batch_with_copies(classifier: LinearClassifier) -> None:
    texts = ["太难喝了", "非常好喝", "太难喝了", "", "请问几点", "非常好喝"]
    together = classifier.read(texts)
    for text, labels in zip(texts, together, strict=True):
        alone = classifier.read([text])[0]
        assert alone.intent == labels.intent
        assert alone.intent_probability == pytest.approx(labels.intent_probability, abs=1e-4)


@pytest.mark.parametrize("text", ["", "。", "[图片]", "转发微博"])
def test_a_text_that_says_nothing_is_other_and_neutral(text: str) -> None:
    labels = load_shipped().read([text])[0]
    assert (labels.intent, labels.sentiment, labels.severity, labels.aspects) == ("other", "neutral", 0, ())


def test_no_texts_give_no_labels(classifier: LinearClassifier) -> None:
    assert classifier.read([]) == []


@settings(max_examples=50)
@given(texts=st.lists(st.text(), max_size=5))
def test_any_texts_can_be_read(texts: list[str]) -> None:
    assert len(load_shipped().read(texts)) == len(texts)


def test_probabilities_of_a_head_add_up_to_one(classifier: LinearClassifier) -> None:
    probable = classifier.probabilities(["太难喝了", ""])
    for head in ("sentiment", "intent", "severity"):
        assert probable[head].sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_an_aspect_is_judged_by_the_clause_that_speaks_of_it() -> None:
    labels = load_shipped().read(["味道很好喝，就是配送太慢了，等了两个小时"])[0]
    said = {aspect.name: str(aspect.polarity) for aspect in labels.aspects}
    assert said["taste"] == "positive"
    assert said["logistics"] == "negative"


def test_a_missing_file_says_which_and_how_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(NlpError, match=r"找不到模型文件 .*none\.npz.*python -m nlp\.train_linear --data"):
        load(tmp_path / "none.npz")


def test_a_cut_file_is_called_damaged(tmp_path: Path, model_file: Path) -> None:
    broken = tmp_path / "cut.npz"
    broken.write_bytes(model_file.read_bytes()[:-300])
    with pytest.raises(NlpError, match="已损坏"):
        load(broken)


@pytest.mark.parametrize("place", [0.1 * tenth for tenth in range(10)])
@pytest.mark.parametrize("new", [b"\0" * 200, bytes(range(200))], ids=["zeros", "noise"])
def test_a_file_with_other_bytes_somewhere_is_refused(
    tmp_path: Path, model_file: Path, place: float, new: bytes
) -> None:
    content = bytearray(model_file.read_bytes())
    start = int(place * (len(content) - len(new)))
    content[start : start + len(new)] = new
    broken = tmp_path / "other.npz"
    broken.write_bytes(content)
    with pytest.raises(NlpError):
        load(broken)


def test_flipped_bits_of_the_directory_end_in_no_other_error(tmp_path: Path, model_file: Path) -> None:
    content, broken = model_file.read_bytes(), tmp_path / "flipped.npz"
    start = content.rindex(b"PK\x01\x02")
    for place in range(start, len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 0x80
        broken.write_bytes(flipped)
        with contextlib.suppress(NlpError):  # some bits say nothing: dates, rights
            load(broken)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"features_version": np.array(99)}, "特征版本"), ({"bias": np.zeros(3, dtype=np.float32)}, "大小不一致")],
    ids=["another making", "another shape"],
)
def test_a_file_of_another_making_is_refused(
    tmp_path: Path, model_file: Path, change: dict[str, np.ndarray], said: str
) -> None:
    with np.load(model_file) as stored:
        parts = {**stored, **change}
    other = tmp_path / "other.npz"
    np.savez(other, **parts)
    with pytest.raises(NlpError, match=said):
        load(other)


def test_training_twice_gives_the_same_file(training_data: Path, model_file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.npz"
    assert main(["--data", str(training_data), "--out", str(again)]) == 0
    assert again.read_bytes() == model_file.read_bytes()


def test_it_learns_from_corrections_too_and_nothing_from_a_head_that_nobody_judged(
    training_data: Path, model_file: Path, tmp_path: Path
) -> None:
    corrections = tmp_path / "corrections.jsonl"
    row = {"sentiment": "negative", "intent": None, "severity": None, "aspects": None}
    rows = [{"text": f"味道绝绝子第{number}回", **row} for number in range(20)]
    corrections.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    command = ["--data", str(training_data), "--out", str(tmp_path / "linear.npz")]

    assert main([*command, "--extra", str(corrections)]) == 0

    corrected = load(tmp_path / "linear.npz")
    (label,) = corrected.read(["味道绝绝子第99回"])
    assert label.sentiment == "negative"
    assert corrected.version != load(model_file).version


def test_a_mention_that_stands_in_the_corrections_too_is_learnt_once_and_as_it_was_read_one_by_one(
    training_data: Path, model_file: Path, tmp_path: Path
) -> None:
    rows = (training_data / "mentions" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    corrections, found = tmp_path / "corrections.jsonl", tmp_path / "linear.npz"
    corrections.write_text(
        "\n".join(json.dumps({**json.loads(row), "sentiment": "neutral"}, ensure_ascii=False) for row in rows[::2]),
        encoding="utf-8",
    )

    assert main(["--data", str(training_data), "--extra", str(corrections), "--out", str(found)]) == 0

    assert found.read_bytes() == model_file.read_bytes()


def test_training_without_data_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "x.npz")]) == 1
    assert "train.jsonl" in capsys.readouterr().err


def test_a_number_is_a_number_whichever_it_is(classifier: LinearClassifier) -> None:
    one, other = classifier.probabilities(["咖啡12块", "咖啡95块"])["sentiment"]

    assert one.tolist() == other.tolist()
