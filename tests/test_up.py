"""The whole service as `make run` starts it, on the sample brand, and its ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from settings import ROOT, StoreSettings
from tests.index.backends import TemporaryElasticStore
from tests.servers.elastic import store_settings
from tests.servers.ports import free_port

PATIENCE_S = 120


def get(url: str) -> bytes:
    with urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
        return body


def wait_for(what: Callable[[], Any], log: Path) -> Any:
    """The first true answer; the service's output is in the failure's text."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except (URLError, OSError):
            pass
        time.sleep(0.5)
    pytest.fail(f"waited {PATIENCE_S} s in vain\n{log.read_text(encoding='utf-8')[-5000:]}")


class Up:
    """A running `manage.py up` (or another command) with ports and a data folder of its own."""

    def __init__(self, folder: Path, *command: str, **environ: str) -> None:
        self.ports = {name: free_port() for name in ("SERVICE", "SAMPLE", "WORKER")}
        self.environ = {
            **os.environ,
            "WENSHENG_DATA_DIR": str(folder / "data"),
            **{f"WENSHENG_{name}__PORT": str(port) for name, port in self.ports.items()},
            **environ,
        }
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environ,
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
        )

    def url(self, name: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def manage(self, *command: str) -> Any:
        done = subprocess.run(
            [sys.executable, "manage.py", *command, "--json"],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def started(folder: Path, *command: str, **environ: str) -> Iterator[Up]:
    up = Up(folder, *command, **environ)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.end()


@contextmanager
def on_embedded() -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def on_elasticsearch() -> Iterator[dict[str, str]]:
    """What is to be set, and nothing else."""
    options = store_settings()
    yield variables(options)
    TemporaryElasticStore(options).close()


def variables(options: StoreSettings) -> dict[str, str]:
    """[store] as environment variables."""
    return {
        f"WENSHENG_STORE__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in options.model_dump(mode="json", exclude_defaults=True).items()
    }


@pytest.fixture(scope="module", params=[on_embedded, pytest.param(on_elasticsearch, marks=pytest.mark.es)])
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with request.param() as environ, started(tmp_path_factory.mktemp("up"), "up", **environ) as running:
        wait_for(lambda: "闻声已启动" in running.log.read_text(encoding="utf-8"), running.log)
        wait_for(lambda: json.loads(get(running.url("SAMPLE", "/inbox.json"))), running.log)
        yield running


@pytest.mark.slow
class TestTheSample:
    def test_it_is_crawled_and_read_by_itself(self, up: Up) -> None:
        counts = up.manage("count", "--by", "topic")
        assert counts["total"] > 2500
        assert {"shanlan", "shanlan-new", "qingyu", "industry"} <= set(counts["counts"])
        assert {source["last_outcome"] for source in up.manage("sources")} <= {"ok", "empty"}

    def test_its_crisis_raised_an_alert_with_reason_and_evidence(self, up: Up) -> None:
        (alert,) = [alert for alert in up.manage("alerts") if alert["rule"] == "negative-spike"]
        assert alert["level"] in ("orange", "red")
        assert alert["value"] > 10 * alert["expected"]
        assert "同时段通常" in alert["sentence"]
        assert alert["evidence"]

    def test_the_webhook_got_exactly_one_message_for_it(self, up: Up) -> None:
        told = [message["content"] for message in json.loads(get(up.url("SAMPLE", "/inbox.json")))]
        assert [(message["event"], message["level"]) for message in told if message["subject"]["kind"] == "alert"] == [
            ("opened", "red")
        ]

    def test_complaints_and_questions_became_open_tasks(self, up: Up) -> None:
        tasks = up.manage("tasks")
        assert len(tasks) > 20
        assert {task["state"] for task in tasks} == {"open"}

    def test_customers_are_known_and_some_wrote_what_was_crawled(self, up: Up) -> None:
        assert len(up.manage("customers")) == 200
        linked = [task for task in up.manage("tasks") if task["customer_id"]]
        assert linked

    def test_the_dashboard_answers(self, up: Up) -> None:
        assert b"<" in get(up.url("SERVICE", "/"))

    def test_the_worker_tells_its_health_and_its_figures(self, up: Up) -> None:
        assert json.loads(get(up.url("WORKER", "/health")))["status"] == "ok"
        metrics = get(up.url("WORKER", "/metrics")).decode()
        assert 'wensheng_mentions_total{what="new"}' in metrics
        assert 'wensheng_runs_total{outcome="ok"' in metrics

    def test_a_part_that_is_killed_is_started_again(self, up: Up) -> None:
        children = Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()
        worker = next(pid for pid in children if b"work" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
        os.kill(int(worker), signal.SIGKILL)
        wait_for(lambda: "started again" in up.log.read_text(encoding="utf-8"), up.log)
        wait_for(lambda: json.loads(get(up.url("WORKER", "/health")))["status"] == "ok", up.log)


def test_a_worker_that_is_asked_to_end_ends_well(tmp_path: Path) -> None:
    with started(tmp_path, "work", WENSHENG_SOURCES="[]", WENSHENG_RULES="[]") as worker:
        wait_for(lambda: get(worker.url("WORKER", "/health")), worker.log)
        assert worker.end() == 0


def test_a_port_that_is_taken_is_named_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with started(tmp_path, "up", WENSHENG_SERVICE__PORT=port) as up:
            assert up.process.wait(60) == 1
            assert "WENSHENG_SERVICE__PORT" in up.log.read_text(encoding="utf-8")
