"""The names of what is watched, taken out of a text before a model reads it.

A text says the same of one brand as of another, so it has to be read the same: with the names out of sight it is, and a
brand called 好想你 is not loved for its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from index.text import fold, whole
from nlp.clean import for_model

STAND_INS = ("青禾", "沐川", "云杪", "鹿野", "禾木", "岚序")
"""Plain invented names. With 某品牌 or 该品牌 in their place texts were read worse: that is how reports speak."""


def hiding(topics: Sequence[Sequence[str]]) -> Callable[[str], str]:
    """What gives a text, folded as for_model() does it, with every name of a topic replaced by a stand-in.

    topics: the names of each. All names of a topic become the same stand-in, those of another topic another one, in the
    order in which the text speaks of them (the seventh has the first one's again). A Latin name counts as a whole word,
    as in a search: letters and digits are words of their own, so iphone is hidden in iphone15.
    """
    folded = [(fold(name).strip(), place) for place, names in enumerate(topics) for name in names]
    topic_of = {name: place for name, place in folded if name}
    if not topic_of:
        return for_model
    pattern = re.compile("|".join(whole(name) for name in sorted(topic_of, key=len, reverse=True)))

    def hidden(text: str) -> str:
        met: dict[int, str] = {}

        def stand_in(found: re.Match[str]) -> str:
            return met.setdefault(topic_of[found[0]], STAND_INS[len(met) % len(STAND_INS)])

        return pattern.sub(stand_in, for_model(text))

    return hidden
