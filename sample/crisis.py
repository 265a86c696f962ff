"""Which written text of the crisis comes when: from the forum to the microblog, then reviews, complaints, articles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from random import Random

from sample.posts import Post
from sample.texts import Text

_CRISIS_FROM_H = {"shequ": 0.0, "weiyan": 0.6, "pinglun": 1.6, "appstore": 2.0, "tousu": 2.2, "wenzhang": 3.2}
# What speaks of the brand's answer, of inspectors or of days gone by is not written in the first hours.
_LATE = re.compile("声明|致歉|道歉信|回应|市监|疾控|热搜|下架|赔付|关怀金|关怀礼包|抽检|检测报告")
_LATER = re.compile("[三3四4五5]天了?|72小时|两日|直播|一周|第[三3]天|复盘|第三次")
_STARTERS = {"alarm": 4.0, "report": 4.0, "first_post": 2.0}
_LATE_FROM_H, _LATER_FROM_H = 4.0, 6.0


class CrisisTexts:
    """The written texts of the crisis, handed out in the order in which a crisis spreads."""

    def __init__(self, texts: Sequence[Text], rng: Random) -> None:
        self.n_at_first = len(texts)
        self._rng = rng
        self._queues: dict[tuple[str, float], list[Text]] = defaultdict(list)
        # Popped from the end: first what starts a story, the loudest of it last in the queue; anger comes early.
        ranks = [_STARTERS.get(text.theme, 0.5 * (text.theme == "angry")) + rng.random() for text in texts]
        for i in sorted(range(len(texts)), key=ranks.__getitem__):
            text = texts[i]
            self._queues[text.platform, max(_CRISIS_FROM_H[text.platform], _late_from_h(text))].append(text)

    def pop(self, since_h: float) -> Text | None:
        """A text that fits `since_h` hours after the first post."""
        open_now = [key for key, queue in self._queues.items() if queue and since_h >= key[1]]
        if not open_now:
            return None
        for key in open_now:
            if starts_a_story(self._queues[key][-1]):
                return self._queues[key].pop()
        # The microblog amplifies; other places follow by what is left to say there.
        weights = [len(self._queues[key]) for key in open_now]
        return self._queues[self._rng.choices(open_now, weights)[0]].pop()


def starts_a_story(said: Text | Post) -> bool:
    """Whether its writer meant it as one of those that set off others."""
    return said.theme in _STARTERS


def _late_from_h(text: Text) -> float:
    if starts_a_story(text):
        return 0.0
    whole = text.title + text.text
    return _LATER_FROM_H if _LATER.search(whole) else _LATE_FROM_H if _LATE.search(whole) else 0.0
