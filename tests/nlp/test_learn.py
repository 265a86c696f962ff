"""A stage of training learns, can be cut off anywhere, and says when its labels are broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlp import learn as learning
from nlp.classifier import NlpError
from nlp.examples import Examples, read_mentions
from nlp.heads import N_LOGITS
from nlp.learn import Stage, learn, logits_of
from nlp.network import Logits
from tests.nlp import tiny

STAGE = Stage("tiny", lr=3e-3, n_epochs=4, seed=5)


def test_it_learns_what_the_rows_say(rows: Examples, tmp_path: Path) -> None:
    network = tiny.network()

    learn(network, tiny.tokenizer(), rows, STAGE, tmp_path, print)

    found = Logits.of(logits_of(network, tiny.tokenizer(), rows.texts))
    right = found.intent.numpy().argmax(axis=1) == rows.intent.argmax(axis=1)
    assert right.mean() > 0.9


def test_it_learns_from_pairs_of_readings_too(rows: Examples, tmp_path: Path) -> None:
    network = tiny.network()

    learn(network, tiny.tokenizer(), rows, replace(STAGE, agreement=1.0), tmp_path, print)

    found = Logits.of(logits_of(network, tiny.tokenizer(), rows.texts))
    right = found.intent.numpy().argmax(axis=1) == rows.intent.argmax(axis=1)
    assert right.mean() > 0.9


def test_it_learns_to_guess_hidden_words_beside_the_labels(rows: Examples, tmp_path: Path) -> None:
    network = tiny.network()
    stage = replace(STAGE, masked=0.2, n_epochs=12, tokens_at_once=256)
    learn(network, tiny.tokenizer(), rows, stage, tmp_path, print)

    found = Logits.of(logits_of(network, tiny.tokenizer(), rows.texts))
    right = found.intent.numpy().argmax(axis=1) == rows.intent.argmax(axis=1)
    assert right.mean() > 0.8


def test_every_text_is_read_beside_its_twin_under_another_brand_name(
    rows: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows.take(range(20))
    branded = replace(rows, texts=[f"华为{text}" for text in rows.texts])
    stage = replace(STAGE, agreement=1.0, share_swapped=0.0, share_composed=0.0)
    roughen, read = learning._roughened, []

    def roughen_and_note(*arguments: Any) -> str:
        read.append(roughen(*arguments))
        return read[-1]

    monkeypatch.setattr(learning, "_roughened", roughen_and_note)
    for batch in learning._batches(branded, stage, 0, tiny.tokenizer()):
        assert len(batch.ids) == 2 * len(batch.examples)
    assert all("华为" in text for text in read[:20])
    assert len(read) == 40
    assert not any("华为" in text for text in read[20:])


@given(st.integers(0, 2**32 - 1))
def test_readings_differ_by_nothing_only_where_they_are_the_same(seed: int) -> None:
    one, other = (
        Logits.of(torch.randn(3, N_LOGITS, generator=torch.Generator().manual_seed(seed + n))) for n in range(2)
    )

    assert learning._difference(one, one).item() == 0
    assert learning._difference(one, other).item() > 0
    assert learning._difference(one, other).item() == pytest.approx(learning._difference(other, one).item(), rel=1e-4)


@pytest.mark.parametrize("stage", [STAGE, replace(STAGE, masked=0.2)])
def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    rows: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    whole, cut = tiny.network(), tiny.network()
    learn(whole, tiny.tokenizer(), rows, stage, tmp_path, print)
    monkeypatch.setattr(learning, "SAVE_EVERY_S", 0)
    keep = learning._save
    n_saved = 0

    def keep_and_die(*arguments: object) -> None:
        nonlocal n_saved
        keep(*arguments)  # type: ignore[arg-type]
        n_saved += 1
        if n_saved == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(learning, "_save", keep_and_die)
    with pytest.raises(KeyboardInterrupt):
        learn(cut, tiny.tokenizer(), rows, stage, tmp_path, print)

    again = tiny.network(seed=9)
    learn(again, tiny.tokenizer(), rows, stage, tmp_path, print)

    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_labels_that_are_no_numbers_stop_it(rows: Examples, tmp_path: Path) -> None:
    broken = rows.take(range(8))
    broken.intent[2] = np.nan

    with pytest.raises(NlpError, match="tiny 第 1 步"):
        learn(tiny.network(), tiny.tokenizer(), broken, STAGE, tmp_path, print)


def test_logits_come_in_the_order_of_the_texts() -> None:
    texts = ["今天天气真好啊太难喝了差评请问几点关门", "好", "请问几点关门"]
    network = tiny.network()

    together = logits_of(network, tiny.tokenizer(), texts)

    for row, text in enumerate(texts):
        alone = logits_of(network, tiny.tokenizer(), [text])[0]
        assert torch.allclose(together[row], alone, atol=0.1)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "TOKENS_AT_ONCE", 128)


@pytest.fixture
def rows(training_data: Path) -> Examples:
    return read_mentions(training_data / "mentions" / "train.jsonl")


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_takes_its_share_of_every_place_and_leaves_the_mean(share: float) -> None:
    torch.manual_seed(3)
    states = torch.ones(4000, 17)

    dropped = learning._Dropout(share).train()(states)

    gone = (dropped == 0).float()
    assert gone.mean().item() == pytest.approx(share, abs=0.01)
    assert gone.mean(dim=0).numpy() == pytest.approx(np.full(17, share), abs=0.04)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)


def test_no_place_is_dropped_when_the_network_reads() -> None:
    states = torch.randn(5, 3)

    assert torch.equal(learning._Dropout(0.1).eval()(states), states)
