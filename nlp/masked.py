"""Words are hidden and guessed from those around them: so an encoder learns a language, without labels (Devlin et al.,
BERT, 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlp.base import SPECIALS
from nlp.network import Network

UNKNOWN = SPECIALS.index("<unk>")
"""Stands where a piece is hidden: the vocabulary has no mark of its own for that, and hardly any text has this one."""

HIDDEN, SWAPPED = 0.8, 0.1
"""Of the pieces to be guessed, so many are hidden and so many look like others; the rest stays as it is."""


class Guesser(nn.Module):
    """Guesses pieces from the states of their places. What it learns is thrown away; what the encoder learns stays."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        # In a list, so that the network's weights are not the guesser's own, too.
        self._embeddings = [network.encoder.embeddings.word_embeddings]
        n_words, hidden = self._embeddings[0].weight.shape
        self.middle = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
        self.bias = nn.Parameter(torch.zeros(n_words))

    def surprise(self, states: Tensor, pieces: Tensor) -> Tensor:
        """Mean log loss over m places, none where there are none; states (m, hidden), pieces (m)."""
        found = functional.linear(self.middle(states), self._embeddings[0].weight, self.bias)
        return functional.cross_entropy(found.float(), pieces, reduction="sum") / max(1, len(pieces))


def hide(ids: Tensor, mask: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The pieces (n, longest) with a share of those that say something hidden, at least one of them, and the places of
    these, counted through the rows."""
    flat = ids.flatten()
    telling = (mask.flatten() > 0) & (flat >= len(SPECIALS))
    n_telling = int(telling.sum())
    n = min(n_telling, int(share * n_telling) + 1)
    chance = torch.rand(flat.shape, device=ids.device).masked_fill(~telling, -1)
    places = chance.topk(n).indices
    dice = torch.rand(n, device=ids.device)
    others = flat[telling][torch.randint(max(1, n_telling), (n,), device=ids.device)]
    put = torch.where(dice < HIDDEN, UNKNOWN, torch.where(dice < HIDDEN + SWAPPED, others, flat[places]))
    return flat.scatter(0, places, put).view(ids.shape), places
