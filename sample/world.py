"""The sample world: written texts become posts with authors and times, up to the start of the site and beyond it.

world(anchor_at) says what has been posted when the site starts; World.posts_until(now) goes on from there, hour by
hour. Everything is drawn from seeded generators, so the same texts and the same start give the same world.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from threading import Lock

from sample import timeline
from sample.crisis import CrisisTexts, starts_a_story
from sample.orders import SEASONAL, Buyer, buyers
from sample.people import Person, people
from sample.posts import (
    BRAND_WORDS,
    COMPETITOR_WORDS,
    PLATFORMS,
    Post,
    copied,
    dated,
    forwarded,
    has_order_number,
    heat,
    named,
    stars,
    varied,
    with_order_number,
)
from sample.texts import Text, load_texts

SEED = "wensheng-sample 1"
TARGET = 3000
"""So many posts, replies in threads not counted, are aimed at for the 30 days before the start."""
RESERVE = 16
"""Every so many-th ordinary text is kept for the time after the start."""
_SEASONAL_WORDS = ("桂花", "新品")
_TEXTS_PER_THREAD, _CRISIS_TEXTS_PER_THREAD = 6, 3
_STORY_SHARES = (0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A post to be: what is said, when, and what it repeats."""

    text: Text
    at: datetime
    body: str = ""
    origin: Post | None = None
    forwarded: bool = False
    floor_of: str | None = None
    is_reply: bool = False


class World:
    """All posts so far; later hours are made when they are asked for. May be used by several threads."""

    def __init__(self, anchor_at: datetime, texts: Sequence[Text] | None = None) -> None:
        self.anchor_at = anchor_at
        self.buyers = buyers(anchor_at)
        self._lock = Lock()
        self._rng = Random(SEED)
        self._posts: list[Post] = []
        self._ids: set[int] = set()
        self._text_of: dict[str, Text] = {}
        self._open_threads: dict[tuple[bool, str], list[str]] = {}
        self._hours_made = 0
        texts = load_texts() if texts is None else texts
        self._authors = {name: people(max(40, len(texts) // 3), Random(f"{SEED} {name}")) for name in PLATFORMS}
        self._n_forum_themes = Counter(text.theme for text in texts if text.platform == "shequ" and not text.crisis)
        self._may_name_an_order = self._some_buyers()
        self._make_past(list(texts))

    def posts_until(self, now: datetime) -> list[Post]:
        """Everything published up to now, oldest first."""
        with self._lock:
            while self.anchor_at + timedelta(hours=self._hours_made) <= now:
                self._make_hour(self._hours_made)
                self._hours_made += 1
            return self._posts[: bisect_right(self._posts, now, key=_published_at)]

    # ------------------------------------------------------------------------------------------ the past

    def _make_past(self, texts: list[Text]) -> None:
        self._rng.shuffle(texts)
        crisis = [text for text in texts if text.crisis]
        ordinary = [text for text in texts if not text.crisis]
        self._reserve = ordinary[::RESERVE]
        past = [text for i, text in enumerate(ordinary) if i % RESERVE]

        self._crisis = CrisisTexts(crisis, self._rng)
        share = min(1.0, len(crisis) * 0.8 / sum(timeline.CRISIS_BEFORE))
        drafts = self._ordinary_past(past)
        self._publish(drafts)
        self._stories: list[Post] = []
        for hour, (n_first, n_copies) in enumerate(
            zip(
                timeline.scaled(timeline.CRISIS_BEFORE, round(share * sum(timeline.CRISIS_BEFORE))),
                timeline.scaled(timeline.COPIES_BEFORE, round(share * sum(timeline.COPIES_BEFORE))),
                strict=True,
            )
        ):
            self._crisis_hour(hour, n_first, n_copies)

        n_missing = TARGET - sum(post.published_at < self.anchor_at and not post.is_reply for post in self._posts)
        n_forwards = max(0, min(n_missing, len(past) // 6))
        since = self.anchor_at - timedelta(days=timeline.PAST_DAYS)
        times = timeline.spread(n_forwards, since, self.anchor_at, self._rng, growth=1.6)
        self._publish([draft for at in times if (draft := self._forward(at, crisis=False))])

    def _ordinary_past(self, texts: Iterable[Text]) -> list[_Draft]:
        seasonal: list[Text] = []
        others: list[Text] = []
        for text in texts:
            (seasonal if any(word in text.text + text.title for word in _SEASONAL_WORDS) else others).append(text)
        drafts = []
        for group, days in ((seasonal, timeline.LAUNCH_DAYS), (others, timeline.PAST_DAYS)):
            since = self.anchor_at - timedelta(days=days)
            times = timeline.spread(len(group), since, self.anchor_at, self._rng, growth=1.4)
            drafts += [_Draft(text, at) for text, at in zip(group, times, strict=True)]
        return sorted(drafts, key=_draft_at)

    # ------------------------------------------------------------------------------------------ the crisis

    def _crisis_hour(self, hour: int, n_first: int, n_copies: int) -> None:
        """Hour 0 is the first of the crisis, six hours before the start."""
        begins = self.anchor_at + timedelta(hours=hour - timeline.CRISIS_HOURS)
        drafts: list[_Draft] = []
        times = timeline.within_hour(n_first, begins, self._rng)
        if hour == 0 and times:
            times[0] = begins + timedelta(minutes=4)
        for at in times:
            since_h = (at - self.anchor_at) / timedelta(hours=1) + timeline.CRISIS_HOURS
            text = self._crisis.pop(since_h)
            draft = _Draft(text, at) if text else self._forward(at, crisis=True)
            if draft:
                drafts.append(draft)
        self._publish(drafts)
        self._choose_stories()
        if self._stories:
            times = timeline.within_hour(n_copies, begins, self._rng)
            self._publish([draft for at in times if (draft := self._copy(at))])

    def _choose_stories(self) -> None:
        """What is copied: the first forum thread, two early posts on the microblog, the first article."""
        if len(self._stories) == len(_STORY_SHARES):
            return
        first = [post for post in self._posts if post.crisis and not post.origin_id and len(post.text) > 30]
        found = []
        for platform, n in (("shequ", 1), ("weiyan", 2), ("wenzhang", 1)):
            found += [post for post in first if post.platform == platform and starts_a_story(post)][:n]
        self._stories = sorted(found, key=_published_at)

    def _copy(self, at: datetime) -> _Draft | None:
        stories = [story for story in self._stories if story.published_at < at]
        if not stories:
            return None
        story = self._rng.choices(stories, _STORY_SHARES[: len(stories)])[0]
        text = self._text_of[story.id]
        if story.platform == "wenzhang":
            return _Draft(text, at, body=story.text, origin=story)
        whole = f"【{story.title}】{story.text}" if story.title else story.text
        text = text.model_copy(update={"platform": "weiyan", "title": ""})
        if self._rng.random() < 0.25:
            body = forwarded(whole, story.author.name, self._rng, crisis=True)
            return _Draft(text, at, body=body, origin=story, forwarded=True)
        return _Draft(text, at, body=copied(whole, self._rng), origin=story)

    def _forward(self, at: datetime, *, crisis: bool) -> _Draft | None:
        """Somebody forwards a recent post of the microblog with a word of their own."""
        end = bisect_right(self._posts, at, key=_published_at)
        recent = [
            post
            for post in self._posts[max(0, end - 250) : end]
            if post.platform == "weiyan"
            and post.crisis == crisis
            and not post.origin_id
            # What people say below a crisis post fits only one that complains of the brand.
            and (not crisis or (post.sentiment == "negative" and any(word in post.text for word in BRAND_WORDS)))
        ]
        if not recent:
            return None
        origin = self._rng.choice(recent)
        body = forwarded(origin.text, origin.author.name, self._rng, crisis=crisis)
        return _Draft(self._text_of[origin.id], at, body=body, origin=origin, forwarded=True)

    # ------------------------------------------------------------------------------------------ the future

    def _make_hour(self, hour: int) -> None:
        """The hour that begins `hour` hours after the start."""
        begins = self.anchor_at + timedelta(hours=hour)
        n = _poisson(timeline.FUTURE_PER_HOUR * timeline.weight(begins + timedelta(minutes=30)), self._rng)
        drafts = []
        for at in timeline.within_hour(n, begins, self._rng):
            draft = _Draft(self._reserve.pop(), at) if self._reserve else self._again(at)
            if draft:
                drafts.append(draft)
        self._publish(drafts)
        n_first = timeline.CRISIS_AFTER[hour] if hour < len(timeline.CRISIS_AFTER) else 0
        n_copies = timeline.COPIES_AFTER[hour] if hour < len(timeline.COPIES_AFTER) else 0
        share = min(1.0, self._crisis.n_at_first * 0.8 / sum(timeline.CRISIS_BEFORE))
        self._crisis_hour(hour + timeline.CRISIS_HOURS, round(n_first * share), round(n_copies * share))

    def _again(self, at: datetime) -> _Draft | None:
        """Once all written texts are used: one of a month ago, said a little differently, or a forward."""
        if self._rng.random() < 0.3:
            return self._forward(at, crisis=False)
        old = [post for post in self._posts[:2000] if not post.crisis and not post.origin_id and not post.floor_of]
        if not old:
            return None
        text = self._text_of[self._rng.choice(old).id]
        return _Draft(text, at, body=varied(named(text, self._rng), self._rng))

    # ------------------------------------------------------------------------------------------ publishing

    def _publish(self, drafts: Iterable[_Draft]) -> None:
        """Turn drafts into posts, together with the replies that follow them."""
        made = [post for draft in drafts for post in self._with_replies(draft)]
        self._posts = sorted([*self._posts, *made], key=_published_at)

    def _with_replies(self, draft: _Draft) -> list[Post]:
        draft = self._in_a_thread(draft)
        post = self._post(draft)
        if draft.text.platform == "shequ" and draft.floor_of is None:
            self._open_threads[self._thread_key(draft.text)] = [post.id]
        found = [post]
        at = draft.at
        for reply in draft.text.replies if draft.origin is None else ():
            at += timedelta(minutes=self._rng.expovariate(1 / (8 if draft.text.crisis else 55)) + 1)
            said = {
                "text": reply.text,
                "sentiment": reply.sentiment,
                "intent": reply.intent,
                "title": "",
                "replies": (),
            }
            text = draft.text.model_copy(update=said)
            reply_draft = _Draft(text, at, body=reply.text, floor_of=post.floor_of or post.id, is_reply=True)
            found.append(self._post(reply_draft))
        return found

    def _in_a_thread(self, draft: _Draft) -> _Draft:
        """On the forum a few texts of one kind share a thread, so that the whole forum is some 80 pages."""
        text = draft.text
        thread = self._open_threads.get(self._thread_key(text), [])
        if text.platform != "shequ" or starts_a_story(text) or not thread:
            return draft
        if len(thread) >= (_CRISIS_TEXTS_PER_THREAD if text.crisis else _TEXTS_PER_THREAD):
            return draft
        thread.append(thread[0])
        title = _title(text, text.text, self._rng)
        return replace(draft, body=f"{title}\n{draft.body or text.text}", floor_of=thread[0])

    def _thread_key(self, text: Text) -> tuple[bool, str]:
        """Texts of a common theme meet in its threads; rare themes meet by what is wanted there."""
        rare = not text.crisis and self._n_forum_themes[text.theme] < _TEXTS_PER_THREAD - 1
        return text.crisis, text.intent if rare else text.theme

    def _post(self, draft: _Draft) -> Post:
        text, rng = draft.text, self._rng
        author = self._author(text.platform)
        body = draft.body or named(text, rng)
        if text.crisis and draft.origin is None:
            body = dated(body, self.anchor_at)
        order_of = None
        if draft.origin is None and self._names_an_order(text):
            order_of, body = self._name_order(body, draft.at)
        story = text.crisis and draft.origin is None and starts_a_story(text)
        likes, comments, reposts, views = heat(author, rng, crisis=text.crisis, story=story)
        post = Post(
            id=self._new_id(draft.at),
            platform=text.platform,
            about=text.about,
            theme=text.theme,
            crisis=text.crisis,
            sentiment=text.sentiment,
            title=self._title_of(draft, body),
            text=body,
            author=author,
            published_at=draft.at,
            likes=likes,
            comments=max(comments, len(text.replies)),
            reposts=reposts,
            views=views,
            floor_of=draft.floor_of,
            is_reply=draft.is_reply,
            origin_id=draft.origin.id if draft.origin else None,
            forwarded=draft.forwarded,
            rating=stars(text, rng),
            order_of=order_of,
        )
        self._text_of[post.id] = text
        return post

    def _title_of(self, draft: _Draft, body: str) -> str:
        if draft.floor_of is not None:
            return ""
        if draft.origin:
            return draft.origin.title if draft.text.platform == draft.origin.platform else ""
        title = _title(draft.text, body, self._rng)
        return dated(title, self.anchor_at) if draft.text.crisis else title

    def _author(self, platform: str) -> Person:
        """Few write much, many write once."""
        authors = self._authors[platform]
        return authors[int(len(authors) * self._rng.random() ** 1.4)]

    def _new_id(self, at: datetime) -> str:
        """Microseconds: ids grow with time, so that a cursor is a place in time; unique over all platforms."""
        number = round(at.timestamp() * 1_000_000)
        while number in self._ids:
            number += 1
        self._ids.add(number)
        return str(number)

    def _names_an_order(self, text: Text) -> bool:
        if has_order_number(text.text):
            return True
        if text.about not in ("brand", "both"):
            return False
        likely = {"tousu": 0.6, "weiyan": 0.05 if text.crisis else 0.01, "shequ": 0.02}.get(text.platform, 0.0)
        return text.intent == "complaint" and self._rng.random() < likely

    def _some_buyers(self) -> list[Buyer]:
        """Half of the customers may name an order of theirs."""
        found = self.buyers[1::2]
        self._rng.shuffle(found)
        return found

    def _name_order(self, body: str, at: datetime) -> tuple[str | None, str]:
        """The number of the newest order before `at` of a customer who has not named one yet.

        If there is none left, a text that must have a number gets one that no known customer has.
        """
        for i, buyer in enumerate(self._may_name_an_order):
            before = [order for order in buyer.orders if timedelta(0) < at - order.at < timedelta(days=12)]
            if before and (SEASONAL not in body or any(SEASONAL in order.items for order in before)):
                del self._may_name_an_order[i]
                return buyer.customer_id, with_order_number(body, before[-1].number, self._rng)
        if not has_order_number(body):
            return None, body
        stranger = f"SL{at.astimezone(timeline.BEIJING):%Y%m%d}{self._rng.randrange(9000, 10000)}"
        return None, with_order_number(body, stranger, self._rng)


def world(anchor_at: datetime) -> list[Post]:
    """What has been posted when a site starts at anchor_at, oldest first."""
    return World(anchor_at).posts_until(anchor_at)


def _draft_at(draft: _Draft) -> datetime:
    return draft.at


def _published_at(post: Post) -> datetime:
    return post.published_at


def _title(text: Text, body: str, rng: Random) -> str:
    """The title under which a platform shows it, with the brand where readers of that page would see it."""
    words, brand = (COMPETITOR_WORDS, "青屿咖啡") if text.about == "competitor" else (BRAND_WORDS, "山岚咖啡")
    known = text.about == "neither" or any(word in text.title + body for word in words)
    if text.platform == "weiyan":
        return ""
    if text.platform == "pinglun":
        return text.title if text.about == "neither" else f"{brand}（{rng.choice(_SHOPS)}店）"
    title = text.title or body.splitlines()[0][:18]
    if known:
        return title
    return f"{brand}App：{title}" if text.platform == "appstore" else f"【{brand}】{title}"


def _poisson(mean: float, rng: Random) -> int:
    """Knuth's method; fine for small means."""
    limit, n, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        n += 1
        product *= rng.random()
    return n


_SHOPS = (
    "西溪", "滨江", "武林", "新街口", "河西", "观前", "金鸡湖", "五角场", "静安", "陆家嘴", "国贸", "望京",
    "天府", "春熙", "光谷", "江汉路", "天河", "科技园", "中街", "曲江", "五一广场", "东部新城",
)  # fmt: skip
