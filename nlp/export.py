"""Writes a trained network as the files that the service reads with, and says what int8 costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nlp import manifest as manifests
from nlp.classifier import NlpError
from nlp.graph import build
from nlp.manifest import Manifest
from nlp.quantise import Inputs, centred, watched
from nlp.transformer import TOKENS_ON_CPU, TransformerClassifier

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from nlp.linear import LinearClassifier
    from nlp.network import Network

MOST_BYTES_SHIPPED = 40_000_000


def export(
    network: Network,
    tokenizer: Tokenizer,
    manifest: Manifest,
    folder: Path,
    texts: Sequence[str],
    *,
    most_bytes: int | None = None,
) -> Manifest:
    """Writes mentions.onnx, tokenizer.json and, last, mentions.json with the digests of the two; returns the latter.

    texts: some hundred real ones, to see what the layers are given.
    Raises NlpError, and leaves the folder as it is, if the first two are larger than most_bytes.
    """
    network = centred(network, _inputs(network, tokenizer, manifest, texts))
    weights = build(network, _inputs(network, tokenizer, manifest, texts)).SerializeToString()
    vocabulary = _plain(tokenizer).to_str(pretty=True).encode()
    size = len(weights) + len(vocabulary)
    if most_bytes is not None and size > most_bytes:
        raise NlpError(
            f"模型共 {size:,} 字节, 超过随程序发布的上限 {most_bytes:,}, 没有写入 {folder}; "
            "请换更小的编码器或更少的词片, 或用 --out 写到别处 (如 data/model)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Until the new digests stand, files of two makings must not look like one model.
    (folder / manifests.FILE).unlink(missing_ok=True)
    (folder / manifests.WEIGHTS).write_bytes(weights)
    (folder / manifests.TOKENIZER).write_bytes(vocabulary)
    return manifests.write(manifest, folder)


def in_float32(
    network: Network, tokenizer: Tokenizer, manifest: Manifest, linear: LinearClassifier | None = None
) -> TransformerClassifier:
    """The network as it was trained, to be measured beside its int8 files."""
    from nlp.torch_reader import reader

    return TransformerClassifier(
        manifest, _plain(tokenizer), reader(network.eval(), "cpu"), tokens_at_once=TOKENS_ON_CPU, linear=linear
    )


def changed(one: TransformerClassifier, other: TransformerClassifier, texts: Sequence[str]) -> Mapping[str, float]:
    """Per head the share of the texts of which the two say something else."""
    pairs = list(zip(one.read(texts), other.read(texts), strict=True))
    shares = {
        head: sum(getattr(first, head) != getattr(second, head) for first, second in pairs) / len(pairs)
        for head in ("sentiment", "intent", "severity")
    }
    named = [({a.name for a in first.aspects}, {a.name for a in second.aspects}) for first, second in pairs]
    shares["aspects"] = sum(first != second for first, second in named) / len(pairs)
    spoken = [
        ({a.name: a.polarity for a in first.aspects}, {a.name: a.polarity for a in second.aspects})
        for first, second in pairs
    ]
    both = [first[name] != second[name] for first, second in spoken for name in first.keys() & second.keys()]
    shares["polarity"] = sum(both) / len(both) if both else 0.0
    return shares


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that neither cuts nor pads."""
    plain = type(tokenizer).from_str(tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    return plain


def _inputs(network: Network, tokenizer: Tokenizer, manifest: Manifest, texts: Sequence[str]) -> dict[str, Inputs]:
    return watched(network, lambda: in_float32(network, tokenizer, manifest).logits(texts))
