"""What was crawled too soon or told twice, and whether a kill or a cut line explains it. Pure.

An end that is cut off cannot be told from one that was reached: who finds the claim of a dead worker crawls again at
once, and a message whose record was lost is sent again. So such repeats are counted apart, each with its cause, and
only those without a cause break the promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.trials.serving import Message

TOLERANCE_S = 1.0
"""By how much two starts may lie closer than the interval: clocks and rounding."""
START_S = 30.0
"""How long a crawl process may take, on a busy machine, from its claim to its first request."""
END_S = 3.0
"""Between a crawl's end and the record of it."""
ANSWER_S = 15.0
"""How long after a message arrived its answer may still be on the way."""
UNEXPLAINED, KILLED, CUT = "unexplained", "after_a_kill", "after_a_cut"


@dataclass(frozen=True)
class Span:
    """When a machine's worker was killed (a moment), or its line was cut. Times of day in seconds."""

    machine: str
    since: float
    until: float

    def meets(self, machine: str, since: float, until: float) -> bool:
        return self.machine == machine and self.since <= until and since <= self.until


@dataclass(frozen=True)
class History:
    """What was done to the machines; server is the name of that of the store."""

    kills: Sequence[Span]
    cuts: Sequence[Span]
    server: str

    def killed(self, machine: str, since: float, until: float) -> bool:
        return any(span.meets(machine, since, until) for span in self.kills)

    def cut(self, machine: str, since: float, until: float) -> bool:
        return any(span.meets(machine, since, until) for span in self.cuts)


@dataclass(frozen=True)
class Asked:
    """The first page of a source was asked for."""

    source: str
    machine: str
    at: float


@dataclass(frozen=True)
class Recorded:
    """A crawl that the store knows as a run."""

    source: str
    started_at: float
    finished_at: float


@dataclass(frozen=True)
class Crawl:
    """machine is "" where the site was never reached; finished_at None where no run was recorded."""

    source: str
    machine: str
    started_at: float
    finished_at: float | None


def crawls(asked: Iterable[Asked], runs: Iterable[Recorded]) -> list[Crawl]:
    """Every crawl that was recorded as a run, and every one that only the site saw: it was cut off.

    Requests that one machine makes within one run are one crawl: the crawler tries again where no answer came.
    """
    owners: dict[Recorded, str] = dict.fromkeys(sorted(runs, key=_start), "")
    cut_off = []
    for each in sorted(asked, key=_moment):
        for run, owner in owners.items():
            fits = run.source == each.source and run.started_at <= each.at <= run.finished_at
            if fits and owner in ("", each.machine):
                owners[run] = each.machine
                break
        else:
            cut_off.append(Crawl(each.source, each.machine, each.at, None))
    ended = [Crawl(run.source, owner, run.started_at, run.finished_at) for run, owner in owners.items()]
    return sorted([*ended, *cut_off], key=_start)


def _start(each: Recorded | Crawl) -> float:
    return each.started_at


def _moment(each: Asked) -> float:
    return each.at


def too_soon(done: Sequence[Crawl], history: History, *, every_s: float) -> list[tuple[str, Crawl, Crawl]]:
    """(cause, the earlier, the later) of two crawls of one source that started closer together than its interval."""
    found = []
    for source in sorted({crawl.source for crawl in done}):
        for earlier, later in pairwise(crawl for crawl in done if crawl.source == source):
            if later.started_at - earlier.started_at < every_s - TOLERANCE_S:
                found.append((_why_again(earlier, later, history), earlier, later))
    return found


def _why_again(earlier: Crawl, later: Crawl, history: History) -> str:
    if earlier.finished_at is None:
        since, until = earlier.started_at - START_S, later.started_at
        if history.killed(earlier.machine, since, until):
            return KILLED
        if history.cut(earlier.machine, since, until) or history.cut(history.server, since, until):
            return CUT
    elif history.killed(earlier.machine, earlier.started_at, earlier.finished_at + END_S):
        return KILLED
    return UNEXPLAINED


def repeats(messages: Sequence[Message], history: History, machines: Mapping[str, str]) -> list[tuple[str, str]]:
    """(cause, id) of each message that came again. machines: address -> name.

    Sent again is explained where the first sender died before it could note that it had sent, or where its own line
    was cut while the answer was on the way. A store that was cut off explains nothing: the sender insists.
    """
    first: dict[str, Message] = {}
    found = []
    for message in messages:
        earlier = first.setdefault(message.id, message)
        if earlier is message:
            continue
        sender = machines.get(earlier.sender, earlier.sender)
        if history.killed(sender, earlier.at, message.at):
            found.append((KILLED, message.id))
        elif history.cut(sender, earlier.at, earlier.at + ANSWER_S):
            found.append((CUT, message.id))
        else:
            found.append((UNEXPLAINED, message.id))
    return found
