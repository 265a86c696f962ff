"""The deployment: compose.yaml is valid, and what it starts in containers starts here without them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from importlib.metadata import requires
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import yaml
from compose_spec import PyCompose
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from settings import ROOT, StoreSettings, load
from tests.index.test_elastic_security import ROLE
from tests.servers.certificates import Authority
from tests.servers.ports import free_port

DEPLOY = ROOT / "deploy"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)\}")
PATIENCE_S = 60
WORKERS = ("worker-1", "worker-2")
DASHBOARDS = ("dashboard-1", "dashboard-2")
NGINX = ROOT / ".venv" / "nginx"
"""Where `debian.sh web` puts it on a machine that has none."""

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.M)
LEFT_OUT = re.search(r'LEFT_OUT="(.*?)"', DOCKERFILE)


def filled_in() -> dict[str, Any]:
    """compose.yaml as Compose reads it with a filled-in .env."""
    values = {name: f"{name.lower().replace('_', '-')}-value" for name, _ in EXAMPLE}
    text = VARIABLE.sub(lambda found: values.get(found[1]) or found[2] or "", COMPOSE)
    read: dict[str, Any] = yaml.safe_load(text)
    return read


SERVICES = filled_in()["services"]


def packages_left_out() -> set[str]:
    assert LEFT_OUT is not None
    return set(LEFT_OUT[1].split("|"))


# ------------------------------------------------------------------------------------------------- the files


def test_compose_follows_the_specification() -> None:
    PyCompose.from_yaml(yaml.safe_dump(filled_in())).validate()


@cache
def compose() -> tuple[str, ...]:
    """The command of Compose, version 2 or later; empty where there is none."""
    for command in (("docker", "compose"), (str(ROOT / ".venv" / "bin" / "docker-compose"),), ("docker-compose",)):
        with suppress(OSError):
            said = subprocess.run([*command, "version", "--short"], check=False, capture_output=True, text=True)
            if said.returncode == 0 and re.match(r"v?([2-9]|\d\d+)\.", said.stdout):
                return command
    return ()


def config(env_file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    if not compose():
        pytest.skip("no Docker Compose of version 2; the specification alone was checked")
    command = [*compose(), "--env-file", str(env_file), "--file", str(ROOT / "compose.yaml"), "config", *options]
    clean = {name: value for name, value in os.environ.items() if name not in dict(EXAMPLE)}
    return subprocess.run(command, check=False, env=clean, capture_output=True, text=True)


def test_compose_itself_reads_the_file_as_these_tests_do(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("".join(f"{name}={name.lower().replace('_', '-')}-value\n" for name, _ in EXAMPLE))
    said = config(env_file, "--format", "json")
    assert (said.returncode, said.stderr) == (0, "")
    read = json.loads(said.stdout)["services"]
    assert read.keys() == SERVICES.keys()
    for name, service in SERVICES.items():
        assert read[name]["image"] == service["image"]
        assert read[name]["command"] == service.get("command")
        assert read[name].get("environment", {}) == service.get("environment", {})


def test_compose_names_what_env_lacks_and_where_to_look(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    said = config(tmp_path / ".env", "--quiet")
    assert said.returncode != 0
    assert "deploy/.env.example" in said.stderr


def test_what_compose_needs_from_the_environment_is_in_the_example_without_a_value() -> None:
    assert {name for name, default in VARIABLE.findall(COMPOSE) if not default} == {name for name, _ in EXAMPLE}
    assert not [name for name, value in EXAMPLE if value]


def test_every_service_that_goes_on_has_a_health_check_and_limits() -> None:
    for name, service in SERVICES.items():
        if service.get("restart"):
            own_image = service["image"].startswith("wensheng:")
            assert "healthcheck" in service or (own_image and "HEALTHCHECK" in DOCKERFILE), name
            assert {"mem_limit", "cpus"} <= service.keys(), name


def test_files_that_compose_mounts_are_there() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert not [path for path in mounted if path.startswith("./") and not (ROOT / path).exists()]


def test_the_role_is_the_one_that_the_tests_of_the_store_sign_in_with() -> None:
    role = json.loads((DEPLOY / "elasticsearch-role.json").read_text(encoding="utf-8"))
    (indices,), (tested,) = role["indices"], ROLE["indices"]
    assert (role["cluster"], indices["privileges"]) == (ROLE["cluster"], tested["privileges"])
    assert indices["names"] == [f"{StoreSettings().prefix}-*"]


def test_nothing_that_the_image_installs_needs_what_it_leaves_out() -> None:
    direct = {
        Requirement(line).name
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if re.match(r"\w", line)
    }
    left_out = packages_left_out()
    assert left_out < direct
    seen: set[str] = set()
    ahead = {canonicalize_name(name) for name in direct - left_out}
    while ahead:
        name = ahead.pop()
        seen.add(name)
        wanted = [Requirement(line) for line in requires(name) or []]
        needed = {canonicalize_name(each.name) for each in wanted if not each.marker or each.marker.evaluate()}
        ahead |= needed - seen
    assert not seen & left_out


# ------------------------------------------------------------------------------- the image, without containers


def in_image(path: Path) -> bool:
    """What .dockerignore says of a file of the repository; the last rule that fits decides."""
    parents = [path, *path.parents][:-1]
    taken = True
    for rule in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = rule.removeprefix("!").removeprefix("**/")
        names = [each.name for each in parents] if "**/" in rule else [each.as_posix() for each in parents]
        # In a .dockerignore a star does not cross a slash.
        if (
            rule
            and not rule.startswith("#")
            and any(fnmatch(n, pattern) and n.count("/") <= pattern.count("/") for n in names)
        ):
            taken = rule.startswith("!")
    return taken


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the image, and Python as it is there: what is left out cannot be imported."""
    tree = tmp_path_factory.mktemp("image")
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in known.stdout.decode().splitlines():
        if in_image(Path(name)) and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    blocked = dict.fromkeys(packages_left_out())
    (tree / "sitecustomize.py").write_text(f"import sys\nsys.modules.update({blocked!r})\n", encoding="utf-8")
    return tree


def test_the_image_holds_no_tests_no_secrets_and_no_data(image: Path) -> None:
    assert not {"tests", "docs", "data", ".git", ".env", "sample"} & {path.name for path in image.iterdir()}
    assert [path.name for path in (image / "deploy").iterdir()] == ["healthy.py"]


class Container:
    """A service of compose.yaml as a process in the image's files, on the embedded store in a folder of its own."""

    def __init__(self, name: str, image: Path, data: Path) -> None:
        service = SERVICES[name]
        self.image, self.port = image, free_port()
        self.health = service.get("healthcheck", {}).get("test") or from_dockerfile(r"HEALTHCHECK.*?CMD (\[.*?\])")
        given = {key: value for key, value in service["environment"].items() if not key.startswith("WENSHENG_STORE__")}
        given.pop("WENSHENG_ELASTICSEARCH_PASSWORD")
        section = "SERVICE" if "dashboard" in name else "WORKER"
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("WENSHENG_")},
            **given,
            f"WENSHENG_{section}__PORT": str(self.port),
            f"WENSHENG_{section}__HOST": "127.0.0.1",
            "WENSHENG_DATA_DIR": str(data),
            "PYTHONPATH": str(image),
            **{f"WENSHENG_{part}": "[]" for part in ("SOURCES", "RULES", "CHANNELS")},
        }
        self.log = data.with_name(f"{name}.log")
        command = [sys.executable if part == "python" else part for part in service["command"]]
        self.process = subprocess.Popen(
            command, cwd=image, env=self.environ, stdout=self.log.open("wb"), stderr=subprocess.STDOUT
        )

    def is_healthy(self) -> bool:
        """As the container's own health check finds, asked at this port."""
        test = [re.sub(r":\d{4}/", f":{self.port}/", part) for part in self.health if part != "CMD"]
        test[0] = sys.executable
        return subprocess.run(test, check=False, cwd=self.image, capture_output=True).returncode == 0

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def from_dockerfile(pattern: str) -> list[str]:
    found = re.search(pattern, DOCKERFILE, re.S)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


@contextmanager
def running(name: str, image: Path, data: Path) -> Iterator[Container]:
    container = Container(name, image, data)
    try:
        wait_until(container.is_healthy, container)
        yield container
    finally:
        container.end()


def wait_until(what: Callable[[], bool], container: Container) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if what():
            return
        if container.process.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail(container.log.read_text(encoding="utf-8")[-3000:])


def test_the_workers_start_from_the_image_become_healthy_and_end_well(image: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(running(name, image, tmp_path / "data")) for name in WORKERS]
        for worker in workers:
            wait_until(partial(knows_its_model, worker), worker)
            assert health(worker)["roles"] == ["crawl", "read", "decide"]
        assert [worker.end() for worker in workers] == [0, 0]


def knows_its_model(worker: Container) -> bool:
    return bool(health(worker).get("model_version"))


def test_the_image_by_itself_starts_what_compose_starts_as_a_worker() -> None:
    assert {tuple(SERVICES[name]["command"]) for name in WORKERS} == {tuple(from_dockerfile(r"\n(?:CMD) (\[.*?\])"))}


@pytest.mark.parametrize("name", [*WORKERS, *DASHBOARDS])
def test_the_settings_that_compose_gives_are_understood(name: str, image: Path) -> None:
    given = SERVICES[name]["environment"]
    store = load(image / "settings.toml", given).store
    assert (store.backend, len(store.hosts), store.user) == ("elasticsearch", 3, "wensheng")
    assert given[store.password_env]
    mounted = [volume.split(":")[1] for volume in SERVICES[name]["volumes"]]
    assert store.ca_file.startswith(tuple(f"{folder}/" for folder in mounted))


def test_every_service_of_our_image_is_started_here() -> None:
    ours = {name for name, service in SERVICES.items() if service["image"].startswith("wensheng:")}
    assert ours == {*WORKERS, *DASHBOARDS}


def health(worker: Container) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{worker.port}/health", timeout=10) as answer:
        facts: dict[str, Any] = json.load(answer)
    return facts


def test_a_health_check_fails_where_nothing_answers() -> None:
    said = subprocess.run(
        [sys.executable, "deploy/healthy.py", f"http://127.0.0.1:{free_port()}/"],
        check=False,
        cwd=ROOT,
        capture_output=True,
    )
    assert said.returncode == 1
    assert b"127.0.0.1" in said.stderr


# ------------------------------------------------------------------------------- the dashboards behind nginx


@dataclass(frozen=True)
class Web:
    http: int
    https: int
    trust: ssl.SSLContext
    desks: tuple[Container, ...]


@pytest.fixture(scope="module")
def desks(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Container]]:
    """Both dashboards on one store."""
    data = tmp_path_factory.mktemp("desks") / "data"
    with ExitStack() as stack:
        started = {name: Container(name, image, data) for name in DASHBOARDS}
        for desk in started.values():
            stack.callback(desk.end)
        for desk in started.values():
            wait_until(desk.is_healthy, desk)
        yield started


def test_the_dashboards_start_from_the_image_and_become_healthy(desks: dict[str, Container]) -> None:
    for desk in desks.values():
        with urlopen(f"http://127.0.0.1:{desk.port}/", timeout=20) as page:
            assert b"<html" in page.read()


def an_nginx() -> tuple[Path, Path]:
    """The program and its mime.types."""
    for root in (Path("/"), NGINX):
        program, types = root / "usr/sbin/nginx", root / "etc/nginx/mime.types"
        if program.exists() and types.exists():
            return program, types
    pytest.skip("no nginx: bash debian.sh web")


@pytest.fixture(scope="module")
def web(desks: dict[str, Container], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Both dashboards and the real nginx with deploy/nginx.conf, but for its ports and paths."""
    nginx, types = an_nginx()
    folder = tmp_path_factory.mktemp("web")
    authority = Authority(folder, "web-ca")
    pair, https, http = authority.server("server"), free_port(), free_port()
    with ExitStack() as stack:
        text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        kept = "".join(f"{what}_temp_path {what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        for here, there in (
            ("http {", f"http {{ {kept}"),
            ("/etc/nginx/mime.types", str(types)),
            ("listen 443", f"listen 127.0.0.1:{https}"),
            ("listen 80;", f"listen 127.0.0.1:{http};"),
            ("/etc/nginx/tls/server.crt", str(pair.cert)),
            ("/etc/nginx/tls/server.key", str(pair.key)),
            ("/tmp/nginx.pid", str(folder / "nginx.pid")),
            # The answers say who gave them.
            (
                "add_header Set-Cookie $new_desk;",
                "add_header Set-Cookie $new_desk; add_header X-Desk $upstream_addr always;",
            ),
            *((f"{name}:8501", f"127.0.0.1:{desk.port}") for name, desk in desks.items()),
        ):
            assert here in text
            text = text.replace(here, there)
        (folder / "nginx.conf").write_text(
            f"user {'root' if os.getuid() == 0 else 'nobody'};\n{text}", encoding="utf-8"
        )
        server = subprocess.Popen(
            [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"],
            stderr=(folder / "nginx.log").open("wb"),
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)
        trust = ssl.create_default_context(cafile=str(authority.file))
        wait_for_port(https, folder / "nginx.log")
        yield Web(http, https, trust, tuple(desks.values()))


def wait_for_port(port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(log.read_text(encoding="utf-8")[-3000:])


@dataclass(frozen=True)
class Visit:
    """mark: the cookie that the browser keeps; page, live: the addresses that served the page and its connection."""

    mark: str
    page: str
    live: str


def visit(port: int, trust: ssl.SSLContext, mark: str = "") -> Visit:
    """Open the page as a browser does, live connection and all."""
    page = ask(port, trust, "/", {"Cookie": mark} if mark else {})
    assert page.status == 200
    mark = (page.getheader("Set-Cookie") or mark).partition(";")[0]
    upgrade = {
        "Cookie": mark,
        "Origin": f"https://127.0.0.1:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "streamlit",
    }
    live = ask(port, trust, "/_stcore/stream", upgrade)
    assert live.status == 101
    return Visit(mark, page.headers["X-Desk"], live.headers["X-Desk"])


def ask(port: int, trust: ssl.SSLContext, path: str, headers: dict[str, str]) -> HTTPResponse:
    line = HTTPSConnection("127.0.0.1", port, context=trust, timeout=20)
    try:
        line.request("GET", path, headers=headers)
        return line.getresponse()
    finally:
        line.close()


def test_nginx_is_healthy_by_its_own_check_and_sends_browsers_to_https(web: Web) -> None:
    checked = urlsplit(SERVICES["web"]["healthcheck"]["test"][-1])
    with urlopen(f"http://127.0.0.1:{web.http}{checked.path}", timeout=20) as answer:
        assert json.load(answer) == {"status": "ok"}
    line = HTTPConnection("127.0.0.1", web.http, timeout=20)
    line.request("GET", "/mentions?q=1", headers={"Host": "wensheng.example.com"})
    answer = line.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, "https://wensheng.example.com/mentions?q=1")
    line.close()


def test_a_browser_stays_with_its_dashboard_and_goes_to_the_other_when_that_is_gone(web: Web) -> None:
    visits = [visit(web.https, web.trust) for _ in range(8)]
    addresses = {f"127.0.0.1:{desk.port}": desk for desk in web.desks}
    assert {each.page for each in visits} == addresses.keys()  # strangers go to both
    for first in visits:
        again = visit(web.https, web.trust, first.mark)
        assert (again.mark, again.page, again.live) == (first.mark, first.page, first.page)
    first = visits[0]
    gone = addresses[first.page]
    gone.process.kill()
    gone.process.wait()
    (other,) = addresses.keys() - {first.page}
    again = visit(web.https, web.trust, first.mark)
    assert (again.page.split(", ")[-1], again.live.split(", ")[-1]) == (other, other)
