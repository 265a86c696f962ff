"""Rounding: what it leaves alone, what it costs, and that it costs less where the inputs are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nlp.export import in_float32
from nlp.heads import Floats
from nlp.network import Network
from nlp.quantise import Inputs, centred, damping, quantised, rounded, watched
from tests.nlp import tiny


def inputs_of(words: Floats) -> Inputs:
    return Inputs(words.min(axis=0), words.max(axis=0), (words.T @ words).astype(np.float64))


def watched_on_texts(network: Network) -> dict[str, Inputs]:
    return watched(network, lambda: in_float32(network, tiny.tokenizer(), tiny.manifest()).logits(tiny.TEXTS))


def a_network_with_large_places() -> Network:
    network = tiny.network()
    with torch.no_grad():
        for layer in network.encoder.encoder.layer:
            layer.attention.output.LayerNorm.bias[5] = 9.0
            layer.output.LayerNorm.bias[3] = -7.0
    return network


def test_damping_leaves_what_is_usual_alone() -> None:
    largest = np.ones(200, dtype=np.float32)
    largest[3] = 50
    factors = damping(largest)
    assert factors[3] == pytest.approx(1 / 50)
    assert (np.delete(factors, 3) == 1).all()


def test_quantising_is_off_by_at_most_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    weight[:, 4] = 0
    whole, scale = quantised(weight)
    assert np.abs(whole * scale - weight).max() <= scale.max() / 2 + 1e-6
    assert (whole[:, 4] == 0).all()


def test_weights_rounded_for_inputs_that_go_together_cost_less_than_each_rounded_alone() -> None:
    chance = np.random.default_rng(0)
    words = (chance.normal(size=(500, 6)) @ chance.normal(size=(6, 48))).astype(np.float32)
    weight = chance.normal(size=(48, 20)).astype(np.float32)
    alone, scale = quantised(weight)
    together, same_scale = rounded(weight, inputs_of(words).products)
    assert (scale == same_scale).all()
    lost, lost_alone = (np.square(words @ (whole * scale - weight)).sum() for whole in (together, alone))
    assert lost < 0.3 * lost_alone


def test_where_inputs_have_nothing_to_do_with_each_other_each_weight_is_rounded_alone() -> None:
    weight = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    assert (rounded(weight, np.eye(16))[0] == quantised(weight)[0]).all()


def test_an_input_that_no_text_brings_does_no_harm() -> None:
    weight = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    whole, scale = rounded(weight, np.zeros((16, 16)))
    assert np.abs(whole * scale - weight).max() <= scale.max() / 2 + 1e-6


def test_every_input_seen_has_a_whole_number_and_zero_stays_zero() -> None:
    words = np.random.default_rng(0).normal(1, 2, size=(100, 8)).astype(np.float32)
    step, zero = inputs_of(words).step_and_zero()
    whole = np.rint(np.append(words, 0) / step) + zero
    assert whole.min() >= 0
    assert whole.max() <= 255
    assert np.abs((np.clip(whole, 0, 255) - zero) * step - np.append(words, 0)).max() <= step * 0.51
    assert whole[-1] == zero


def test_centring_changes_no_reading_and_brings_the_inputs_close_to_each_other() -> None:
    network = a_network_with_large_places()
    before = watched_on_texts(network)
    moved = centred(network, before)
    one, other = (in_float32(each, tiny.tokenizer(), tiny.manifest()).logits(tiny.TEXTS) for each in (network, moved))
    assert np.abs(one - other).max() < 1e-3
    after = watched_on_texts(moved)
    behind_norms = [name for name in after if name.endswith(("query", "intermediate.dense"))]
    assert len(behind_norms) == 4
    for name in behind_norms:
        assert np.abs(after[name].least + after[name].most).max() < 1e-3 * before[name].largest.max()
        assert after[name].largest.max() <= before[name].largest.max()
