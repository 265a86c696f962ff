"""Workers on several machines, and what is done to them and to their lines: when, by a seed, and then really."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from tests.servers.machines import Machine
from tests.trials import kill
from tests.trials.progress import TrialError, tell
from tests.trials.verdicts import Span

QUIET_S = 20.0
"""At the start nothing is done to anybody."""
BETWEEN_S = 5.0
STOP_S = 240.0
"""What a worker may have in hand when it is asked to end."""


@dataclass(frozen=True)
class Wanted:
    seconds: float
    n_sources: int
    n_kills: int
    n_cuts: int
    cut_s: float
    seed: int


@dataclass(frozen=True)
class Deed:
    """after_s counts from the start; with_children: a kill takes the crawl processes along."""

    after_s: float
    what: str
    machine: str
    with_children: bool = False


def deeds(wanted: Wanted, workers: Sequence[str], server: str) -> list[Deed]:
    """In order of time. Every line is cut about as often, and none again before it was mended for a while."""
    chance = random.Random(wanted.seed)
    found = [
        Deed(chance.uniform(QUIET_S, wanted.seconds), "kill", chance.choice(workers), chance.random() < 0.5)
        for _ in range(wanted.n_kills)
    ]
    lines = [*workers, server]
    for place, line in enumerate(lines):
        n = wanted.n_cuts // len(lines) + (place >= len(lines) - wanted.n_cuts % len(lines))
        part = (wanted.seconds - QUIET_S) / max(n, 1)
        if n and part < wanted.cut_s + BETWEEN_S:
            raise TrialError(f"{wanted.n_cuts} cuts of {wanted.cut_s:g} s do not fit: more --minutes or fewer --cuts")
        for number in range(n):
            begins = QUIET_S + number * part + chance.uniform(0, part - wanted.cut_s - BETWEEN_S)
            found += [Deed(begins, "cut", line), Deed(begins + wanted.cut_s, "mend", line)]
    return sorted(found, key=_after)


def _after(deed: Deed) -> float:
    return deed.after_s


@dataclass
class Fleet:
    """The workers, each started again when it has ended, as a service manager does."""

    machines: Mapping[str, Machine]
    environs: Mapping[str, Mapping[str, str]]
    logs: Mapping[str, IO[bytes]]
    chance: random.Random
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    due_at: dict[str, float] = field(default_factory=dict)
    kills: list[Span] = field(default_factory=list)
    cuts: list[Span] = field(default_factory=list)
    n_ended: int = 0
    """How often a worker ended by itself, e.g. because it was started while the store could not be reached."""

    def keep(self) -> None:
        now = time.time()
        for name in self.environs:
            worker = self.running.get(name)
            if worker is not None and worker.poll() is not None:
                del self.running[name]
                self.n_ended += 1
                self.due_at[name] = now + 1
            elif worker is None and self.due_at.get(name, 0) <= now:
                within, log = self.machines[name].within, self.logs[name]
                self.running[name] = kill.start_worker(self.environs[name], within=within, log=log)

    def do(self, deed: Deed) -> None:
        now, machine = time.time(), self.machines[deed.machine]
        if deed.what == "cut":
            machine.cut()
            self.cuts.append(Span(machine.name, now, float("inf")))
        elif deed.what == "mend":
            machine.mend()
            self.cuts = [_ended(span, now) if span.machine == machine.name else span for span in self.cuts]
        elif worker := self.running.pop(machine.name, None):
            kill.kill(worker, with_children=deed.with_children)
            self.kills.append(Span(machine.name, now, time.time()))
            self.due_at[machine.name] = now + self.chance.uniform(0.5, 5)
        else:
            return
        tell(f"{deed.what} {machine.name}")

    def end(self) -> None:
        """At once; what they started goes with their machines."""
        for worker in self.running.values():
            kill.kill(worker, with_children=True)
        self.running.clear()

    def stop(self) -> None:
        """In good order."""
        for worker in self.running.values():
            worker.terminate()
        for worker in self.running.values():
            worker.wait(STOP_S)
        self.running.clear()


def _ended(span: Span, at: float) -> Span:
    return Span(span.machine, span.since, min(span.until, at))
