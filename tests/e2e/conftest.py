"""A real dashboard process over a lively store, and a real browser that may reach nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from index.embedded import EmbeddedStore
from index.store import Store
from tests.dashboard.lively import fill
from tests.index.backends import TemporaryElasticStore
from tests.servers.elastic import store_settings
from tests.servers.elastic_proxy import Proxy, cut, whole
from tests.servers.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STARTS_WITHIN_S = 60


@dataclass(frozen=True)
class Dashboard:
    url: str
    log: Path
    store: Store
    away: Callable[[], AbstractContextManager[None]]
    """For a while the dashboard cannot reach its store."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs on the embedded store, those marked so on Elasticsearch, too."""
    if "dashboard" in metafunc.fixturenames:
        other = [pytest.param(elasticsearch, marks=pytest.mark.es)]
        stores = [embedded, *(other if metafunc.definition.get_closest_marker("both_stores") else [])]
        metafunc.parametrize("dashboard", stores, indirect=True, scope="session")


@pytest.fixture(scope="session")
def dashboard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    yield from request.param(tmp_path_factory.mktemp("dashboard"))


def embedded(folder: Path) -> Iterator[Dashboard]:
    @contextmanager
    def away() -> Iterator[None]:
        file, elsewhere = folder / "wensheng.db", folder / "away.db"
        file.rename(elsewhere)
        try:
            yield
        finally:
            elsewhere.rename(file)

    store = EmbeddedStore(folder / "wensheng.db")
    fill(store)
    try:
        with a_dashboard(folder) as (url, log):
            yield Dashboard(url, log, store, away)
    finally:
        store.close()


def elasticsearch(folder: Path) -> Iterator[Dashboard]:
    """Reached through a line that can be cut."""
    options = store_settings()
    line = Proxy(options.hosts[0])
    section = (
        f'[store]\nbackend = "elasticsearch"\nhosts = ["{line.url}"]\nprefix = "{options.prefix}"\n'
        "replicas = 0\nretries = 1\n"
    )

    @contextmanager
    def away() -> Iterator[None]:
        line.spoil = cut
        try:
            yield
        finally:
            line.spoil = whole

    store = TemporaryElasticStore(options)
    fill(store)
    try:
        with a_dashboard(folder, section) as (url, log):
            yield Dashboard(url, log, store, away)
    finally:
        store.close()
        line.close()


@contextmanager
def a_dashboard(folder: Path, section: str = "") -> Iterator[tuple[str, Path]]:
    """Its URL and its log."""
    settings, log, port = folder / "settings.toml", folder / "dashboard.log", free_port()
    settings.write_text(f'[service]\ndata_dir = "{folder}"\nport = {port}\n\n[sample]\nenabled = true\n\n{section}')
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WENSHENG_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard.server"],
            cwd=ROOT,
            env={**environ, "WENSHENG_SETTINGS": str(settings)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/healthz", process, log)
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait(20)


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not start:\n{log.read_text(errors='replace')}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing: run debian.sh browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def enter(dashboard: Dashboard, browser: Browser) -> Iterator[Callable[..., Page]]:
    """enter("小李") is a fresh browser in which that person of the sample has signed in."""
    contexts = []
    outside: list[str] = []

    def note_outside(request: Request) -> None:
        if not request.url.startswith((dashboard.url, "data:", "blob:")):
            outside.append(request.url)

    def open_as(person: str, path: str = "/") -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 1500}, locale="zh-CN")
        contexts.append(context)
        page = context.new_page()
        page.on("request", note_outside)
        page.set_default_timeout(30_000)
        expect.set_options(timeout=20_000)
        page.goto(dashboard.url + path)
        with page.expect_response(f"{dashboard.url}/auth/session"):
            page.get_by_role("button", name=person).click()
        page.get_by_role("button", name="退出").wait_for()
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert not outside


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, object, object]:
    """A failed browser test shows what the server wrote and what was on the screen."""
    report = yield
    if call.when == "call" and call.excinfo is not None:
        arguments = getattr(item, "funcargs", {})
        dashboard = arguments.get("dashboard")
        if isinstance(dashboard, Dashboard):
            log = dashboard.log.read_text(errors="replace")
            report.sections.append(("dashboard log", log[-8000:]))  # type: ignore[attr-defined]
    return report
