"""A real Elasticsearch for the tests: one per run, started where it is first needed, ended with the run.

WENSHENG_TEST_ELASTICSEARCH_URL names one that runs already (without security); else the server beside the
repository is started on a free port; else the tests that need one are skipped and say why.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from settings import ROOT, StoreSettings
from tests.servers.ports import free_port

START = ROOT.parent / "shared" / "elasticsearch" / "start"
VARIABLE = "WENSHENG_TEST_ELASTICSEARCH_URL"
HEAP = "768m"

_prefixes = count(1)


@dataclass
class Server:
    """One node in a folder of its own; ended by stop(), or by the kernel when the test run dies."""

    arguments: tuple[str, ...] = ()
    heap: str = HEAP
    port: int = field(default_factory=free_port)
    transport_port: int = field(default_factory=free_port)
    within: tuple[str, ...] = ()
    """Command that runs the server elsewhere, e.g. in a network of its own."""
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="wensheng-elastic-", dir="/var/tmp")))
    url: str = ""
    _process: subprocess.Popen[str] | None = None

    def start(self) -> Server:
        """Raises RuntimeError with the end of the log if it does not become ready."""
        return self.launch().ready()

    def launch(self) -> Server:
        """To be called by a thread that lives as long as the server: the kernel ends it with that thread."""
        self.folder.chmod(0o755)
        command = [*self.within, sys.executable, str(START), "--port", str(self.port)]
        command += ["--transport-port", str(self.transport_port)]
        command += ["--data", str(self.folder / "node"), "--heap", self.heap, *self.arguments]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def ready(self) -> Server:
        """Waits for it; raises RuntimeError as start() does."""
        assert self._process is not None, "not launched"
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith("ready "):
                self.url = line.split()[1]
                return self
        raise RuntimeError(f"Elasticsearch did not start: {''.join(said[-20:])}")

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """As a loss of power does: at once, and what is on the disk stays for the next start()."""
        if self._process is not None:
            for pid in (*reversed(self._descendants()), self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections and does not answer."""
        stopped = self._descendants()
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _descendants(self) -> list[int]:
        """Parents first."""
        assert self._process is not None, "not started"
        found = [self._process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found[1:]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def missing() -> str:
    """Why there is no server here; empty if there is one."""
    if os.environ.get(VARIABLE):
        return ""
    if not START.is_file():
        return f"no Elasticsearch: {START} is not there and {VARIABLE} is not set"
    return "" if shutil.which("java") else f"no Elasticsearch: no java found and {VARIABLE} is not set"


@cache
def own_server() -> Server:
    """One that tests may kill and hang, and leave running: where none is given, all tests of the run share it."""
    server = Server()
    atexit.register(server.stop)
    return server.start()


def shared_url() -> str:
    """The server that all tests of a run share."""
    if missing():
        pytest.skip(missing())
    return os.environ.get(VARIABLE) or own_server().url


def store_settings(**changes: object) -> StoreSettings:
    """[store] for the shared server, with indices of its own."""
    prefix = f"test-{os.getpid()}-{next(_prefixes)}"
    fields: dict[str, object] = {
        "backend": "elasticsearch",
        "hosts": [shared_url()],
        "prefix": prefix,
        "replicas": 0,
        "timeout_s": 120,  # a machine that is busy with other things is no failure
    }
    return StoreSettings.model_validate({**fields, **changes})
