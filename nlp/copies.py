"""Near-copies: story keys under which copies find each other, and fold(), which joins mentions to stories.

The first key of a text is an exact hash of its own words; the other N_BANDS are MinHash bands over
character 3-grams. Two texts with a 3-gram Jaccard similarity of 0.7 share at least one band with a
probability of 90 %, of 0.8 with 99 %. A shared key only proposes a pair; fold() verifies it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial

import xxhash
from rensa import RMinHash

from index.models import Mention
from index.text import fold as fold_text
from nlp.clean import NAME, URL, own_words

N_BANDS = 12
ROWS_PER_BAND = 5
SAME_FROM = 0.7
"""Jaccard similarity of 3-gram sets from which two texts tell the same."""

FOLD_MIN_UNITS = 10
"""Two short texts that agree ("好喝") are two opinions, not a copy."""

MOST_COMPARED = 64
"""So many pairs are verified for one mention; more share a key only where spam fills a template."""

KEYS_VERSION = 1
"""Part of every key, with the version of the MinHash algorithm: keys of another making never meet."""

_SEED = 20261121
_NAMESPACE = f"{KEYS_VERSION}.{RMinHash.ALGORITHM_VERSION}".encode()
_UNIT = re.compile(r"[^\W_]+")


@lru_cache(maxsize=4096)  # asked for once to look up candidates and once to fold
def essence(text: str) -> str:
    """What counts when texts are compared: folded own words without addresses, @names, punctuation and blanks."""
    bare = NAME.sub(" ", URL.sub(" ", own_words(text)))
    return "".join(_UNIT.findall(fold_text(bare)))


@lru_cache(maxsize=4096)
def story_keys(text: str, *, min_chars: int = FOLD_MIN_UNITS) -> tuple[int, ...]:
    """Signed 64-bit keys, the exact one first; none for a text too short to be a copy of another."""
    bare = essence(text)
    if len(bare) < min_chars:
        return ()
    signature = RMinHash(num_perm=N_BANDS * ROWS_PER_BAND, seed=_SEED)
    signature.update(_grams(bare))
    digest = struct.pack(f"<{N_BANDS * ROWS_PER_BAND}I", *signature.digest())
    width = len(digest) // N_BANDS
    bands = (_key(b"band%d:" % band + digest[band * width : (band + 1) * width]) for band in range(N_BANDS))
    return (_key(b"text:" + bare.encode()), *bands)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the 3-gram sets of two texts, 0 to 1; 1 if both have the same essence."""
    return _jaccard(essence(one), essence(other))


def fold(
    batch: Sequence[Mention],
    *,
    candidates: Mapping[int, tuple[str, ...]],
    texts: Mapping[str, str],
    published: Mapping[str, datetime] | None = None,
    window: timedelta = timedelta.max,
    min_chars: int = FOLD_MIN_UNITS,
) -> list[Mention]:
    """The batch in its own order with story_id, is_copy and story_keys set.

    candidates is what Store.find_originals says of the keys of the batch; texts holds what those
    mentions say and published says when they were published. What lies further apart than the window is no
    copy: the same words a year later are a new event. Originals name their stories. Mentions are joined in
    the order in which they were published, so the first of a story in the batch is its original; one that
    the store has as an original already stays one, even if it is older.
    """
    owners = {key: list(ids) for key, ids in candidates.items()}
    known = {mention_id for ids in candidates.values() for mention_id in ids}
    essences = {mention_id: essence(text) for mention_id, text in texts.items()}
    moments = dict(published or {})
    done: dict[int, Mention] = {}
    for place in sorted(range(len(batch)), key=partial(_by_publication, batch)):
        mention = batch[place]
        keys = story_keys(mention.said, min_chars=min_chars)
        bare = essence(mention.said)
        original = (
            None
            if mention.id in known
            else _original(
                mention.id, keys, bare, owners, essences, partial(_within, moments, mention.published_at, window)
            )
        )
        done[place] = mention.model_copy(
            update={"story_id": original or mention.id, "is_copy": original is not None, "story_keys": keys}
        )
        if original is None:
            essences[mention.id] = bare
            moments[mention.id] = mention.published_at
            for key in keys:
                owners.setdefault(key, []).append(mention.id)
    return [done[place] for place in range(len(batch))]


def _within(moments: Mapping[str, datetime], at: datetime, window: timedelta, owner: str) -> bool:
    return owner not in moments or abs(moments[owner] - at) <= window


def _original(
    mention_id: str,
    keys: tuple[int, ...],
    bare: str,
    owners: Mapping[int, list[str]],
    essences: Mapping[str, str],
    near: Callable[[str], bool],
) -> str | None:
    """The id of the mention that said it first: any with the same essence, else the most similar one."""
    seen: set[str] = set()
    best, best_similarity = None, SAME_FROM
    for key in keys:
        for owner in owners.get(key, ()):
            if owner == mention_id or owner in seen or owner not in essences or not near(owner):
                continue
            if len(seen) == MOST_COMPARED:
                return best
            seen.add(owner)
            alike = _jaccard(bare, essences[owner])
            if alike == 1:
                return owner
            if alike >= best_similarity:
                best, best_similarity = owner, alike
    return best


def _by_publication(batch: Sequence[Mention], place: int) -> tuple[datetime, str, int]:
    return batch[place].published_at, batch[place].id, place


def _grams(bare: str) -> list[str]:
    return [bare[start : start + 3] for start in range(len(bare) - 2)]


def _jaccard(one: str, other: str) -> float:
    if one == other:
        return 1.0
    mine, theirs = set(_grams(one)), set(_grams(other))
    union = len(mine | theirs)
    return len(mine & theirs) / union if union else 0.0


def _key(named: bytes) -> int:
    """A signed 64-bit integer, as SQLite keeps them."""
    return int.from_bytes(xxhash.xxh3_64_digest(_NAMESPACE + named), "big", signed=True)
