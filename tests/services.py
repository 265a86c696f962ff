"""Services over one store file, each like a worker process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import jobs
from index.embedded import EmbeddedStore
from settings import ServiceSettings, Settings
from tests.builders import NOW

OWN_NAME = f"here:{os.getpid()}:{jobs._started(os.getpid())}"
"""Of a worker that lives as long as the test."""

Make = Callable[..., jobs.Service]
"""(name, **sections of the settings) -> a service, its topics, sources and rules provisioned."""


@dataclass
class Clock:
    """A clock that tests set."""

    at: datetime = field(default=NOW)

    def __call__(self) -> datetime:
        return self.at


@contextmanager
def services(folder: Path, clock: Clock, **usual: object) -> Iterator[Make]:
    """usual: sections of the settings, unless a service is made with others."""
    stores: list[EmbeddedStore] = []

    def made(name: str = OWN_NAME, **sections: object) -> jobs.Service:
        settings = Settings(service=ServiceSettings(data_dir=folder), **{**usual, **sections})  # type: ignore[arg-type]
        stores.append(EmbeddedStore(settings.store_path))
        service = jobs.Service(settings=settings, store=stores[-1], clock=clock, name=name)
        jobs.provision(service)
        return service

    yield made
    for store in stores:
        store.close()
