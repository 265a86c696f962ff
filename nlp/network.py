"""The network: one encoder; every head looks at the words with a query of its own, all in one pass.

A head's view of a text is the mean of the word states, weighted by how well they answer the head's query;
sentiment, intent and severity also see the first token. Each aspect has two questions: whether the text
speaks of it, and how (its polarity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from index.models import ASPECTS
from nlp.heads import INTENTS, SENTIMENTS, SEVERITIES, SLICES

if TYPE_CHECKING:
    from transformers import BertModel

N_CLASSES = {"sentiment": len(SENTIMENTS), "intent": len(INTENTS), "severity": len(SEVERITIES)}
DROPOUT = 0.1


@dataclass(frozen=True, slots=True)
class Logits:
    """Per text: sentiment (n, 3), intent (n, 6), severity (n, 3), aspects (n, 16), polarity (n, 16, 3)."""

    sentiment: Tensor
    intent: Tensor
    severity: Tensor
    aspects: Tensor
    polarity: Tensor

    @classmethod
    def of(cls, row: Tensor) -> Logits:
        parts = {head: row[:, place] for head, place in SLICES.items()}
        parts["polarity"] = parts["polarity"].reshape(-1, len(ASPECTS), len(SENTIMENTS))
        return cls(**parts)


def make_encoder(
    *, n_words: int, hidden: int, n_layers: int, n_heads: int, inner: int, eps: float, n_places: int, n_types: int
) -> BertModel:
    """An encoder of these sizes without weights. inner: width of the feed-forward layers; n_places: longest text."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=n_words,
        hidden_size=hidden,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        intermediate_size=inner,
        layer_norm_eps=eps,
        # Drawing dropout masks is a fifth of a training step on a CPU; the heads have a dropout of their own.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
        max_position_embeddings=n_places,
        type_vocab_size=n_types,
    )
    # On a CPU plain attention is as fast as the fused one for texts this short.
    config._attn_implementation = "eager"
    return BertModel(config, add_pooling_layer=False)


class Network(nn.Module):
    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        hidden = encoder.config.hidden_size
        self.encoder = encoder
        # Queries of nothing: every head begins with the plain mean of the words.
        self.queries = nn.Parameter(torch.zeros(len(N_CLASSES) + len(ASPECTS), hidden))
        self.dropout = nn.Dropout(DROPOUT)
        self.classes = nn.ModuleDict({head: nn.Linear(2 * hidden, n) for head, n in N_CLASSES.items()})
        self.aspect = nn.Parameter(torch.randn(len(ASPECTS), hidden) * 0.02)
        self.aspect_bias = nn.Parameter(torch.full((len(ASPECTS),), -2.5))
        self.polarity = nn.Linear(hidden, len(SENTIMENTS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, N_LOGITS) of texts given as piece numbers (n, longest) with a mask of 1 for every piece."""
        return self.judged(self.words(ids, mask), mask)

    def words(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What every piece is in its text (n, longest, hidden)."""
        states: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def judged(self, words: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, N_LOGITS) from what words() gives."""
        answers = words @ self.queries.T / self.queries.shape[1] ** 0.5
        answers = answers.float().masked_fill(mask[:, :, None] == 0, float("-inf"))
        views = self.dropout(answers.softmax(dim=1).transpose(1, 2).to(words.dtype) @ words).float()
        first = self.dropout(words[:, 0]).float()
        found = [self.classes[head](torch.cat([views[:, place], first], dim=1)) for place, head in enumerate(N_CLASSES)]
        of_aspects = views[:, len(N_CLASSES) :]
        found.append((of_aspects * self.aspect).sum(dim=2) + self.aspect_bias)
        found.append(self.polarity(of_aspects).flatten(1))
        return torch.cat([part.float() for part in found], dim=1)
