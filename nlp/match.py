"""Which topics a text belongs to: all words of all topics in one automaton, then each touched topic's own tree.

The answer is that of index.query.matches for every topic, so a topic holds what a search for its query finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import ahocorasick

from index.models import Mention
from index.query import And, FieldIs, Near, Node, Not, Or, Prefix, Words, is_negative, literals, matches, parse
from index.store import QueryError
from index.text import search_text

Leaf = Words | Prefix | Near


class TopicLike(Protocol):
    """What is needed of a topic; settings.TopicSettings and index.models.Topic have it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def exclude(self) -> tuple[str, ...]: ...
    @property
    def enabled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Any:
    """An OR with its leaves as one set of numbers, so that ten thousand aliases cost as much as the hits."""

    leaves: frozenset[int]
    rest: tuple[_Tree, ...]


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple[_Tree, ...]


@dataclass(frozen=True, slots=True)
class _None:
    part: _Tree


_Tree = _Any | _All | _None | FieldIs


class TopicMatcher:
    """Compiled once from the topics that are enabled; match() may be called by several threads.

    Raises QueryError, naming the topic, for a query or an exclusion that cannot be read or that would
    match nearly everything.
    """

    def __init__(self, topics: Sequence[TopicLike]) -> None:
        self._leaves: list[Leaf] = []
        self._surely: list[bool] = []
        self._number_of: dict[Leaf, int] = {}
        self._topics_of: list[list[int]] = []
        self._trees: list[tuple[str, _Tree]] = []
        self._wordless: list[int] = []
        for topic in topics:
            if topic.enabled:
                self._add(topic)
        self._automaton = self._build_automaton()

    def match(self, text: str, title: str = "", mention: Mention | None = None) -> tuple[str, ...]:
        """Ids of the topics that fit, in the order given. Conditions on fields hold only with a mention."""
        folded = search_text(title, text)
        hits = self._hits(folded)
        touched = set(self._wordless)
        for number in hits:
            touched.update(self._topics_of[number])
        reading = _Reading(folded, mention, hits, self._leaves, self._surely)
        return tuple(self._trees[place][0] for place in sorted(touched) if reading.holds(self._trees[place][1]))

    def _add(self, topic: TopicLike) -> None:
        node = topic_node(topic)
        place = len(self._trees)
        self._trees.append((topic.id, self._compile(node, place)))
        if _holds_without_words(node):
            self._wordless.append(place)

    def _compile(self, node: Node, place: int) -> _Tree:
        if isinstance(node, And):
            return _All(tuple(self._compile(part, place) for part in node.parts))
        if isinstance(node, Or):
            words = [part for part in node.parts if isinstance(part, Leaf)]
            others = [part for part in node.parts if not isinstance(part, Leaf)]
            return _Any(
                frozenset(self._number(word, place) for word in words),
                tuple(self._compile(part, place) for part in others),
            )
        if isinstance(node, Not):
            return _None(self._compile(node.part, place))
        if isinstance(node, FieldIs):
            return node
        return _Any(frozenset((self._number(node, place),)), ())

    def _number(self, leaf: Leaf, place: int) -> int:
        number = self._number_of.setdefault(leaf, len(self._leaves))
        if number == len(self._leaves):
            self._leaves.append(leaf)
            self._topics_of.append([])
            # A run of nothing but Chinese characters is found by the automaton alone.
            chinese = isinstance(leaf, Words) and leaf.text.isalpha() and not any(map(str.isascii, leaf.text))
            self._surely.append(chinese)
        if not self._topics_of[number] or self._topics_of[number][-1] != place:
            self._topics_of[number].append(place)
        return number

    def _build_automaton(self) -> ahocorasick.Automaton | None:
        numbers_of: dict[str, list[int]] = {}
        for number, leaf in enumerate(self._leaves):
            numbers_of.setdefault(max(literals(leaf), key=len), []).append(number)
        if not numbers_of:
            return None
        automaton = ahocorasick.Automaton()
        for literal, numbers in numbers_of.items():
            automaton.add_word(literal, tuple(numbers))
        automaton.make_automaton()
        return automaton

    def _hits(self, folded: str) -> set[int]:
        """Numbers of the leaves whose literal is somewhere in the text."""
        if self._automaton is None:
            return set()
        return {number for _, numbers in self._automaton.iter(folded) for number in numbers}


@dataclass(slots=True)
class _Reading:
    """One text under one automaton run; doubtful leaves are looked at once and only when a tree asks."""

    folded: str
    mention: Mention | None
    hits: set[int]
    leaves: list[Leaf]
    surely: list[bool]

    def holds(self, tree: _Tree) -> bool:
        if isinstance(tree, _Any):
            small, large = sorted((self.hits, tree.leaves), key=len)
            return any(self.contains(number) for number in small if number in large) or any(
                self.holds(part) for part in tree.rest
            )
        if isinstance(tree, _All):
            return all(self.holds(part) for part in tree.parts)
        if isinstance(tree, _None):
            return not self.holds(tree.part)
        return matches(tree, self.folded, self.mention)

    def contains(self, number: int) -> bool:
        return self.surely[number] or matches(self.leaves[number], self.folded, self.mention)


def topic_node(topic: TopicLike) -> Node:
    """The query of a topic without what it excludes. Raises QueryError, naming the topic."""
    node = _parsed(topic.query, topic, "监测词")
    if node is None:
        raise QueryError(f"监测主题「{topic.name}」({topic.id}) 的监测词是空的, 请至少写一个词")
    if is_negative(node):
        raise QueryError(
            f"监测主题「{topic.name}」({topic.id}) 的监测词只有排除条件, 会命中几乎所有内容; 请加上至少一个要监测的词"
        )
    excluded = tuple(_excluded(topic))
    return And((node, *(Not(part) for part in excluded))) if excluded else node


def _excluded(topic: TopicLike) -> Iterator[Node]:
    for text in topic.exclude:
        node = _parsed(text, topic, f"排除词 {text} ")
        if node is None:
            continue
        if is_negative(node):
            raise QueryError(
                f"监测主题「{topic.name}」({topic.id}) 的排除词 {text} 本身是否定的, 会排除几乎所有内容; "
                "请去掉其中的 NOT 或减号"
            )
        yield node


def _parsed(text: str, topic: TopicLike, what: str) -> Node | None:
    try:
        return parse(text)
    except QueryError as e:
        raise QueryError(f"监测主题「{topic.name}」({topic.id}) 的{what}有误: {e}", position=e.position) from e


def _holds_without_words(node: Node) -> bool:
    """Whether the tree may hold for a text with none of its words; such topics are looked at every time."""
    if isinstance(node, And):
        return all(_holds_without_words(part) for part in node.parts)
    if isinstance(node, Or):
        return any(_holds_without_words(part) for part in node.parts)
    return isinstance(node, FieldIs | Not)
