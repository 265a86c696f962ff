"""The store's server fails in all its ways: the spool holds, all catches up, nothing is lost, doubled or told twice.

Each outage is done to the real server, or to the line to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from urllib.error import HTTPError

import pytest

import doctor
import jobs
import worker
from crawlers.spool import SpoolWriter, pending, read_bad
from dashboard import last_known
from index import elastic_fence
from index.elastic import ElasticStore
from index.elastic_migrate import migrate
from index.elastic_schema import VERSION, Names
from index.embedded import EmbeddedStore
from index.models import Alert, Mention, Notification, NotificationState, Run, Task
from index.store import MentionQuery, SchemaError, Store, StoreUnavailable
from settings import ChannelSettings, ServiceSettings, Settings, TopicSettings
from tests.builders import NOW, a_mention, a_persona, a_record, ago
from tests.index.backends import TemporaryElasticStore
from tests.servers.elastic import Server, missing, own_server, store_settings
from tests.servers.elastic_cluster import a_cluster
from tests.servers.elastic_proxy import Answer, Proxy, cut, whole
from tests.test_up import Up, get, started, variables, wait_for
from tests.trials import kill

pytestmark = pytest.mark.es

TOPICS = (TopicSettings(id="shanlan", name="山岚咖啡", kind="brand", query="山岚咖啡"),)
N = 60
N_OF_SITE = 400
SMALL_HEAP = "320m"


@pytest.fixture(scope="module")
def server() -> Server:
    if missing():
        pytest.skip(missing())
    return own_server()


@pytest.fixture
def store(server: Server) -> Iterator[TemporaryElasticStore]:
    """As it is without an outage."""
    opened = TemporaryElasticStore(store_settings(hosts=[server.url]))
    yield opened
    opened.close()


@contextmanager
def a_service(
    folder: Path,
    store: ElasticStore,
    *,
    hosts: tuple[str, ...] | None = None,
    channels: tuple[ChannelSettings, ...] = (),
) -> Iterator[jobs.Service]:
    """A worker on the same indices that soon loses patience, its model loaded."""
    own = store._settings
    settings = Settings(
        service=ServiceSettings(data_dir=folder),
        store=own.model_copy(update={"hosts": hosts or own.hosts, "timeout_s": 3.0, "retries": 1}),
        topics=TOPICS,
        channels=channels,
    )
    service = jobs.Service(settings=settings, store=ElasticStore(settings.store), clock=lambda: NOW)
    jobs.provision(service)
    assert service.classifier
    yield service
    service.store.close()


def spooled(service: jobs.Service, mentions: list[Mention]) -> None:
    with SpoolWriter(service.settings.spool_dir, "run-1") as writer:
        for mention in mentions:
            writer.write(mention)


def complaints() -> list[Mention]:
    """Over three months; the youngest third must be answered."""
    return [
        a_mention(
            f"{n}号店的山岚咖啡喝完拉肚子, 已经{n + 3}天没人理, 要求退款",
            topics=(),
            published_at=ago(hours=1 + n, days=30 * (n % 3)),
            persona=a_persona(n),
        )
        for n in range(N)
    ]


def kept(store: Store) -> tuple[dict[str, Mention], set[str]]:
    """All mentions by id, and the ids of the tasks."""
    store.check()  # it refreshes: on a server, what another store wrote is seen a little later
    found = store.search(MentionQuery(hidden="with"), limit=10 * N).mentions
    assert len(found) == len({mention.id for mention in found})
    return {mention.id: mention for mention in found}, {task.id for task in store.find(Task)}


@pytest.fixture
def undisturbed(tmp_path: Path) -> Callable[[list[Mention]], tuple[dict[str, Mention], set[str]]]:
    """What comes of mentions where nothing goes wrong."""

    def ingested(mentions: list[Mention]) -> tuple[dict[str, Mention], set[str]]:
        (tmp_path / "undisturbed").mkdir()
        settings = Settings(service=ServiceSettings(data_dir=tmp_path / "undisturbed"), topics=TOPICS)
        service = jobs.Service(settings=settings, store=EmbeddedStore(settings.store_path), clock=lambda: NOW)
        jobs.provision(service)
        jobs.ingest(service, mentions)
        result = kept(service.store)
        service.store.close()
        assert len(result[0]) == len(mentions)
        assert result[1]
        return result

    return ingested


# ----------------------------------------------------------------------------- what the server does to one worker


@contextmanager
def hung(server: Server, store: ElasticStore) -> Iterator[None]:
    with server.hung():
        yield


@contextmanager
def read_only(server: Server, store: ElasticStore) -> Iterator[None]:
    """As the server itself makes them when the disk is nearly full."""
    indices, names = store._session.client.indices, store._session.names
    index = f"{names.mentions}-*"
    indices.put_settings(index=index, settings={"index.blocks.read_only_allow_delete": True})
    try:
        yield
    finally:
        indices.put_settings(index=index, settings={"index.blocks.read_only_allow_delete": None})


@contextmanager
def red(server: Server, store: ElasticStore) -> Iterator[None]:
    """The only shard of one month has no node to be on."""
    client, index = store._session.client, store._session.names.month(ago(hours=1))
    client.indices.delete(index=index)
    nowhere = {"index.routing.allocation.require._name": "nobody"}
    client.indices.create(index=index, settings=nowhere, wait_for_active_shards=0)
    assert client.cluster.health(index=index)["status"] == "red"
    try:
        yield
    finally:
        client.indices.put_settings(index=index, settings={"index.routing.allocation.require._name": None})
        client.cluster.health(index=index, wait_for_status="yellow", timeout="60s")


@pytest.mark.parametrize("outage", [hung, read_only, red])
def test_the_spool_holds_while_the_server_takes_nothing_and_then_all_is_there_once(
    tmp_path: Path,
    server: Server,
    store: TemporaryElasticStore,
    undisturbed: Callable[[list[Mention]], object],
    outage: Callable[[Server, ElasticStore], AbstractContextManager[None]],
) -> None:
    mentions = complaints()
    expected = undisturbed(mentions)
    months = [a_mention(published_at=mention.published_at) for mention in mentions[:3]]
    store.add_mentions(months, now=NOW)
    store.erase_mentions([mention.id for mention in months])
    with a_service(tmp_path, store) as service:
        spooled(service, mentions)
        with outage(server, store):
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    jobs.ingest_spool(service)
            assert len(pending(service.settings.spool_dir)) == 1
        jobs.ingest_spool(service)
        assert pending(service.settings.spool_dir) == []
    assert kept(store) == expected


# --------------------------------------------------------------------------------------------- what the line does


def half_refused_as_busy(method: str, path: str, answer: Answer) -> Answer:
    """The server wrote every item; of every second one the worker hears that it did not."""
    if "_bulk" not in path:
        return answer
    body = answer.json
    for item in body["items"][::2]:
        next(iter(item.values())).update(
            status=503, error={"type": "unavailable_shards_exception", "reason": "primary shard is not active"}
        )
    return answer.with_json(body)


def cut_after_the_write(method: str, path: str, answer: Answer) -> Answer | None:
    return None if "_bulk" in path else answer


@pytest.mark.parametrize("spoil", [half_refused_as_busy, cut_after_the_write])
def test_a_bulk_of_which_the_worker_hears_only_half_or_nothing_is_there_once(
    tmp_path: Path,
    store: TemporaryElasticStore,
    undisturbed: Callable[[list[Mention]], object],
    spoil: Callable[[str, str, Answer], Answer | None],
) -> None:
    mentions = complaints()
    expected = undisturbed(mentions)
    proxy = Proxy(store._settings.hosts[0])
    with a_service(tmp_path, store, hosts=(proxy.url,)) as service:
        spooled(service, mentions)
        proxy.spoil = spoil
        with pytest.raises(StoreUnavailable):
            jobs.ingest_spool(service)
        proxy.spoil = whole
        jobs.ingest_spool(service)
        assert pending(service.settings.spool_dir) == []
    proxy.close()
    assert kept(store) == expected


def test_what_the_servers_mapping_refuses_lies_in_the_bad_pile_and_the_rest_is_there(
    tmp_path: Path, store: TemporaryElasticStore
) -> None:
    refused = a_mention("山岚咖啡喝完拉肚子", topics=(), persona=a_persona(id=f"weibo:{'长' * 12_000}"))
    good = a_mention("山岚咖啡好喝", topics=())
    with a_service(tmp_path, store) as service:
        spooled(service, [refused, good])
        store.put(a_record(Run, id="run-1", n_bad=0))
        (file,) = pending(service.settings.spool_dir)
        assert jobs.ingest_spool(service).n_new == 1
    mentions, tasks = kept(store)
    assert (set(mentions), tasks) == ({good.id}, set())
    (line,) = read_bad(file)
    assert Mention.model_validate(line.line).persona == refused.persona
    assert line.where == refused.id
    assert "persona" in line.reason
    assert len(line.reason) < 1_000
    run = store.get(Run, "run-1")
    assert run is not None
    assert (run.n_new, run.n_bad, run.bad_lines) == (1, 1, (f"{refused.id}: {line.reason}",))


def test_a_message_that_was_sent_before_the_line_was_cut_is_not_sent_again(
    tmp_path: Path, store: TemporaryElasticStore
) -> None:
    proxy = Proxy(store._settings.hosts[0])
    channel = ChannelSettings(id="inbox", kind="webhook", url="http://127.0.0.1:9/")
    with a_service(tmp_path, store, hosts=(proxy.url,), channels=(channel,)) as service:
        store.put(a_record(Alert, id="a1"))
        store.put(a_record(Notification, channel="inbox", subject_id="a1"))
        told: list[str] = []

        class Sender:
            def send(self, message: Notification) -> None:
                told.append(message.id)
                proxy.spoil = cut_three_times()

        service.__dict__["channels"] = {"inbox": Sender()}
        assert jobs.deliver_due(service)["sent"] == 1
        assert jobs.deliver_due(service)["sent"] == 0
    proxy.close()
    assert len(told) == 1
    (sent,) = store.find(Notification)
    assert sent.state == NotificationState.SENT


def cut_three_times() -> Callable[[str, str, Answer], Answer | None]:
    left = iter((None, None, None))
    return lambda method, path, answer: next(left, answer)


# ------------------------------------------------------------------------------------------- a mapping too new


def test_a_worker_too_old_for_the_mapping_keeps_its_spool_and_the_right_version_brings_it_in(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: TemporaryElasticStore,
    undisturbed: Callable[[list[Mention]], object],
) -> None:
    mentions = complaints()
    expected = undisturbed(mentions)
    newer = Names(store._settings.prefix, VERSION + 1)
    with a_service(tmp_path, store) as service:
        spooled(service, mentions)
        assert migrate(store._settings, version=newer.version).switched
        with pytest.raises(SchemaError, match="升级") as refused:
            jobs.ingest_spool(service)
        assert worker.timed(worker.ingest, service) is False
        assert last_known.is_loss(refused.value)  # pages show what they last knew
        assert len(pending(service.settings.spool_dir)) == 1
    path = tmp_path / "settings.toml"
    path.write_text("", encoding="utf-8")
    for name, value in {"WENSHENG_SETTINGS": str(path), **variables(store._settings)}.items():
        monkeypatch.setenv(name, value)
    (found,) = (check for check in doctor.examine(now=NOW) if check.name == "存储")
    assert (found.status, "升级" in found.finding) == ("error", True)
    upgraded = jobs.Service(
        settings=service.settings, store=ElasticStore(store._settings, names=newer), clock=lambda: NOW
    )
    jobs.ingest_spool(upgraded)
    assert pending(service.settings.spool_dir) == []
    assert kept(upgraded.store) == expected
    upgraded.store.close()


@pytest.mark.slow
def test_a_running_worker_says_that_it_is_too_old_and_goes_on_once_the_right_version_is_back(
    tmp_path: Path, store: TemporaryElasticStore
) -> None:
    settings = store._settings
    client, mine, newer = store._session.client, store._session.names, Names(settings.prefix, VERSION + 1)
    path = tmp_path / "settings.toml"
    path.write_text("", encoding="utf-8")
    with started(tmp_path, "work", WENSHENG_SETTINGS=str(path), **variables(settings)) as running:
        wait_for(lambda: health(running)[0] == 200, running.log)
        migrate(settings, version=newer.version)
        wait_for(lambda: health(running)[0] == 503, running.log)
        assert "升级" in health(running)[1]
        elastic_fence.flip(client, newer, mine)
        elastic_fence.lift_fence(client, mine)
        wait_for(lambda: health(running)[0] == 200, running.log)


# --------------------------------------------------------------------------------------------- a node of three


@pytest.mark.slow
def test_a_node_of_three_that_is_killed_in_the_middle_of_a_bulk_costs_nothing(
    tmp_path: Path, server: Server, undisturbed: Callable[[list[Mention]], object]
) -> None:
    mentions = complaints()
    expected = undisturbed(mentions)
    cluster = a_cluster(heap=SMALL_HEAP)
    try:
        cluster.start()
        store = ElasticStore(store_settings(hosts=cluster.urls, replicas=1))
        months = [a_mention(published_at=mention.published_at) for mention in mentions[:3]]
        store.add_mentions(months, now=NOW)
        store.erase_mentions([mention.id for mention in months])
        cluster.wait_until_green()
        victim = cluster.holder(store._session.names.month(ago(hours=1)))
        proxy = Proxy(next(node.url for node in cluster.nodes if node is not victim))
        with ExitStack() as until_killed, a_service(tmp_path, store, hosts=(proxy.url,)) as service:

            def stops_and_dies(method: str, path: str) -> None:
                """The bulk finds the node silent; half a second later it is gone."""
                if "_bulk" in path and victim.is_running:
                    proxy.coming = quietly
                    until_killed.enter_context(victim.hung())
                    Timer(0.5, victim.kill).start()

            spooled(service, mentions)
            proxy.coming = stops_and_dies
            ingest_in_the_end(service)
            assert not victim.is_running
        proxy.close()
        assert kept(store) == expected
        store.close()
    finally:
        cluster.stop()


def quietly(method: str, path: str) -> None:
    pass


def ingest_in_the_end(service: jobs.Service) -> None:
    """As the turns of a worker do."""
    for _ in range(50):
        try:
            jobs.ingest_spool(service)
        except StoreUnavailable:
            time.sleep(0.5)
        if not pending(service.settings.spool_dir):
            return
    pytest.fail("the spool file is still there")


# ------------------------------------------------------------------------------------------- the whole worker


def test_a_server_that_is_killed_under_a_working_worker_costs_nothing_and_tells_nothing_twice(
    tmp_path: Path, server: Server
) -> None:
    settings = store_settings(hosts=[server.url])
    site = kill.a_site(N_OF_SITE, datetime.now(UTC), seed=20261127)
    with kill.serving(site) as port:
        path = tmp_path / "settings.toml"
        path.write_text(kill.settings_text(port), encoding="utf-8")
        environ = {"WENSHENG_SETTINGS": str(path), **variables(settings)}
        store = TemporaryElasticStore(settings)
        with started(tmp_path, "work", **environ) as worker:
            wait_for(lambda: store.count(MentionQuery()), worker.log)
            server.kill()
            try:
                wait_for(lambda: health(worker)[0] == 503, worker.log)
            finally:
                server.start()
            done = kill.settled(store, N_OF_SITE, time.monotonic() + 120)
            wait_for(lambda: health(worker)[0] == 200, worker.log)
        report = kill.report_of(store, site, N_OF_SITE) | {"settled": done, "n_kills": 0}
        store.close()
    assert kill.problems(report) == [], report


@pytest.mark.slow
def test_a_worker_that_starts_before_its_server_waits_for_it(tmp_path: Path, server: Server) -> None:
    line = Proxy(server.url)
    line.spoil = cut
    settings = store_settings(hosts=[line.url])
    path = tmp_path / "settings.toml"
    path.write_text("", encoding="utf-8")
    store = TemporaryElasticStore(settings.model_copy(update={"hosts": (server.url,)}))
    with started(tmp_path, "work", WENSHENG_SETTINGS=str(path), **variables(settings)) as early:
        wait_for(lambda: "waits for it" in early.log.read_text(encoding="utf-8"), early.log)
        line.spoil = whole
        wait_for(lambda: health(early)[0] == 200, early.log)
    store.close()
    line.close()


def health(worker: Up) -> tuple[int, str]:
    """Status and body of /health."""
    try:
        return 200, get(worker.url("WORKER", "/health")).decode()
    except HTTPError as error:
        return error.code, error.read().decode()
