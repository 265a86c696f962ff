"""What is normal: a band from the same hour (or day) before, and words that rose."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MIN_SAMPLES = 3
MIN_LIFT = 1.5
_NICKNAMES = re.compile(r"(?://|回复\s*)?@[\w\-\u00b7]+[:：]?")
"""`//@Leo阿星:` and `@某人`: who is answered or passed on, not what is said."""
_LINKS = re.compile(r"https?://\S+|[\w.]+\.(?:com|cn|example)\S*")
_RUN = re.compile(r"[\u4e00-\u9fff]+|[A-Za-z]{3,}")
_PARTICLES = frozenset(
    "的了是在我他她它你们这那就都也还很又和与或但而及被把给让对从到吗呢吧啊呀哦嘛么个只太有没不去来说要会能可上下里中大小多少好真再才最更啦着过得地"
)

_EMPTY = re.compile(
    "昨天|今天|明天|昨晚|今晚|现在|已经|自己|知道|一个|这个|那个|什么|开始|时候|觉得|还是|真的|感觉|有点|大家|一样|怎么|可以"
)
"""Words that say nothing about a subject; a longer word does not reach across one."""


@dataclass(frozen=True)
class Band:
    """The usual range of a count: the median of the samples, give or take."""

    low: float
    usual: float
    high: float


def band(samples: Sequence[int]) -> Band | None:
    """Median plus or minus two robust standard deviations; None with fewer than three samples.

    The deviation is the larger of 1.4826 x MAD and the square root of the median (counts vary at least
    as much as a Poisson variable does), and at least 1.
    """
    if len(samples) < MIN_SAMPLES:
        return None
    usual = median(samples)
    deviation = max(1.4826 * median(abs(sample - usual) for sample in samples), math.sqrt(usual), 1.0)
    return Band(max(0.0, usual - 2 * deviation), usual, usual + 2 * deviation)


def expected(samples: Sequence[int]) -> float | None:
    found = band(samples)
    return found.usual if found else None


@dataclass(frozen=True)
class RisingWord:
    word: str
    n: int
    """Of the texts now."""
    lift: float
    """How many times its share of the mentions before."""


def rising_words(
    now: Sequence[str],
    before: Sequence[str],
    *,
    names: frozenset[str] = frozenset(),
    limit: int = 12,
    at_least: int = 3,
) -> list[RisingWord]:
    """Words of two to four characters whose share of the texts grew most, most telling first.

    A word is taken only if different characters stand on both of its sides (else it is a piece of a longer one),
    and it gives way to one that it overlaps; of a word and its piece (拉肚子, 拉肚) the longer one is named where it
    is nearly as frequent. Pieces of names are left out: what is listened for is no news. Nicknames do not count.
    """
    counts, free = _frequencies(now)
    past, _ = _frequencies(before)
    known = {name[start : start + 2] for name in names for start in range(len(name) - 1)}
    found = []
    for word, n in counts.items():
        if n < at_least or word not in free or any(word[start : start + 2] in known for start in range(len(word) - 1)):
            continue
        lift = lift_of(n, len(now), past[word], len(before))
        if lift >= MIN_LIFT:
            found.append(RisingWord(word, n, lift))
    found = _without_pieces(found)
    found.sort(key=_weight, reverse=True)
    chosen: list[RisingWord] = []
    for candidate in found:
        if not any(_overlap(candidate.word, other.word) for other in chosen):
            chosen.append(candidate)
        if len(chosen) == limit:
            break
    return chosen


def lift_of(n: int, n_all: int, n_before: int, n_all_before: int) -> float:
    """((n + 1) / (N + 1)) / ((m + 1) / (M + 1)), with n of N texts now and m of M before."""
    return ((n + 1) / (n_all + 1)) / ((n_before + 1) / (n_all_before + 1))


def counted(
    found: Sequence[RisingWord], now: Mapping[str, int], before: Mapping[str, int], n_now: int, n_before: int
) -> list[RisingWord]:
    """The words of a sample with their counts among all texts; without those that rose in the sample only."""
    exact = [
        RisingWord(each.word, now[each.word], lift_of(now[each.word], n_now, before[each.word], n_before))
        for each in found
    ]
    return sorted((each for each in exact if each.lift >= MIN_LIFT), key=_weight, reverse=True)


def sums(counts: Mapping[tuple[str, ...], int], position: int) -> Counter[str]:
    """Totals of a grouped count along one of its dimensions."""
    total: Counter[str] = Counter()
    for key, n in counts.items():
        total[key[position]] += n
    return total


def _weight(word: RisingWord) -> float:
    return word.n * math.log(word.lift) * math.sqrt(len(word.word))


def _without_pieces(found: Sequence[RisingWord]) -> list[RisingWord]:
    """Without those that stand nearly always inside a longer one."""
    longer = [word for word in found if len(word.word) > 2]
    return [
        word
        for word in found
        if not any(word.word != other.word and word.word in other.word and other.n >= 0.7 * word.n for other in longer)
    ]


def _overlap(one: str, other: str) -> bool:
    if one in other or other in one:
        return True
    return any(one[-k:] == other[:k] or other[-k:] == one[:k] for k in range(1, min(len(one), len(other))))


def _frequencies(texts: Sequence[str]) -> tuple[Counter[str], set[str]]:
    """In how many texts each candidate stands, and the candidates with differing neighbours on both sides."""
    counts: Counter[str] = Counter()
    beside: dict[str, tuple[set[str], set[str]]] = {}
    for number, text in enumerate(texts):
        words = set()
        for run in _RUN.findall(_EMPTY.sub(" ", _LINKS.sub(" ", _NICKNAMES.sub(" ", text)))):
            if run.isascii():
                words.add(run.lower())
                beside.setdefault(run.lower(), ({"", str(number)}, {"", str(number)}))
                continue
            for size in (2, 3, 4):
                for start in range(len(run) - size + 1):
                    word = run[start : start + size]
                    if word[0] in _PARTICLES or word[-1] in _PARTICLES:
                        continue
                    words.add(word)
                    left, right = beside.setdefault(word, (set(), set()))
                    left.add(run[start - 1 : start] or f"|{number}")
                    right.add(run[start + size : start + size + 1] or f"|{number}")
        counts.update(words)
    return counts, {word for word, (left, right) in beside.items() if len(left) > 1 and len(right) > 1}
