"""Writing mentions to Elasticsearch: each in the index of its month, and there only once.

What is stored is read by realtime gets, which see every write before them. A new mention is first created in its
month and only then looked for in the others, after a refresh of those: of two writers that bring the same id with
dates in different months, at least the later one sees both and makes one of them. (A search says in one look into
each index which of thousands of ids are there; realtime gets of all ids in all months took longer than the writing.)
The merged mention is written first, even where it is one of the two as it lies, and the other then removed, each only
if it is still as it was read: so a crash in between leaves two (mended at the next sight of the id) and never none, and
of two writers that keep different ones the later fails at one of its writes and reads again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from index.elastic_bulk import Fate, Result, Write, pause
from index.elastic_errors import of_answer
from index.elastic_rows import key_of, line_of, mention_of, with_sorted_keys
from index.elastic_schema import create, mention_indices
from index.elastic_search import LARGEST_PAGE, Session
from index.elastic_text import chunks
from index.merge import edited, merged
from index.models import Mention, MentionEdit
from index.store import Added, StoreUnavailable

_GETS_AT_ONCE = 5_000
_ROUNDS = 20
_LONGEST_PAUSE_S = 0.5
_NEVER = datetime.min.replace(tzinfo=UTC)
_OF_PEOPLE = ("review", "hidden", "customer_id", "story_id")


@dataclass(frozen=True, slots=True)
class Stored:
    """A mention where it lies, as it was when it was read."""

    mention: Mention
    index: str
    seq_no: int
    term: int


@dataclass
class _Told:
    """What Added will say."""

    new_ids: dict[str, None] = field(default_factory=dict)
    changed_ids: dict[str, None] = field(default_factory=dict)
    n_same: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    def added(self) -> Added:
        return Added(
            new_ids=tuple(self.new_ids),
            changed_ids=tuple(self.changed_ids),
            n_same=self.n_same,
            refused=self.refused,
        )


@dataclass(frozen=True)
class MentionWriter:
    session: Session

    def lookup(self, ids: Collection[str]) -> dict[str, list[Stored]]:
        """All that is stored under each id, in whatever month; almost always one."""
        return self._get((index, name) for index in self._indices() for name in ids) if ids else {}

    def _indices(self) -> list[str]:
        return mention_indices(self.session.client, self.session.names)

    def _get(self, places: Iterable[tuple[str, str]]) -> dict[str, list[Stored]]:
        found: dict[str, list[Stored]] = {}
        wanted = [{"_index": index, "_id": key_of(name)} for index, name in places]
        for docs in chunks(wanted, _GETS_AT_ONCE):
            for said in self._documents(docs):
                mention = mention_of(said["_source"], keys=True)
                index = self.session.names.month(mention.published_at)
                stored = Stored(mention, index, said["_seq_no"], said["_primary_term"])
                found.setdefault(mention.id, []).append(stored)
        return found

    def _documents(self, docs: list[dict[str, str]]) -> list[Any]:
        """Those that exist. A month that retention just removed has none; for one that another writer just makes,
        and for shards on their way to another node, this waits."""
        settings = self.session.settings
        for attempt in range(settings.retries + 1):
            if attempt:
                self.session.bulk.wait(pause(attempt))
            # Of those that are not there, almost all, the answer shall have nothing at all.
            answer = self.session.patiently(
                lambda: self.session.client.mget(
                    docs=docs, filter_path="docs._source,docs._seq_no,docs._primary_term,docs.error"
                )
            )
            said = answer.body.get("docs", [])
            errors = [each["error"] for each in said if "error" in each]
            failures = [error for error in errors if error.get("type") != "index_not_found_exception"]
            if not failures:
                return [each for each in said if "error" not in each]
        raise of_answer(503, failures[0], settings)

    # ---------------------------------------------------------------------------------------------- adding

    def add(self, mentions: Sequence[Mention], now: datetime) -> Added:
        """As Store.add_mentions promises. Raises StoreUnavailable where trying again later may help."""
        sightings: dict[str, list[Mention]] = {}
        for mention in mentions:
            sightings.setdefault(mention.id, []).append(mention)
        told = _Told()
        firsts = {name: seen[0].model_copy(update={"indexed_at": now}) for name, seen in sightings.items()}
        created, elsewhere = self._create(firsts, told)
        names = [name for name in sightings if name not in told.refused]
        open_: dict[str, list[Stored]] = {}
        spare: dict[str, Stored] = {}
        for name in names:
            copies, own = elsewhere.get(name, []), created.get(name)
            if own is not None and all((copy.mention.indexed_at or _NEVER) > now for copy in copies):
                told.new_ids[name] = None
                copies, sightings[name] = [*copies, own], sightings[name][1:]
            elif own is not None:
                spare[name] = own
            elif not copies:
                raise StoreUnavailable(f"提及 {name} 正在被别处删除, 请稍后再试")
            if sightings[name] or len(copies) > 1:
                open_[name] = copies
        self._merge(open_, sightings, spare, told)
        return told.added()

    def restore(self, mentions: Sequence[Mention], *, replace: bool) -> Added:
        """As Store.restore_mentions promises."""
        wanted = {mention.id: with_sorted_keys(mention) for mention in mentions}
        told = _Told()
        created, elsewhere = self._create(wanted, told)
        open_: dict[str, list[Stored]] = {}
        for name in [name for name in wanted if name not in told.refused]:
            copies = elsewhere.get(name, [])
            if not copies and name not in created:
                raise StoreUnavailable(f"提及 {name} 正在被别处删除, 请稍后再试")
            if not copies:
                told.new_ids[name] = None
                continue
            open_[name] = copies
            if united([copy.mention for copy in copies]) == wanted[name]:
                told.n_same += 1
            else:
                told.changed_ids[name] = None
        self._change(
            open_,
            lambda name, known: wanted[name] if replace else known,
            spare={name: created[name] for name in open_ if name in created},
            refused=told.refused,
        )
        return told.added()

    def _create(self, firsts: Mapping[str, Mention], told: _Told) -> tuple[dict[str, Stored], dict[str, list[Stored]]]:
        """Each mention written where its month has none of its id; and what else there is of the ids."""
        created, unsure = {}, []
        writes = [self._written("create", mention) for mention in firsts.values()]
        for mention, write, result in zip(firsts.values(), writes, self._write(writes), strict=True):
            if result.fate is Fate.DONE:
                created[mention.id] = Stored(mention, write.index, result.seq_no, result.term)
            elif result.fate is Fate.REFUSED:
                told.refused[mention.id] = result.reason
            elif result.unsure:
                unsure.append(mention)
        months = {name: write.index for name, write in zip(firsts, writes, strict=True) if name not in told.refused}
        known = [(index, name) for name, index in months.items() if name not in created]
        elsewhere = self._get([*known, *self._beside(months)])
        for mention in unsure:
            _recognise(mention, elsewhere, created)
        return created, elsewhere

    def _beside(self, months: Mapping[str, str]) -> list[tuple[str, str]]:
        """Where else, as (index, id), these ids are than in the month that is given with each."""
        by_month: dict[str, dict[str, str]] = {}
        for name, month in months.items():
            by_month.setdefault(month, {})[key_of(name)] = name
        # A pattern, since the names of all months may be more than an address holds.
        others = {month: f"{self.session.names.mentions_template}-*,-{month}" for month in by_month}
        if others:
            self.session.refresh(next(iter(others.values())) if len(others) == 1 else self.session.names.mentions)
        # So few at once that all of them in all months are one answer.
        at_once = max(LARGEST_PAGE // len(self._indices()), 1) if others else 0
        found = []
        for month, names in by_month.items():
            for keys in chunks(names, at_once):
                answer = self.session.search(
                    index=others[month],
                    query={"ids": {"values": keys}},
                    sort=["_doc"],
                    size=LARGEST_PAGE,
                    source=False,
                    track_total_hits=False,
                    filter_path="hits.hits._index,hits.hits._id",
                )
                hits = answer.body.get("hits", {}).get("hits", ())
                found += [(hit["_index"], names[hit["_id"]]) for hit in hits]
        return found

    def _merge(
        self,
        open_: dict[str, list[Stored]],
        sightings: Mapping[str, list[Mention]],
        spare: Mapping[str, Stored],
        told: _Told,
    ) -> None:
        """Applies the sightings to what is stored, again and again where others write the same."""

        def change(name: str, known: Mention) -> Mention:
            for seen in sightings[name]:
                known = _merged(known, seen)
            return known

        before = self._change(open_, change, spare=spare, refused=told.refused)
        for name in before.keys() - told.refused.keys():
            known = before[name]
            for seen in sightings[name]:
                after = _merged(known, seen)
                if _is_same(known, after):
                    told.n_same += 1
                else:
                    told.changed_ids[name] = None
                known = after

    # --------------------------------------------------------------------------------------------- editing

    def edit(self, edits: Mapping[str, MentionEdit]) -> dict[str, Mention]:
        """The edited mentions of those ids that exist."""
        before = self._change(self.lookup(edits.keys()), lambda name, known: edited(known, edits[name]))
        return {name: edited(known, edits[name]) for name, known in before.items()}

    def _change(
        self,
        open_: dict[str, list[Stored]],
        change: Callable[[str, Mention], Mention],
        *,
        spare: Mapping[str, Stored] | None = None,
        refused: dict[str, str] | None = None,
    ) -> dict[str, Mention]:
        """Writes change(what is stored) for each id, and one in place of several. Returns what was stored before.

        spare are documents that were just created beside the stored ones and count for nothing by themselves.
        """
        done: dict[str, Mention] = {}
        spare = dict(spare or {})
        for round_ in range(_ROUNDS if open_ else 0):
            if round_:
                time.sleep(random.uniform(0, _LONGEST_PAUSE_S * round_ / _ROUNDS))
                open_ = self.lookup(open_.keys())
                spare = {}
            before = {name: united([each.mention for each in copies]) for name, copies in open_.items()}
            after = {name: change(name, known) for name, known in before.items()}
            places = {name: {each.index: each for each in copies} for name, copies in open_.items()}
            for name, stored in spare.items():
                if name in places:
                    places[name].setdefault(stored.index, stored)
            failed = self._put(after, places, refused)
            done |= {name: known for name, known in before.items() if name not in failed}
            open_ = {name: copies for name, copies in open_.items() if name in failed}
            if not open_:
                break
        if not open_:
            return done
        raise StoreUnavailable(f"提及 {next(iter(open_))} 一直在被别处改动, 这次没有写成, 请稍后再试")

    def _put(
        self,
        after: Mapping[str, Mention],
        places: Mapping[str, Mapping[str, Stored]],
        refused: dict[str, str] | None,
    ) -> set[str]:
        """Each mention into its month, then away with the others. Returns the ids that somebody else changed."""
        writes: dict[str, Write] = {}
        for name, mention in after.items():
            there = places[name].get(self.session.names.month(mention.published_at))
            # Also where it is right as it lies: whoever keeps another of the copies then sees that this one was
            # chosen. Otherwise each of two writers could remove what the other kept.
            if there is None or there.mention != mention or len(places[name]) > 1:
                writes[name] = self._written("index" if there else "create", mention, there)
        failed = set()
        for name, result in zip(writes, self._write(list(writes.values())), strict=True):
            if result.fate is Fate.REFUSED and refused is not None:
                refused[name] = result.reason
            elif result.fate is Fate.REFUSED:
                raise of_answer(400, {"reason": result.reason}, self.session.settings)
            elif result.fate is not Fate.DONE:
                failed.add(name)
        removals = {
            (name, stored.index): Write("delete", stored.index, key_of(name), None, stored.seq_no, stored.term)
            for name, mention in after.items()
            if name not in failed and name not in (refused or {})
            for stored in places[name].values()
            if stored.index != self.session.names.month(mention.published_at)
        }
        for (name, _), result in zip(removals, self._write(list(removals.values())), strict=True):
            if result.fate is Fate.CONFLICT:
                failed.add(name)
        return failed

    def _written(self, op: Any, mention: Mention, there: Stored | None = None) -> Write:
        index = self.session.names.month(mention.published_at)
        document = line_of(mention)
        if there is None:
            return Write(op, index, key_of(mention.id), document)
        return Write(op, index, key_of(mention.id), document, there.seq_no, there.term)

    def _write(self, writes: list[Write]) -> list[Result]:
        """In months that do not exist they are made; the template gives them their mapping and alias."""
        results = self.session.bulk.write(writes)
        lost = [at for at, result in enumerate(results) if result.fate is Fate.MISSING and writes[at].op != "delete"]
        if lost:
            for index in {writes[at].index for at in lost}:
                create(self.session.client, index)
            for at, result in zip(lost, self.session.bulk.write([writes[at] for at in lost]), strict=True):
                results[at] = result
        return results

    # --------------------------------------------------------------------------------------------- erasing

    def erase(self, ids: Collection[str]) -> int:
        """Removes them whatever their state. Returns how many ids there were."""
        found = [(name, stored) for name, copies in self.lookup(ids).items() for stored in copies]
        return len(self.remove([(stored.index, name) for name, stored in found]))

    def remove(self, places: Sequence[tuple[str, str]]) -> set[str]:
        """The ids that were there, of (index, id)."""
        results = self._write([Write("delete", index, key_of(name)) for index, name in places])
        return {name for (_, name), result in zip(places, results, strict=True) if result.fate is Fate.DONE}


def united(copies: Sequence[Mention]) -> Mention:
    """One mention of what is stored under one id: what people and jobs said of any of them stays."""
    first, *others = sorted(copies, key=lambda each: (each.indexed_at or _NEVER, each.collected_at, each.published_at))
    for other in others:
        both = _merged(first, other)
        lost = {name: getattr(other, name) for name in _OF_PEOPLE if getattr(both, name) is None}
        first = both.model_copy(update=lost)
    return first


def _merged(known: Mention, seen: Mention) -> Mention:
    """As index.merge has it; story keys of the stored one stay where there are no new ones."""
    both = merged(known, seen)
    return both if both.story_keys else both.model_copy(update={"story_keys": known.story_keys})


def _is_same(old: Mention, new: Mention) -> bool:
    """Whether a second sighting says nothing new; that it was seen again later is no news."""
    return new.model_copy(update={"collected_at": old.collected_at}) == old


def _recognise(ours: Mention, elsewhere: Mapping[str, list[Stored]], created: dict[str, Stored]) -> None:
    """Of a creation that was sent twice, whether the stored one is ours: then it is new after all."""
    for stored in elsewhere.get(ours.id, []):
        if stored.mention == with_sorted_keys(ours):
            elsewhere[ours.id].remove(stored)
            created[ours.id] = stored
            return
