"""[worker] roles: who does what, and what nobody does is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

import jobs
import worker
from crawlers.spool import SpoolWriter, pending
from doctor import _workers
from index import workers
from index.models import ReaderState, Source, WorkerState
from index.store import MentionQuery
from settings import SettingsError, SourceSettings, TopicSettings, WorkerRole, load
from tests.builders import NOW, a_mention, a_record, ago
from tests.services import Clock, Make, services

TOPIC = TopicSettings(id="shanlan", name="山岚咖啡", kind="brand", query="山岚咖啡")
SOURCE = SourceSettings.model_validate(
    {"id": "s", "name": "S", "kind": "file", "platform": "p", "basis": "b", "reviewed": "2026-11-01"}
)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    with services(tmp_path, Clock(), topics=(TOPIC,), sources=(SOURCE,)) as make:
        yield make


def with_roles(made: Make, *roles: WorkerRole, name: str = "here:1:1") -> jobs.Service:
    return made(name, worker={"roles": roles})


def spooled(service: jobs.Service) -> None:
    with SpoolWriter(service.settings.spool_dir, "run-1") as writer:
        writer.write(a_mention())


def test_together_the_roles_do_every_job_and_alone_each_does_its_own() -> None:
    alone = {role: set(worker.jobs_of([role])) for role in get_args(WorkerRole)}
    assert set.union(*alone.values()) == set(worker.jobs_of(get_args(WorkerRole)))
    assert alone["crawl"] & alone["decide"] == {worker.tell_presence}


def test_who_crawls_ingests_its_own_spool() -> None:
    (role,) = [role for role, work in worker.JOBS.items() if worker.crawl in work]
    assert {worker.ingest, worker.sweep, worker.check_model} <= set(worker.JOBS[role])


def test_a_worker_that_only_decides_neither_crawls_nor_ingests_nor_loads_a_model(made: Make) -> None:
    service = with_roles(made, "decide")
    spooled(service)
    worker.work_until_idle(service)
    assert pending(service.settings.spool_dir)
    source = service.store.get(Source, "s")
    assert source is not None
    assert source.last_run_at is None
    assert not service.store.find(ReaderState)


def test_a_worker_that_only_crawls_ingests_and_leaves_the_rules(made: Make) -> None:
    service = with_roles(made, "crawl")
    spooled(service)
    worker.work_until_idle(service)
    assert not pending(service.settings.spool_dir)
    assert service.store.count(MentionQuery()) == 1


def test_an_unknown_role_is_named_with_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[worker]\nroles = ["crawl", "reed"]\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"第 2 行.*'reed'.*'crawl', 'read' or 'decide'"):
        load(file, {})
    with pytest.raises(SettingsError, match=r"WENSHENG_WORKER__ROLES.*'reed'"):
        load(file, {"WENSHENG_WORKER__ROLES": '["reed"]'})
    with pytest.raises(SettingsError, match="至少写一个角色"):
        load(file, {"WENSHENG_WORKER__ROLES": "[]"})


def test_a_role_is_filled_by_a_worker_that_spoke_lately_and_by_no_other() -> None:
    here = a_record(WorkerState, roles=("crawl", "read"), checked_at=NOW)
    silent = a_record(WorkerState, roles=("decide",), checked_at=ago(minutes=6))
    assert workers.running([silent, here], NOW) == [here]
    assert workers.unfilled([silent, here], NOW) == ("decide",)
    assert workers.unfilled([silent.but(checked_at=ago(minutes=2)), here], NOW) == ()
    assert workers.unfilled([], NOW) == get_args(WorkerRole)


def test_a_worker_says_that_it_is_there_and_takes_it_back_at_its_end(made: Make) -> None:
    service = with_roles(made, "crawl", name="a:1:1")
    worker.tell_presence(service)
    worker.tell_presence(service)
    (state,) = service.store.find(WorkerState)
    assert (state.id, state.roles, state.checked_at) == ("a:1:1", ("crawl",), NOW)
    jobs.tell_absence(service)
    assert not service.store.find(WorkerState)


def test_workers_that_fell_silent_long_ago_are_forgotten(made: Make) -> None:
    service = with_roles(made, "decide")
    service.store.put_all([a_record(WorkerState, checked_at=NOW - timedelta(days=8))])
    jobs.housekeep(service)
    assert not service.store.find(WorkerState)


def test_doctor_names_the_role_that_nobody_has(made: Make) -> None:
    service = with_roles(made, "crawl", "read", name="a:1:1")
    (none,) = _workers(service.settings, service.store, NOW)
    assert (none.status, none.finding) == ("warning", "没有工作进程在运行")
    worker.tell_presence(service)
    (missing,) = _workers(service.settings, service.store, NOW)
    assert missing.status == "warning"
    assert "decide" in missing.mend
    worker.tell_presence(with_roles(made, "decide", name="b:1:1"))
    (fine,) = _workers(service.settings, service.store, NOW)
    assert fine.status == "ok"
