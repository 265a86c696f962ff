"""Hidden words: which are hidden, and that they can be guessed from the others."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlp.base import SPECIALS
from nlp.masked import UNKNOWN, Guesser, hide
from tests.nlp import tiny

PAD = SPECIALS.index("<pad>")


@given(st.integers(1, 6), st.integers(3, 30), st.floats(0.01, 1.0), st.integers(0, 9999))
def test_only_pieces_that_say_something_are_hidden(n: int, longest: int, share: float, seed: int) -> None:
    torch.manual_seed(seed)
    ids = torch.randint(len(SPECIALS), 40, (n, longest))
    ids[:, 0], ids[:, -1] = 0, PAD
    mask = (ids != PAD).long()

    given_, places = hide(ids, mask, share)

    n_telling = n * (longest - 2)
    assert len(places) == len(set(places.tolist())) == min(n_telling, int(share * n_telling) + 1)
    assert torch.equal(given_[:, 0], ids[:, 0])
    assert torch.equal(given_[:, -1], ids[:, -1])
    changed = (given_ != ids).flatten().nonzero().flatten()
    assert set(changed.tolist()) <= set(places.tolist())


def test_most_of_them_cannot_be_seen_and_some_stay_as_they_are() -> None:
    torch.manual_seed(1)
    ids = torch.randint(len(SPECIALS), 40, (200, 50))

    given_, places = hide(ids, torch.ones_like(ids), 0.5)

    seen, true = given_.flatten()[places], ids.flatten()[places]
    assert (seen == UNKNOWN).float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (seen == true).float().mean().item() == pytest.approx(0.1, abs=0.02)


def test_a_text_of_nothing_has_nothing_to_guess() -> None:
    ids = torch.tensor([[0, 2, PAD]])
    given_, places = hide(ids, (ids != PAD).long(), 0.2)
    assert torch.equal(given_, ids)
    assert Guesser(tiny.network()).surprise(torch.empty(0, 64), ids.flatten()[places]).item() == 0


def test_what_stands_around_a_word_tells_it() -> None:
    torch.manual_seed(2)
    network = tiny.network().train()
    guesser = Guesser(network)
    pairs = torch.tensor([[0, 5, 6, 2], [0, 7, 8, 2], [0, 9, 10, 2]]).repeat(20, 1)
    hidden = pairs.clone()
    hidden[:, 2] = UNKNOWN
    learner = torch.optim.Adam([*network.parameters(), *guesser.parameters()], lr=3e-3)

    def surprise() -> torch.Tensor:
        return guesser.surprise(network.words(hidden, torch.ones_like(hidden))[:, 2], pairs[:, 2])

    before = surprise().item()
    for _ in range(40):
        learner.zero_grad()
        surprise().backward()
        learner.step()
    assert surprise().item() < 0.2 < before


def test_the_weights_of_the_network_are_not_the_guessers_own() -> None:
    network = tiny.network()
    own = {id(parameter) for parameter in network.parameters()}
    assert not own & {id(parameter) for parameter in Guesser(network).parameters()}
