"""Texts of like lengths read together: which rows make a batch, and its pieces as a rectangle."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
PAD = 1


def batches(lengths: Sequence[int], tokens: int, *, padded_to: int = 1) -> Iterator[list[int]]:
    """Rows in order of length, so many together as fill at most so many tokens when padded."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * _up_to(lengths[row], padded_to) > tokens:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def padded(encoded: Sequence[Sequence[int]], *, padded_to: int = 1) -> tuple[Numbers, Numbers]:
    """Piece numbers (n, longest) and a mask of 1 for every piece; longest is a multiple of padded_to."""
    longest = _up_to(max(map(len, encoded)), padded_to)
    ids = np.full((len(encoded), longest), PAD, dtype=np.int32)
    mask = np.zeros((len(encoded), longest), dtype=np.int32)
    for row, of_one in enumerate(encoded):
        ids[row, : len(of_one)] = of_one
        mask[row, : len(of_one)] = 1
    return ids, mask


def _up_to(length: int, step: int) -> int:
    return math.ceil(length / step) * step
