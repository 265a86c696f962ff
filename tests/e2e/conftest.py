"""A real dashboard process over a lively store, and a real browser that may reach nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from index.embedded import EmbeddedStore
from index.store import Store
from tests.dashboard.lively import a_lively_store

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


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("dashboard")
    a_lively_store(folder / "wensheng.db").close()
    settings = folder / "settings.toml"
    settings.write_text(f'[service]\ndata_dir = "{folder}"\nport = {a_free_port()}\n\n[sample]\nenabled = true\n')
    port = settings.read_text().split("port = ")[1].split()[0]
    log = folder / "dashboard.log"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WENSHENG_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard.server"],
            cwd=ROOT,
            env={**environ, "WENSHENG_SETTINGS": str(settings)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    store = EmbeddedStore(folder / "wensheng.db")
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/healthz", process, log)
        yield Dashboard(f"http://127.0.0.1:{port}", log, store)
    finally:
        process.terminate()
        process.wait(20)
        store.close()


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
