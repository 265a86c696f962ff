"""One world and one running site for all tests of the sample; the clock is the test's."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sample.posts import Post
from sample.site import Site, serve
from sample.world import World

ANCHOR = datetime(2026, 11, 18, 6, 30, tzinfo=UTC)


class Clock:
    """The site's time, moved by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Answered:
    """An answer of the site, errors included."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


def running(site: Site) -> Iterator[Site]:
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield site
    site.shutdown()
    site.server_close()
    thread.join()


@pytest.fixture(scope="session")
def world() -> World:
    return World(ANCHOR)


@pytest.fixture(scope="session")
def posts(world: World) -> list[Post]:
    return world.posts_until(ANCHOR)


@pytest.fixture
def clock() -> Clock:
    return Clock(ANCHOR)


@pytest.fixture
def site(world: World, clock: Clock) -> Iterator[Site]:
    yield from running(serve(0, clock, world=world))


@pytest.fixture
def fetch(site: Site) -> Callable[..., Answered]:
    def get(path: str, *, data: bytes | None = None, method: str | None = None, **headers: str) -> Answered:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(site.url + path, data=data, headers=named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answered(response.status, response.headers, response.read())
        except urllib.error.HTTPError as e:
            with e:
                return Answered(e.code, e.headers, e.read())

    return get
