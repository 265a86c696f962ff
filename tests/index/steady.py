"""A writer that never pauses while a store is moved to another version, and knows what must be there afterwards."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from index.models import Engagement, LogEntry, Mention, MentionEdit
from index.store import MentionQuery, SchemaError, Store, StoreUnavailable, VersionConflict
from tests.builders import NOW, a_mention, a_record, ago

_MONTHS_DAYS = (0, 30, 60)
_A_MONTH = timedelta(days=31)
_REST_S = 0.05


class SteadyWriter(threading.Thread):
    """Adds, sees again, redates, edits and erases mentions of its own, and writes and deletes records, one thing after
    the other. What the store cannot take now is done again until it is taken; where the store says that this program
    is too old for it, by the store that upgrade() opens, as a worker does that starts anew."""

    def __init__(self, name: str, store: Store, upgrade: Callable[[], Store], *, seed: int = 0) -> None:
        super().__init__(name=name, daemon=True)
        self._store, self._upgrade, self._chance = store, upgrade, random.Random(f"{name} {seed}")
        self._enough = threading.Event()
        self.mentions: dict[str, Mention] = {}
        self.records: dict[str, LogEntry] = {}
        self.n_written = 0
        self.n_upgrades = 0
        self.longest_s = 0.0
        """The longest that one write had to wait."""
        self.refusals: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self._insist(self._chance.choices(*zip(*self._things(), strict=True))[0]())
                self.n_written += 1
        except BaseException as e:  # noqa: BLE001
            self.failure = e

    def stop(self) -> None:
        self._enough.set()
        self.join(120)
        assert not self.is_alive(), f"{self.name} still waits"
        if self.failure is not None:
            raise self.failure

    def _things(self) -> tuple[tuple[Callable[[], Callable[[], None]], int], ...]:
        if not self.mentions or not self.records:
            return ((self._add, 1), (self._note, 1))
        return (
            *((self._add, 30), (self._see_again, 20), (self._redate, 8), (self._edit, 15), (self._erase, 10)),
            *((self._note, 8), (self._note_again, 6), (self._delete_note, 3)),
        )

    def _insist(self, write: Callable[[], None]) -> None:
        began = time.monotonic()
        while True:
            try:
                write()
            except StoreUnavailable as e:
                self.refusals.append(str(e))
                time.sleep(_REST_S)
            except SchemaError as e:
                self.refusals.append(str(e))
                self._store = self._upgrade()
                self.n_upgrades += 1
            else:
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                return

    # ------------------------------------------------------------------------------- each made once, done until done

    def _add(self) -> Callable[[], None]:
        fresh = [self._a_mention(number) for number in range(self._chance.randrange(1, 6))]

        def write() -> None:
            self._store.add_mentions(fresh, now=NOW)
            self.mentions |= {mention.id: mention for mention in fresh}

        return write

    def _see_again(self, shift: timedelta = timedelta()) -> Callable[[], None]:
        known = self.mentions[self._chance.choice(list(self.mentions))]
        likes = (known.engagement.likes or 0) + 1
        later = {
            "engagement": Engagement(likes=likes),
            "collected_at": known.collected_at + timedelta(seconds=1),
            "published_at": known.published_at + shift,
        }
        seen = known.model_copy(update=later)

        def write() -> None:
            self._store.add_mentions([seen.model_copy(update={"customer_id": None})], now=NOW)
            self.mentions[seen.id] = seen

        return write

    def _redate(self) -> Callable[[], None]:
        return self._see_again(self._chance.choice((-_A_MONTH, _A_MONTH)))

    def _edit(self) -> Callable[[], None]:
        name, customer = self._chance.choice(list(self.mentions)), f"c{self._chance.randrange(10**9)}"

        def write() -> None:
            self._store.edit_mentions({name: MentionEdit(customer_id=customer)})
            self.mentions[name] = self.mentions[name].model_copy(update={"customer_id": customer})

        return write

    def _erase(self) -> Callable[[], None]:
        names = self._chance.sample(list(self.mentions), min(3, len(self.mentions)))

        def write() -> None:
            self._store.erase_mentions(names)
            for name in names:
                self.mentions.pop(name, None)

        return write

    def _note(self) -> Callable[[], None]:
        return self._putting(a_record(LogEntry, id=f"{self.name}-{self.n_written}"))

    def _note_again(self) -> Callable[[], None]:
        return self._putting(self._a_record().but(note=f"{self.n_written} 号改动"))

    def _putting(self, record: LogEntry) -> Callable[[], None]:
        def write() -> None:
            try:
                self.records[record.id] = self._store.put(record)
            except VersionConflict:  # an attempt before had won, and its answer was lost
                stored = self._store.get(LogEntry, record.id)
                assert stored == record.but(version=record.version + 1), (stored, record)
                self.records[record.id] = stored

        return write

    def _delete_note(self) -> Callable[[], None]:
        record = self._a_record()

        def write() -> None:
            self._store.delete(LogEntry, record.id)
            self.records.pop(record.id, None)

        return write

    # ------------------------------------------------------------------------------------------------- material

    def _a_mention(self, number: int) -> Mention:
        words = "".join(chr(self._chance.randrange(0x4E00, 0x9000)) for _ in range(12))
        return a_mention(
            f"山岚咖啡{words}",
            id=f"weibo:{self.name}-{self.n_written}-{number}",
            source=self.name,
            published_at=self._instant(),
            engagement=Engagement(likes=0),
            story_keys=(self._chance.randrange(10**6),),
        )

    def _instant(self) -> datetime:
        return ago(days=self._chance.choice(_MONTHS_DAYS), minutes=self._chance.randrange(60 * 24))

    def _a_record(self) -> LogEntry:
        return self.records[self._chance.choice(list(self.records))]

    # ------------------------------------------------------------------------------------------------- the proof

    def problems(self, store: Store) -> list[str]:
        """What of this writer is not in the store as it was confirmed."""
        there = store.mentions(list(self.mentions), whole=True)
        found = [f"lost: {name}" for name in self.mentions.keys() - there.keys()]
        for name, mention in there.items():
            wanted = self.mentions[name].model_copy(update={"indexed_at": mention.indexed_at})
            if mention != wanted or mention.story_keys != wanted.story_keys:
                differing = {key for key in Mention.model_fields if getattr(mention, key) != getattr(wanted, key)}
                found.append(f"not as confirmed: {name}: {', '.join(sorted(differing))}")
        if (n := store.count(MentionQuery(sources=(self.name,), hidden="with"))) != len(self.mentions):
            found.append(f"{n} mentions instead of {len(self.mentions)}")
        notes = {record.id: record for record in store.find(LogEntry) if record.id.startswith(f"{self.name}-")}
        if notes != self.records:
            found.append(f"records differ: {sorted(notes.keys() ^ self.records.keys())[:5]}")
        return found
