"""Counts in five-minute slots, a row a source, with the times at which a source could not be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from index.models import BEIJING_OFFSET

SLOT_S = 300
SLOT = timedelta(seconds=SLOT_S)
DAY_SLOTS = 24 * 3600 // SLOT_S
WEEK_SLOTS = 7 * DAY_SLOTS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def slot_of(at: datetime) -> int:
    """Number of the slot that holds this instant, counted from 1970."""
    return int(at.timestamp()) // SLOT_S


def end_slot(at: datetime) -> int:
    """The first slot that lies wholly after `at`; a window ends there, so the running slot counts."""
    return math.ceil(at.timestamp() / SLOT_S)


def slot_start(slot: int) -> datetime:
    return datetime.fromtimestamp(slot * SLOT_S, UTC)


@lru_cache(maxsize=100_000)
def slot_of_key(key: str) -> int:
    """The slot of a `five_minutes` or `day` key of Store.group, which are Beijing time."""
    local = datetime.fromisoformat(key).replace(tzinfo=UTC)
    return slot_of(local - BEIJING_OFFSET)


@dataclass(frozen=True)
class Series:
    """Matching mentions a slot. down marks slots in which nothing can be said of a source.

    All arrays have a row a source and a column a slot from `first` on.
    """

    first: int
    sources: tuple[str, ...]
    counts: Ints
    severe: Ints
    words: Ints
    down: Bools
    sums: Mapping[str, Ints] = field(init=False)

    def __post_init__(self) -> None:
        parts = {"counts": self.counts, "severe": self.severe, "words": self.words, "down": self.down}
        sums = {name: _running(part) for name, part in parts.items()}
        object.__setattr__(self, "sums", sums)

    @property
    def until(self) -> int:
        return self.first + int(self.counts.shape[1])

    def total(self, what: str, start: Any, stop: Any) -> Ints:
        """Sums over [start, stop) for each source; slots may be numbers or equally long arrays."""
        sums = self.sums[what]
        return np.asarray(sums[:, self._place(stop)] - sums[:, self._place(start)])

    def _place(self, slot: Any) -> Any:
        """Column of a slot, kept inside the series. Plain numbers take a short cut: trials ask millions of times."""
        last = self.counts.shape[1]
        if isinstance(slot, int):
            return min(max(slot - self.first, 0), last)
        return np.minimum(np.maximum(slot - self.first, 0), last)


def _running(part: npt.NDArray[Any]) -> Ints:
    sums = np.zeros((part.shape[0], part.shape[1] + 1), dtype=np.int64)
    np.cumsum(part, axis=1, out=sums[:, 1:])
    return sums
