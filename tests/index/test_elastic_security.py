"""A secured Elasticsearch: signing in with the smallest role, and every way of getting it wrong."""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from elasticsearch import Elasticsearch

from index.elastic import ElasticStore
from index.elastic_migrate import drop_old, migrate
from index.elastic_schema import VERSION, Names
from index.models import MentionEdit, Task
from index.store import MentionQuery, StoreError, StoreUnavailable
from settings import ROOT, StoreSettings
from tests.builders import NOW, a_mention, a_record, ago
from tests.servers.certificates import Authority
from tests.servers.elastic import START, Server, missing, shared_url

pytestmark = [
    pytest.mark.es,
    pytest.mark.skipif(bool(missing()) or not START.is_file(), reason=missing() or "the server is not started by us"),
]

PASSWORD = "bu-gao-su-ni-7"
PREFIX = "secured"
ROLE = {
    "cluster": ["monitor", "manage_index_templates"],
    "indices": [{"names": [f"{PREFIX}-*"], "privileges": ["read", "write", "manage"]}],
}
"""The smallest role that the service needs; the documentation gives the same."""
READER = {
    "cluster": ["monitor", "manage_index_templates"],
    "indices": [{"names": [f"{PREFIX}-*"], "privileges": ["read", "manage"]}],
}


@pytest.fixture(scope="module")
def secured():
    """A server with https, and the authority that signed for it."""
    folder = Path(tempfile.mkdtemp(prefix="wensheng-certificates-"))
    authority = Authority(folder, "our-ca")
    pair = authority.server("node")
    arguments = ("--password", PASSWORD, "--cert", str(pair.cert), "--key", str(pair.key))
    server = Server(arguments=arguments, heap="512m")
    try:
        server.start()
        yield server, authority
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def sign_in(secured, monkeypatch):
    """Makes [store] for the secured server; everything in it is right but what is named."""
    server, authority = secured

    def settings(*, password=PASSWORD, **changes):
        monkeypatch.setenv("WENSHENG_TEST_PASSWORD", password)
        fields = {
            "backend": "elasticsearch",
            "hosts": [server.url],
            "ca_file": str(authority.file),
            "user": "elastic",
            "password_env": "WENSHENG_TEST_PASSWORD",
            "prefix": PREFIX,
            "retries": 0,
        }
        return StoreSettings.model_validate({**fields, **changes})

    return settings


def api_key(sign_in, role, monkeypatch):
    """[store] that signs in with an API key of just this role."""
    admin = sign_in()
    client = Elasticsearch(
        list(admin.hosts), ca_certs=admin.ca_file, basic_auth=("elastic", PASSWORD), request_timeout=60
    )
    made = client.security.create_api_key(name="service", role_descriptors={"service": role})
    client.close()
    monkeypatch.setenv("WENSHENG_TEST_API_KEY", made["encoded"])
    return sign_in(user="", password_env="", api_key_env="WENSHENG_TEST_API_KEY")


def error_of(settings):
    with pytest.raises(StoreError) as caught:
        ElasticStore(settings)
    return caught.value


@pytest.fixture
def handshakes():
    """handshakes(pair) -> the address of a server that shows the certificate and says nothing more."""
    open_ = []

    def listen(pair):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        listening = socket.create_server(("127.0.0.1", 0))
        open_.append(listening)

        def serve():
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(line, server_side=True).close()
                except OSError:
                    line.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"https://127.0.0.1:{listening.getsockname()[1]}"

    yield listen
    for each in open_:
        each.close()


def test_an_api_key_with_the_smallest_role_does_all_that_the_service_does(sign_in, monkeypatch):
    store = ElasticStore(api_key(sign_in, ROLE, monkeypatch))
    old, new = a_mention("咖啡", published_at=ago(days=70), story_keys=(1,)), a_mention("咖啡")
    assert store.add_mentions([old, new], now=NOW).new_ids == (old.id, new.id)
    store.edit_mention(new.id, MentionEdit(customer_id="c1"))
    assert store.count(MentionQuery(text="NEAR/3(咖 啡)")) == 2
    assert store.group(MentionQuery(), ["customer"]) == {("",): 1, ("c1",): 1}
    assert store.find_originals([1], since=ago(days=90)) == {1: (old.id,)}
    task = store.put(a_record(Task))
    assert store.find(Task, {"state": "open"}) == [task]
    assert store.delete(Task, task.id)
    assert store.erase_before(ago(days=50)) == 1
    assert store.erase_mentions([new.id]) == 1
    assert store.check()["problems"] == []
    store.close()
    ElasticStore(api_key(sign_in, ROLE, monkeypatch)).close()


def test_the_smallest_role_is_enough_to_move_to_another_version_and_to_drop_the_old_one(sign_in, monkeypatch):
    settings = api_key(sign_in, ROLE, monkeypatch).model_copy(update={"prefix": f"{PREFIX}-moved"})
    old = ElasticStore(settings, names=Names(settings.prefix, VERSION - 1))
    mention = a_mention()
    old.add_mentions([mention], now=NOW)
    task = old.put(a_record(Task))
    old.close()
    assert migrate(settings).switched
    assert drop_old(settings).n_mentions == 1
    store = ElasticStore(settings)
    assert (list(store.mentions([mention.id])), store.find(Task)) == ([mention.id], [task])
    store.close()


def make_account(secured, admin_password):
    """What compose.yaml's service `account` runs."""
    server, authority = secured
    given = {
        "ELASTICSEARCH_URL": server.url,
        "CA_FILE": str(authority.file),
        "ROLE_FILE": str(ROOT / "deploy" / "elasticsearch-role.json"),
        "ELASTIC_PASSWORD": admin_password,
        "WENSHENG_ELASTICSEARCH_PASSWORD": "yi-ge-mi-mi-9",
    }
    command = ["bash", str(ROOT / "deploy" / "account.sh")]
    return subprocess.run(command, check=False, env={**os.environ, **given}, capture_output=True, text=True)


def test_the_account_that_the_deployment_makes_is_enough_and_making_it_again_does_no_harm(sign_in, secured):
    assert [make_account(secured, PASSWORD).returncode for _ in range(2)] == [0, 0]
    store = ElasticStore(sign_in(user="wensheng", password="yi-ge-mi-mi-9", prefix="wensheng"))
    mention = a_mention("咖啡")
    store.add_mentions([mention], now=NOW)
    store.put(a_record(Task))
    assert store.count(MentionQuery(text="咖啡")) == 1
    store.close()


def test_an_account_that_cannot_be_made_stops_the_deployment(secured):
    said = make_account(secured, "falsch")
    assert said.returncode != 0
    assert "401" in said.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unzip"), reason="needs root and unzip, as in the image")
@pytest.mark.usefixtures("secured")
def test_the_certificates_of_the_deployment_are_trusted_by_name_and_made_once(tmp_path):
    folders = {name: tmp_path / name.lower() for name in ("CERTS", "CA", "TLS", "SNAPSHOTS")}
    for folder in folders.values():
        folder.mkdir()
    (folders["CERTS"] / "ca.zip").write_text("of a run that was cut off")
    (tools,) = Path(f"/var/tmp/elasticsearch-home-{os.getuid()}").glob("*/bin")
    java = Path(shutil.which("java")).resolve().parents[1]
    given = {
        **{name: str(folder) for name, folder in folders.items()},
        "WEB_NAME": "pr.example.com",
        "PATH": f"{tools}:{os.environ['PATH']}",
        "ES_JAVA_HOME": os.environ.get("ES_JAVA_HOME", str(java)),
    }
    made = []
    for _ in range(2):
        subprocess.run(
            ["bash", str(ROOT / "deploy" / "certificates.sh")], check=True, env={**os.environ, **given}, timeout=240
        )
        made.append({path: path.read_bytes() for path in tmp_path.rglob("*.*")})
    assert made[0] == made[1]
    pairs = {name: folders["CERTS"] / name / name for name in ("es-1", "es-2", "es-3")}
    for name, pair in {**pairs, "pr.example.com": folders["TLS"] / "server"}.items():
        for host in (name, "localhost"):
            greet(pair, folders["CA"] / "ca.crt", host)
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            greet(pair, folders["CA"] / "ca.crt", "es-9")
    readable = {path.name for path in tmp_path.rglob("*.*") if path.stat().st_mode & 0o004}
    assert readable == {"ca.crt", "server.crt"}


def greet(pair, ca_file, host):
    """A handshake without a network: raises what a client would say to the certificate."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(pair.with_suffix(".crt"), pair.with_suffix(".key"))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(there, back, server_side=True)
    client = ssl.create_default_context(cafile=str(ca_file)).wrap_bio(back, there, server_hostname=host)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert client.version() == "TLSv1.3"


def test_the_health_check_of_a_node_tells_whether_https_and_security_are_up(secured):
    server, authority = secured
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    kind, check = compose["x-elasticsearch"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    here = check.replace("config/certs/ca/ca.crt", str(authority.file)).replace("https://localhost:9200", server.url)
    assert here.count(str(authority.file)) == here.count(server.url) == 1
    assert subprocess.run(["sh", "-c", here], check=False).returncode == 0
    for wrong in (here.replace("https:", "http:"), here.replace(str(server.port), "1")):
        assert subprocess.run(["sh", "-c", wrong], check=False).returncode != 0


def test_a_missing_privilege_is_named(sign_in, monkeypatch):
    ElasticStore(api_key(sign_in, ROLE, monkeypatch)).close()
    store = ElasticStore(api_key(sign_in, READER, monkeypatch))
    assert store.count(MentionQuery()) == 0
    for write in (lambda: store.add_mentions([a_mention()], now=NOW), lambda: store.put(a_record(Task))):
        with pytest.raises(StoreError, match=r"权限不足.*api_key_env.*unauthorized"):
            write()
    store.close()


def test_a_wrong_password_is_named_with_its_setting(sign_in):
    error = error_of(sign_in(password="falsch"))
    assert not isinstance(error, StoreUnavailable)
    for part in ("凭据", "elastic", "WENSHENG_TEST_PASSWORD"):
        assert part in str(error)
    assert "falsch" not in str(error)


def test_no_credentials_at_all_says_which_settings_to_write(sign_in):
    assert "api_key_env" in str(error_of(sign_in(user="", password_env="")))


def test_a_secret_that_is_not_in_the_environment_is_named(sign_in, monkeypatch):
    settings = sign_in()
    monkeypatch.delenv("WENSHENG_TEST_PASSWORD")
    assert "WENSHENG_TEST_PASSWORD" in str(error_of(settings))


def test_another_authority_than_the_servers_is_named_with_its_setting(sign_in, tmp_path):
    error = error_of(sign_in(ca_file=str(Authority(tmp_path, "other-ca").file)))
    assert "ca_file" in str(error)
    assert "other-ca.pem" in str(error)


def test_an_authority_file_that_is_missing_or_none_is_named(sign_in, tmp_path):
    assert "nowhere.pem" in str(error_of(sign_in(ca_file=str(tmp_path / "nowhere.pem"))))
    (tmp_path / "text.pem").write_text("no certificate")
    assert "ca_file" in str(error_of(sign_in(ca_file=str(tmp_path / "text.pem"))))


def test_an_expired_certificate_is_named(sign_in, secured, handshakes):
    expired = secured[1].server("expired", ends_in=timedelta(days=-1))
    assert "过期" in str(error_of(sign_in(hosts=[handshakes(expired)])))


def test_a_certificate_for_another_host_is_named(sign_in, secured, handshakes):
    elsewhere = secured[1].server("elsewhere", address="192.0.2.1")
    assert "主机名" in str(error_of(sign_in(hosts=[handshakes(elsewhere)])))


def test_plain_http_to_a_server_with_https_says_so(sign_in, secured):
    url = secured[0].url.replace("https:", "http:")
    assert "https://" in str(error_of(sign_in(hosts=[url], ca_file="")))


def test_https_to_a_server_without_it_says_so(sign_in):
    url = shared_url().replace("http:", "https:")
    assert "http://" in str(error_of(sign_in(hosts=[url])))
