"""How far a move to another version is, and the lock on it: one document that each run writes again and again.

A run writes only over its own last writing. So one that was thought dead and wakes up finds out at its next writing
that another has taken over; what it had sent before is harmless (elastic_carry.py).
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from elastic_transport import TransportError
from elasticsearch import ApiError, ConflictError, Elasticsearch

from index.elastic_carry import Unit
from index.elastic_schema import create
from index.store import StoreError

_BEAT_S = 3.0
_POLL_S = 1.0
_ID = "state"


class MigrationRefused(StoreError):
    """Nothing was switched; the text says why and what to do."""


class Displaced(MigrationRefused):
    """Another run has taken over: this one must not touch anything any more."""


@dataclass
class State:
    client: Elasticsearch
    index: str
    to_version: int
    owner: str
    units: dict[str, Unit]
    """How far each index is carried, by the end of its name."""
    seq_no: int
    term: int
    over: bool = False
    """There is nothing more to be gone on with."""
    _kept_at: float = 0.0

    def keep(self) -> None:
        """Raises Displaced where another run has taken over."""
        self._write(self.owner)

    def keep_sometimes(self, _: int) -> None:
        """A sign of life during long work."""
        if time.monotonic() - self._kept_at > _BEAT_S:
            self.keep()

    def release(self) -> None:
        """The next run need not wait for this one's death."""
        try:
            self._write("")
            if self.over:
                self.client.indices.delete(index=self.index)
        except (ApiError, TransportError, Displaced):
            return

    def _write(self, owner: str) -> None:
        body = {
            "to_version": self.to_version,
            "owner": owner,
            "units": {end: asdict(unit) for end, unit in self.units.items()},
        }
        try:
            answer = self.client.index(
                index=self.index, id=_ID, document={"body": body}, if_seq_no=self.seq_no, if_primary_term=self.term
            )
        except ConflictError as e:
            raise Displaced("另一个 store migrate 接手了这次迁移, 这一个到此为止") from e
        self.seq_no, self.term, self._kept_at = answer["_seq_no"], answer["_primary_term"], time.monotonic()


@contextmanager
def alone(client: Elasticsearch, prefix: str, to_version: int, *, patience_s: float) -> Iterator[State]:
    """The state as the last run left it, and the lock. Waits patience_s for a sign of life of a run that has it;
    raises MigrationRefused if there is one."""
    index = f"{prefix}-migration"
    create(
        client,
        index,
        settings={"number_of_shards": 1, "auto_expand_replicas": "0-1"},
        mappings={"dynamic": "strict", "properties": {"body": {"type": "object", "enabled": False}}},
    )
    client.options(ignore_status=409).create(index=index, id=_ID, document={"body": {"owner": ""}})
    found = client.get(index=index, id=_ID)
    until = time.monotonic() + patience_s
    while (owner := found["_source"]["body"]["owner"]) and time.monotonic() < until:
        time.sleep(min(_POLL_S, patience_s))
        before, found = found, client.get(index=index, id=_ID)
        if found["_seq_no"] != before["_seq_no"] and found["_source"]["body"]["owner"]:
            raise MigrationRefused(f"另一个 store migrate 正在运行 ({owner}): 请等它结束")
    body = found["_source"]["body"]
    units = body.get("units", {}) if body.get("to_version") == to_version else {}
    state = State(
        client,
        index,
        to_version,
        owner=f"{socket.gethostname()} {uuid.uuid4().hex[:8]}",
        units={end: Unit(**unit) for end, unit in units.items()},
        seq_no=found["_seq_no"],
        term=found["_primary_term"],
    )
    state.keep()
    try:
        yield state
    finally:
        state.release()
