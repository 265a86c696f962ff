"""The transformer as the service reads with it, on a tiny network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.models import ASPECTS
from nlp import transformer
from nlp.batches import Numbers
from nlp.heads import N_LOGITS, SENTIMENTS, SLICES, Floats
from nlp.linear import LinearClassifier
from nlp.linear import load as load_linear
from nlp.manifest import Manifest
from nlp.transformer import TransformerClassifier, load
from settings import ROOT
from tests.nlp import tiny

load_once = cache(load)


@pytest.fixture
def linear(model_file: Path) -> LinearClassifier:
    return load_linear(model_file)


class Watched:
    """A reader that notes what it is given and answers with the same row for every text."""

    def __init__(self, row: Floats | None = None) -> None:
        self.row = np.zeros(N_LOGITS, dtype=np.float32) if row is None else row
        self.ids: list[Numbers] = []
        self.masks: list[Numbers] = []

    def __call__(self, ids: Numbers, mask: Numbers) -> Floats:
        self.ids.append(ids)
        self.masks.append(mask)
        return np.tile(self.row, (len(ids), 1))

    @property
    def n_texts(self) -> int:
        return sum(map(len, self.ids))


def classifier(
    reader: Callable[[Numbers, Numbers], Floats],
    tokens: int = 64,
    linear: LinearClassifier | None = None,
    **changes: object,
) -> TransformerClassifier:
    tokenizer = type(tiny.tokenizer()).from_str(tiny.tokenizer().to_str())
    tokenizer.no_truncation()
    return TransformerClassifier(tiny.manifest(**changes), tokenizer, reader, tokens_at_once=tokens, linear=linear)


def row(**logits: list[float]) -> Floats:
    made = np.zeros(N_LOGITS, dtype=np.float32)
    for head, values in logits.items():
        made[SLICES[head]][: len(values)] = values
    return made


def test_a_text_gets_the_same_logits_alone_and_in_a_batch_with_copies(tiny_model: Path) -> None:
    texts = ["太难喝了", "", "非常好", "太难喝了", "请问几点关门建议增加小杯多少钱", "非常好"]
    together = load(tiny_model).logits(texts)
    for text, found in zip(texts, together, strict=True):
        assert load(tiny_model).logits([text])[0] == pytest.approx(found, abs=1e-4)
    assert (together[0] == together[3]).all()


def test_no_texts_give_no_labels(tiny_model: Path) -> None:
    assert load_once(tiny_model).read([]) == []


@given(texts=st.lists(st.text(), max_size=5))
def test_any_texts_can_be_read(tiny_model: Path, texts: list[str]) -> None:
    assert len(load_once(tiny_model).read(texts)) == len(texts)


def test_half_a_surrogate_pair_can_be_read(tiny_model: Path) -> None:
    assert len(load_once(tiny_model).read(["好\ud83d喝"])) == 1


def test_probabilities_of_a_head_add_up_to_one(tiny_model: Path) -> None:
    probable = load_once(tiny_model).probabilities(["太难喝了", ""])
    for head in ("sentiment", "intent", "severity"):
        assert probable[head].sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert probable["aspects"].shape == (2, len(ASPECTS))


def test_labels_are_the_likeliest_classes_with_their_probabilities() -> None:
    logits = row(sentiment=[2, 0, 0], intent=[0, 0, 3], severity=[0, 1], aspects=[4])
    labels = classifier(Watched(logits)).read(["好"])[0]
    assert (labels.sentiment, labels.intent, labels.severity) == ("negative", "question", 1)
    assert labels.sentiment_probability == pytest.approx(np.exp(2) / (np.exp(2) + 2), abs=1e-5)
    assert labels.model_version == "bert-tiny"


def test_an_aspect_that_is_spoken_of_more_likely_than_not_is_named_with_its_own_polarity() -> None:
    logits = row(aspects=[-0.1, 1.0, *[-1.0] * (len(ASPECTS) - 2)], polarity=[0, 0, 0, 0, 0, 5])
    aspects = classifier(Watched(logits)).read(["好"])[0].aspects
    assert [(aspect.name, aspect.polarity) for aspect in aspects] == [(ASPECTS[1], "positive")]
    assert aspects[0].probability == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5)


@pytest.mark.parametrize(
    ("shares", "severity"),
    [((0.6, 0.2, 0.2), 0), ((0.4, 0.3, 0.3), 1), ((0.48, 0.04, 0.48), 1), ((0.3, 0.1, 0.6), 2)],
)
def test_a_severity_is_given_that_is_reached_more_likely_than_not(
    shares: tuple[float, float, float], severity: int
) -> None:
    labels = classifier(Watched(row(severity=list(np.log(shares))))).read(["好"])[0]
    assert labels.severity == severity
    assert labels.severity_probability == pytest.approx(shares[severity], abs=1e-5)


def test_a_temperature_makes_a_head_less_sure() -> None:
    logits = row(sentiment=[2, 0, 0], intent=[2])
    plain, warm = (
        classifier(Watched(logits), temperature={"sentiment": temperature}).read(["好"])[0] for temperature in (1, 2)
    )
    assert warm.sentiment_probability < plain.sentiment_probability
    assert warm.intent_probability == plain.intent_probability


def test_the_linear_model_can_outvote_a_transformer_that_is_not_sure(linear: LinearClassifier) -> None:
    text = "太难喝了"
    said = linear.read([text])[0]
    logits = row(sentiment=[0.1 * (each != said.sentiment) for each in SENTIMENTS])
    alone, pooled = (
        classifier(Watched(logits), linear=model, linear_share={"sentiment": share}).read([text])[0]
        for model, share in ((linear, 0.0), (linear, 1.0))
    )
    assert alone.sentiment != said.sentiment
    assert pooled.sentiment == said.sentiment


def test_a_linear_model_trained_at_home_has_a_part_in_the_version(linear: LinearClassifier) -> None:
    linear = copy(linear)
    linear.version = "linear-1+0badcafe"
    assert classifier(Watched(), linear=linear, linear_share={"intent": 0.5}).version == "bert-tiny+0badcafe"
    assert classifier(Watched(), linear=linear).version == "bert-tiny"


def test_a_head_without_a_share_is_the_transformer_s_own(linear: LinearClassifier) -> None:
    logits = row(intent=[1.0, 0.5], aspects=[0.3])
    alone = classifier(Watched(logits)).probabilities(["太难喝了"])
    pooled = classifier(Watched(logits), linear=linear, linear_share={"sentiment": 1.0}).probabilities(["太难喝了"])
    for head in ("intent", "severity", "aspects"):
        assert (alone[head] == pooled[head]).all()


def test_identical_texts_are_read_once_also_hours_apart() -> None:
    reader = Watched()
    reads = classifier(reader)
    reads.read(["太难喝了", "太难喝了", "太難喝了"])
    assert reader.n_texts == 1
    reads.read(["太难喝了", "非常好"])
    assert reader.n_texts == 2


def test_only_so_many_texts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "N_REMEMBERED", 3)
    reader = Watched()
    reads = classifier(reader)
    reads.read(list("太难喝了"))
    reads.read(["太"])
    assert reader.n_texts == 5
    assert len(reads.read(list("今天气真好啊"))) == 6


def test_a_batch_holds_no_more_tokens_than_allowed_and_texts_of_like_length() -> None:
    reader = Watched()
    texts = [tiny.CHARACTERS[start : start + length] for length in (2, 20, 5) for start in range(12)]
    classifier(reader, tokens=64).read(texts)
    assert all(ids.size <= 64 for ids in reader.ids)
    assert reader.n_texts == len(set(texts))
    padded = sum(mask.size - mask.sum() for mask in reader.masks)
    assert padded < 0.1 * sum(mask.sum() for mask in reader.masks)


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    reader = Watched()
    text = "太" * 60 + "难" * 60
    classifier(reader, max_tokens=16).read([text])
    first, last = (tiny.tokenizer().token_to_id(piece) for piece in "太难")
    ids = reader.ids[0][0].tolist()
    assert len(ids) == 16
    assert ids[0] == 0
    assert ids[2:12] == [first] * 10
    assert ids[12:] == [last] * 3 + [2]


def test_what_is_padding_does_not_change_what_is_read(tiny_model: Path) -> None:
    reader = transformer._cpu_reader(tiny_model / "mentions.onnx")
    ids = np.array([[0, 5, 6, 7, 2]], dtype=np.int32)
    mask = np.ones_like(ids)
    wide_ids = np.pad(ids, ((0, 0), (0, 9)), constant_values=1)
    wide = reader(wide_ids, np.pad(mask, ((0, 0), (0, 9))))
    assert wide == pytest.approx(reader(ids, mask), abs=0.1)


def test_several_threads_read_the_same_as_one(tiny_model: Path) -> None:
    expected = load(tiny_model).logits(tiny.TEXTS)
    shared = load(tiny_model)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: shared.logits(tiny.TEXTS), range(16)))
    assert all((one == expected).all() for one in found)


def test_reading_on_a_cpu_loads_neither_torch_nor_transformers(tiny_model: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from nlp.transformer import load;"
        f"load(Path({str(tiny_model)!r}), device='cpu').read(['好']);"
        "sys.exit(bool({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_manifest_survives_being_written(tiny_model: Path) -> None:
    text = (tiny_model / "mentions.json").read_text(encoding="utf-8")
    assert Manifest.model_validate_json(text).model_copy(update={"sha256": {}}) == tiny.manifest()


def test_a_processor_without_vnni_reads_the_same(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = load(tiny_model, device="cpu").logits(tiny.TEXTS)
    other = tmp_path / "cpuinfo"
    other.write_text("flags : sse sse2 avx2", encoding="ascii")
    monkeypatch.setattr(transformer, "CPU_INFO", other)

    found = load(tiny_model, device="cpu").logits(tiny.TEXTS)

    assert np.allclose(found, usual, atol=0.05)
