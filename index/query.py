"""The query language: Lucene-like text -> a small tree that the stores and the topic matcher share.

    咖啡 拉肚子            both (AND is implied)          "换季 新品"     the phrase
    咖啡 OR 奶茶           either                         咖啡 NOT 加盟   not the second (also: 咖啡 -加盟)
    (A OR B) AND C         brackets                       NEAR/5(咖啡 异味)  at most 5 characters between them
    platform:weibo         a field                        sentiment:negative severity:2 aspect:taste ...

AND, OR and NOT may be written &&, || and !; full-width brackets, quotes, colons and spaces count as the
plain ones; fields and their values may be written in Chinese (平台:微博 情感:负面). A field takes a group
too: platform:(weibo OR zhihu).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from index import query_fields
from index.models import Mention
from index.store import QueryError
from index.text import BREAK, contains, fold, phrase, prefix_pattern, trimmed, units

MAX_DEPTH = 50
MAX_DISTANCE = 1000


@dataclass(frozen=True, slots=True)
class Words:
    """The text contains this (kept folded, index/text.py); several units must follow each other."""

    text: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """A Latin word or number that starts with this (kept folded); only where wildcards are on."""

    text: str


@dataclass(frozen=True, slots=True)
class Near:
    """All parts (kept folded) occur, in any order, with at most `distance` characters between neighbours.

    Latin words, numbers and runs of punctuation count as one character; parts do not overlap.
    """

    parts: tuple[str, ...]
    distance: int


@dataclass(frozen=True, slots=True)
class FieldIs:
    """A field of the mention has this value (both as query_fields names them)."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


Node = Words | Prefix | Near | FieldIs | And | Or | Not

# ------------------------------------------------------------------------------------------------ reading

_PLAIN = str.maketrans("（）　：＂“”„‟「」『』｜＆＊－", '()\u0020:"""""""""|&*-')
_TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<open>\() | (?P<close>\))
      | (?P<quoted>"(?P<inside>[^"]*)(?P<end>"?))
      | (?P<near>NEAR/(?P<distance>[^\s()]*)\s*\() | (?P<and>(?:AND|&&)(?![^\s()"])) | (?P<or>(?:OR|\|\|)(?![^\s()"]))
      | (?P<not>NOT(?![^\s()"])|[-!](?=[^\s)])) | (?P<field>(?![0-9])\w+):
      | (?P<word>[^\s()"]+)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str, *, wildcards: bool = False) -> Node | None:
    """The tree of a query, None if there is nothing in it. Raises QueryError with the place of the mistake."""
    reader = _Reader(list(_read_tokens(text)), len(text), wildcards)
    if reader.peek().kind == "end":
        return None
    node = reader.either("", 0)
    token = reader.peek()
    if token.kind == "close":
        raise _error(token.position, "的右括号没有对应的左括号")
    return node


def _read_tokens(text: str) -> Iterator[_Token]:
    plain = text.translate(_PLAIN)
    position = 0
    while position < len(plain):
        match = _TOKEN.match(plain, position)
        assert match is not None, "the last alternatives take any character"
        kind = match.lastgroup or ""
        for name in ("space", "open", "close", "quoted", "near", "and", "or", "not", "field", "word"):
            if match.group(name) is not None:
                kind = name
        value = match.group(kind)
        if kind == "quoted":
            value = text[match.start("inside") : match.end("inside")]
            if not match.group("end"):
                raise _error(position, "处的引号没有配对")
        elif kind == "near":
            value = match.group("distance")
        if kind != "space":
            yield _Token(kind, value, position)
        position = match.end()


class _Reader:
    """Recursive descent over tokens; only brackets recurse."""

    def __init__(self, tokens: list[_Token], length: int, wildcards: bool) -> None:
        self.tokens = tokens
        self.at = 0
        self.end = _Token("end", "", length)
        self.wildcards = wildcards

    def peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else self.end

    def take(self) -> _Token:
        token = self.peek()
        self.at += 1
        return token

    def either(self, field: str, depth: int) -> Node:
        parts = [self.every(field, depth)]
        while self.peek().kind == "or":
            self.take()
            parts.append(self.every(field, depth))
        return parts[0] if len(parts) == 1 else Or(_flat(Or, parts))

    def every(self, field: str, depth: int) -> Node:
        parts = [self.one(field, depth)]
        while True:
            if self.peek().kind == "and":
                self.take()
            elif self.peek().kind in ("or", "close", "end"):
                return parts[0] if len(parts) == 1 else And(_flat(And, parts))
            parts.append(self.one(field, depth))

    def one(self, field: str, depth: int) -> Node:
        negative = False
        token = self.take()
        while token.kind == "not":
            negative = not negative
            token = self.take()
        node = self.leaf(token, field, depth)
        return Not(node) if negative else node

    def leaf(self, token: _Token, field: str, depth: int) -> Node:
        if token.kind == "open":
            return self.group(token, field, depth)
        if token.kind in ("word", "quoted") and field:
            return self.value(field, token)
        if token.kind == "quoted":
            return _words(token)
        if token.kind == "word":
            return self.word(token)
        if token.kind == "near" and not field:
            return self.near(token)
        if token.kind == "field" and not field:
            return self.field(token, depth)
        if token.kind in ("near", "field"):
            raise _error(token.position, "处: 字段的括号里只能写值")
        if token.kind == "end":
            raise _error(token.position - 1 if token.position else 0, "之后缺少检索词")
        raise _error(token.position, f"处缺少检索词, 却遇到 {_shown(token)}")

    def group(self, opening: _Token, field: str, depth: int) -> Node:
        if depth >= MAX_DEPTH:
            raise _error(opening.position, f"处: 括号嵌套超过 {MAX_DEPTH} 层")
        if self.peek().kind == "close":
            raise _error(opening.position, "处的括号里没有内容")
        if self.peek().kind == "end":
            raise _error(opening.position, "处的左括号没有配对")
        node = self.either(field, depth + 1)
        if self.take().kind != "close":
            raise _error(opening.position, "处的左括号没有配对")
        return node

    def field(self, token: _Token, depth: int) -> Node:
        try:
            name = query_fields.field_name(token.text)
        except ValueError as e:
            raise _error(token.position, f"处: {e}") from e
        following = self.take()
        if following.kind == "open":
            return self.group(following, name, depth)
        if following.kind in ("word", "quoted", "field"):
            return self.value(name, following)
        raise _error(token.position, f"处的字段 {token.text} 缺少值")

    def value(self, name: str, token: _Token) -> Node:
        text, position = token.text, token.position
        while token.kind == "field" and self.peek().kind in ("word", "field"):  # aspect:taste:negative
            token = self.take()
            text = f"{text}:{token.text}"
        try:
            return FieldIs(name, query_fields.field_value(name, text))
        except ValueError as e:
            raise _error(position, f"处: {e}") from e

    def word(self, token: _Token) -> Node:
        if "*" not in token.text:
            return _words(token)
        if not self.wildcards:
            raise _error(token.position, "处: 这里不支持通配符 *, 要查找它本身请加引号")
        start = fold(token.text[:-1])
        if not token.text.endswith("*") or not re.fullmatch("[a-z]+|[0-9]+", start):
            raise _error(token.position, "处: 通配符 * 只能写在一个英文单词或数字的末尾")
        return Prefix(start)

    def near(self, token: _Token) -> Node:
        if not re.fullmatch("[0-9]{1,4}", token.text) or int(token.text) > MAX_DISTANCE:
            raise _error(token.position, f"处: NEAR/ 后面要写 0 到 {MAX_DISTANCE} 的整数")
        parts = []
        while self.peek().kind in ("word", "quoted"):
            part = self.word(self.peek()) if self.peek().kind == "word" else _words(self.peek())
            if not isinstance(part, Words):
                raise _error(self.peek().position, "处: NEAR 里不支持通配符")
            parts.append(part.text)
            self.take()
        if self.peek().kind == "end":
            raise _error(token.position, "处的左括号没有配对")
        if self.peek().kind != "close":
            raise _error(self.peek().position, "处: NEAR 的括号里只能写词或带引号的短语")
        self.take()
        if len(parts) < 2:
            raise _error(token.position, "处: NEAR 至少需要两个词")
        return Near(tuple(parts), int(token.text))


def _words(token: _Token) -> Words:
    folded = fold(token.text)
    if phrase(folded) is None:
        raise _error(token.position, "处只有标点, 没有可以检索的字")
    return Words(folded)


def _flat(kind: type[And] | type[Or], parts: list[Node]) -> tuple[Node, ...]:
    flat: list[Node] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else (part,))
    return tuple(flat)


def _shown(token: _Token) -> str:
    return {"and": "AND", "or": "OR", "close": "右括号"}.get(token.kind, token.text)


def _error(position: int, what: str) -> QueryError:
    return QueryError(f"第 {position + 1} 个字符{what}", position=position)


# ----------------------------------------------------------------------------------------------- meaning


def matches(node: Node, folded_text: str, mention: Mention | None) -> bool:
    """Whether one mention fits; folded_text is index.text.search_text of it. Without a mention no field holds."""
    if isinstance(node, And):
        return all(matches(part, folded_text, mention) for part in node.parts)
    if isinstance(node, Or):
        return any(matches(part, folded_text, mention) for part in node.parts)
    if isinstance(node, Not):
        return not matches(node.part, folded_text, mention)
    if isinstance(node, Words):
        return contains(folded_text, node.text)
    if isinstance(node, Prefix):
        return prefix_pattern(node.text).search(folded_text) is not None
    if isinstance(node, Near):
        return are_near(node, folded_text)
    return mention is not None and query_fields.holds(node.field, node.value, mention)


def are_near(node: Near, folded_text: str) -> bool:
    text = units(folded_text)
    spans: list[tuple[int, int, int]] = []
    for number, part in enumerate(node.parts):
        wanted = trimmed(units(part))
        starts = [at for at in range(len(text) - len(wanted) + 1) if text[at : at + len(wanted)] == wanted]
        if not starts:
            return False
        spans.extend((start, start + len(wanted), number) for start in starts)
    return _chain(sorted(spans), len(node.parts), node.distance)


def _chain(spans: list[tuple[int, int, int]], n_parts: int, distance: int) -> bool:
    """Whether one span of every part can be picked with at most `distance` between neighbours.

    For every span: the sets of parts (as bits) of the chains that end with it.
    """
    everything = (1 << n_parts) - 1
    chains: deque[tuple[int, set[int]]] = deque()
    for start, end, number in spans:
        sets = {1 << number}
        while chains and start - chains[0][0] > distance:
            chains.popleft()
        for earlier_end, earlier_sets in chains:
            if 0 <= start - earlier_end <= distance:
                sets |= {seen | 1 << number for seen in earlier_sets if not seen & 1 << number}
        if everything in sets:
            return True
        chains.append((end, sets))
    return False


def literals(node: Node) -> tuple[str, ...]:
    """One piece of folded text per word of the query, those under NOT too: a text without it lacks the word."""
    found: dict[str, None] = {}
    for leaf in leaves(node):
        if isinstance(leaf, Words | Prefix):
            found[_longest_piece(leaf.text)] = None
        elif isinstance(leaf, Near):
            found.update(dict.fromkeys(_longest_piece(part) for part in leaf.parts))
    return tuple(found)


def _longest_piece(words: str) -> str:
    pieces = "".join(f" {unit} " if unit == BREAK else unit for unit in units(words)).replace(BREAK, " ").split()
    return max(pieces, key=len)


def leaves(node: Node) -> Iterator[Words | Prefix | Near | FieldIs]:
    """The leaves of the tree from left to right."""
    stack: list[Node] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, And | Or):
            stack.extend(reversed(part.parts))
        elif isinstance(part, Not):
            stack.append(part.part)
        else:
            yield part


def is_negative(node: Node) -> bool:
    """Whether a text that has none of the words and fields fits. Good for a search, useless as a topic."""
    if isinstance(node, And):
        return all(is_negative(part) for part in node.parts)
    if isinstance(node, Or):
        return any(is_negative(part) for part in node.parts)
    return isinstance(node, Not) and not is_negative(node.part)
