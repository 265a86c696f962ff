"""Many writes in one request: every item has its own fate, and what may succeed later is sent again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from index.elastic_errors import of_answer, worth_a_retry
from index.elastic_rows import as_json
from index.store import StoreUnavailable
from settings import StoreSettings

_WRITES_AT_ONCE = 1_000
_BYTES_AT_ONCE = 8_000_000
_ANSWER = ",".join(f"items.*.{name}" for name in ("status", "error", "_seq_no", "_primary_term"))
_LONGEST_REASON = 240
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0


@dataclass(frozen=True, slots=True)
class Write:
    """One document to be written. With seq_no and term only if it is still the one that was read; with a version
    only if none of a higher version is there."""

    op: Literal["create", "index", "delete"]
    index: str
    key: str
    document: dict[str, Any] | bytes | None = None
    """As it is or as its JSON."""
    seq_no: int | None = None
    term: int | None = None
    version: int | None = None


class Fate(Enum):
    DONE = "done"
    CONFLICT = "conflict"
    """It is there already, or was changed since it was read."""
    MISSING = "missing"
    """To be deleted, but not there; or its index is gone."""
    REFUSED = "refused"
    """The server will never take it; the reason says why."""


@dataclass(frozen=True, slots=True)
class Result:
    fate: Fate
    reason: str = ""
    seq_no: int = 0
    term: int = 0
    unsure: bool = False
    """It was sent more than once, and an earlier attempt may have been the one that succeeded."""


@dataclass(slots=True)
class _Item:
    """A write as it is sent, and what became of it."""

    write: Write
    lines: tuple[bytes, ...]
    result: Result | None = None
    unsure: bool = False


@dataclass
class BulkWriter:
    """Writes in pieces of a good size. wait is time.sleep but in tests of the waiting itself."""

    client: Elasticsearch
    settings: StoreSettings
    wait: Callable[[float], None] = time.sleep
    _sender: Elasticsearch = field(init=False)

    def __post_init__(self) -> None:
        # Repeated here and not by the client, which could not say whether the first attempt had succeeded.
        self._sender = self.client.options(max_retries=0)

    def write(self, writes: Sequence[Write]) -> list[Result]:
        """What became of each, in their order. Raises StoreError if the server refuses all, StoreUnavailable
        if it stays busy or silent: some may have been written then."""
        items = [_Item(write, tuple(_lines(write))) for write in writes]
        for piece in _pieces(items):
            self._write_piece(piece)
        return [item.result for item in items if item.result is not None]

    def _write_piece(self, piece: list[_Item]) -> None:
        waiting = piece
        for attempt in range(self.settings.retries + 1):
            if attempt:
                self.wait(pause(attempt))
            failure = self._send(waiting)
            waiting = [item for item in waiting if item.result is None]
            if not waiting:
                return
        assert failure is not None, "an item without a result has said why"
        raise failure

    def _send(self, items: list[_Item]) -> Exception | None:
        """Gives items their results; those without one may be sent again, and the last reason comes back."""
        try:
            answer = self._sender.bulk(
                operations=[line for item in items for line in item.lines],  # type: ignore[misc]
                filter_path=_ANSWER,
            )
        except (TransportError, ApiError) as e:
            if not worth_a_retry(e):
                raise
            for item in items:
                item.unsure = True
            return e
        failure = None
        for item, said in zip(items, answer["items"], strict=True):
            item.result, again = self._judged(item, next(iter(said.values())))
            failure = again or failure
        return failure

    def _judged(self, item: _Item, said: dict[str, Any]) -> tuple[Result | None, Exception | None]:
        status, error = said["status"], said.get("error", {})
        if status in (200, 201):
            return Result(Fate.DONE, "", said["_seq_no"], said["_primary_term"], item.unsure), None
        if status == 409:
            return Result(Fate.CONFLICT, unsure=item.unsure), None
        if status == 404:
            return Result(Fate.MISSING, error.get("reason", ""), unsure=item.unsure), None
        reason = _reason(error)
        if status == 400 and error.get("type") != "index_closed_exception":
            return Result(Fate.REFUSED, reason), None
        failure = of_answer(status, {"type": error.get("type", ""), "reason": reason}, self.settings)
        if isinstance(failure, StoreUnavailable):
            return None, failure
        raise failure


def pause(attempt: int) -> float:
    """Twice as long each time, and never the same for two workers."""
    longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**attempt)
    return random.uniform(longest / 2, longest)


def _lines(write: Write) -> Iterator[bytes]:
    action: dict[str, Any] = {"_index": write.index, "_id": write.key}
    if write.seq_no is not None:
        action |= {"if_seq_no": write.seq_no, "if_primary_term": write.term}
    if write.version is not None:
        action |= {"version": write.version, "version_type": "external_gte"}
    yield as_json({write.op: action})
    if write.document is not None:
        yield write.document if isinstance(write.document, bytes) else as_json(write.document)


def _pieces(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    piece: list[_Item] = []
    size = 0
    for item in items:
        n_bytes = sum(len(line) for line in item.lines)
        if piece and (len(piece) == _WRITES_AT_ONCE or size + n_bytes > _BYTES_AT_ONCE):
            yield piece
            piece, size = [], 0
        piece.append(item)
        size += n_bytes
    if piece:
        yield piece


def _reason(error: dict[str, Any]) -> str:
    """The whole chain, since only its end says which value was wrong; shortened, since some repeat that value."""
    found = [str(error.get("reason", ""))]
    while isinstance(error.get("caused_by"), dict):
        error = error["caused_by"]
        found.append(str(error.get("reason", "")))
    return ": ".join(each if len(each) <= _LONGEST_REASON else f"{each[:_LONGEST_REASON]} ..." for each in found)
