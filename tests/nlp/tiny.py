"""A network that is small enough to be made and exported while a test waits; it has learnt nothing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from nlp.manifest import Manifest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from nlp.network import Network

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
CHARACTERS = "太难喝了差评退款不给办要投诉完拉肚子进医院非常好推荐请问几点关门建议增加小杯多少钱哪里买今天气真啊第次"
TEXTS = tuple(CHARACTERS[start : start + length] for length in (2, 7, 19) for start in range(0, 40, 4))


def manifest(**changes: object) -> Manifest:
    return Manifest.model_validate({"version": "bert-tiny", "max_tokens": 32} | changes)


@cache
def tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = [(piece, 0.0) for piece in SPECIALS] + [(piece, -5.0) for piece in "▁" + CHARACTERS]
    made = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    # As after training: the service has to lift it.
    made.enable_truncation(8)
    return made


def network(seed: int = 0) -> Network:
    import torch

    from nlp.network import Network, make_encoder

    torch.manual_seed(seed)
    encoder = make_encoder(
        n_words=tokenizer().get_vocab_size(),
        hidden=64,
        n_layers=2,
        n_heads=4,
        inner=128,
        eps=1e-12,
        n_places=48,
        n_types=2,
    )
    made = Network(encoder).eval()
    with torch.no_grad():
        made.queries.normal_()
        made.aspect.normal_()
        made.aspect_bias.zero_()
    return made
