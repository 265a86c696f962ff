"""Text -> sparse features: hashed windows of one to four characters, weighted and normalised.

Windows are taken over the code points of a whole batch at once, so the cost is a few numpy passes.
Each window is hashed into one of N_BUCKETS; a model keeps only the buckets that it uses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LONGEST = 4
BUCKET_BITS = 23
N_BUCKETS = 1 << BUCKET_BITS
FEATURES_VERSION = 1
"""Another number means that the same text gives other buckets: weights must be trained anew."""

_EDGE = "\x02"
_DIGIT = re.compile(r"[0-9]")
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)


def buckets(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of every window in every text the row (index of its text) and its bucket; each text has an edge mark round it.

    To windows a number is a number: 0 stands for every digit.
    """
    joined = _DIGIT.sub("0", "".join(f"{_EDGE}{text}{_EDGE}" for text in texts))
    codes = np.frombuffer(joined.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    lengths = np.fromiter((len(text) + 2 for text in texts), dtype=np.int64, count=len(texts))
    row_of = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
    rows, hashes = [], []
    state = np.zeros(len(codes), dtype=np.uint64)
    for width in range(1, LONGEST + 1):
        n = len(codes) - width + 1
        if n <= 0:
            break
        state = (state[:n] + codes[width - 1 :] + np.uint64(width)) * _STEP
        state ^= state >> np.uint64(29)
        inside = row_of[:n] == row_of[width - 1 :]
        rows.append(row_of[:n][inside])
        hashes.append(((state[inside] * _MIX) >> np.uint64(64 - BUCKET_BITS)).astype(np.int32))
    if not rows:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
    return np.concatenate(rows), np.concatenate(hashes)


def matrix(texts: Sequence[str], column_of: NDArray[np.int32], idf: NDArray[np.float32]) -> csr_matrix:
    """Rows of unit length: (1 + log count) x idf of the kept buckets. column_of maps a bucket to its column or -1."""
    from scipy.sparse import csr_matrix

    rows, hashed = buckets(texts)
    columns = column_of[hashed]
    kept = columns >= 0
    rows, columns = rows[kept], columns[kept]
    counts = csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(len(texts), len(idf)), dtype=np.float32
    )
    counts.sum_duplicates()
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    squares = np.add.reduceat(
        np.append(counts.data**2, np.float32(0)), np.minimum(counts.indptr[:-1], len(counts.data))
    )
    squares[counts.indptr[:-1] == counts.indptr[1:]] = 1
    counts.data /= np.repeat(np.sqrt(squares), np.diff(counts.indptr))
    return counts
