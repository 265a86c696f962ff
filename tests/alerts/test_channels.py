"""Senders against a real HTTP collector and a real SMTP server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from alerts.channels import build
from alerts.channels import http as channel_http
from alerts.channels.base import FAILURE_WORDS, ChannelBusy, ChannelError, ChannelRefused, Failure
from alerts.channels.email import Email
from index.models import Level, Notification
from settings import ChannelSettings
from tests.builders import NOW, a_record
from tests.servers.collector import Collector

NOTE: Notification = a_record(
    Notification, id="a|b|@1:0-opened:x", title="🟠 橙色预警 · 山岚咖啡", body="**近 1 小时负面 46 条**\n> 用户: 拉肚子"
)


def sender(kind: str, url: str, environ: dict[str, str] | None = None, **options: Any) -> Any:
    return build(ChannelSettings(id="x", kind=kind, url=url, **options), environ or {}, lambda: NOW)


def refusal(kind: str, collector: Collector, **options: Any) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        sender(kind, collector.url, **options).send(NOTE)
    return caught.value


class TestWebhook:
    def test_it_posts_json_with_an_id_that_stays_the_same(self, collector: Collector) -> None:
        for _ in range(2):
            sender("webhook", collector.url).send(NOTE)
        first, second = collector.received
        assert first.json["title"] == NOTE.title
        assert first.json["level"] == "orange"
        assert first.headers["X-Wensheng-Id"] == second.headers["X-Wensheng-Id"]

    def test_it_signs_the_body_when_a_secret_is_set(self, collector: Collector) -> None:
        sender("webhook", collector.url, {"KEY": "s3"}, secret_env="KEY").send(NOTE)
        (request,) = collector.received
        digest = hmac.new(b"s3", request.body, hashlib.sha256).hexdigest()
        assert request.headers["X-Wensheng-Signature"] == f"sha256={digest}"

    @pytest.mark.parametrize(
        ("status", "reason", "busy"),
        [
            (500, Failure.SERVER_ERROR, True),
            (503, Failure.SERVER_ERROR, True),
            (429, Failure.RATE_LIMITED, True),
            (401, Failure.AUTH, False),
            (404, Failure.CLIENT_ERROR, False),
        ],
    )
    def test_a_status_says_whether_to_try_again(
        self, collector: Collector, status: int, reason: Failure, busy: bool
    ) -> None:
        collector.answer(status)
        error = refusal("webhook", collector)
        assert error.reason == reason
        assert isinstance(error, ChannelBusy) == busy

    def test_it_waits_as_long_as_the_other_side_asks(self, collector: Collector) -> None:
        collector.answer(429, headers={"Retry-After": "120"})
        error = refusal("webhook", collector)
        assert isinstance(error, ChannelBusy)
        assert error.after_s == 120

    def test_it_does_not_follow_a_redirect(self, collector: Collector) -> None:
        collector.answer(302, headers={"Location": collector.url + "/elsewhere"})
        assert refusal("webhook", collector).reason == Failure.REDIRECT
        assert len(collector.received) == 1

    def test_a_dropped_connection_is_worth_another_try(self, collector: Collector) -> None:
        collector.answer(drop=True)
        assert refusal("webhook", collector).reason == Failure.UNREACHABLE

    def test_nobody_there_is_worth_another_try(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(ChannelBusy) as caught:
            sender("webhook", f"http://127.0.0.1:{port}").send(NOTE)
        assert caught.value.reason == Failure.UNREACHABLE

    def test_a_silent_server_is_given_up(self, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(channel_http, "TIMEOUT_S", 0.2)
        release = threading.Event()
        collector.answer(hold=release)
        error = refusal("webhook", collector)
        release.set()
        assert error.reason == Failure.TIMEOUT

    def test_an_error_never_shows_the_address(self, collector: Collector) -> None:
        collector.answer(404)
        with pytest.raises(ChannelRefused) as caught:
            sender("webhook", collector.url + "/hook?key=geheim").send(NOTE)
        assert "geheim" not in str(caught.value)


class TestBots:
    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("wecom", {"errcode": 0}),
            ("dingtalk", {"errcode": 0}),
            ("feishu", {"code": 0}),
            ("feishu", {"StatusCode": 0}),
        ],
    )
    def test_an_accepted_message_is_markdown(self, collector: Collector, kind: str, body: dict[str, int]) -> None:
        collector.answer(200, body)
        sender(kind, collector.url).send(NOTE)
        (request,) = collector.received
        assert "近 1 小时负面 46 条" in request.body.decode()

    @pytest.mark.parametrize(
        ("kind", "body", "reason", "busy"),
        [
            ("wecom", {"errcode": 45009, "errmsg": "api freq out of limit"}, Failure.RATE_LIMITED, True),
            ("wecom", {"errcode": 93000, "errmsg": "invalid webhook url"}, Failure.AUTH, False),
            ("wecom", {"errcode": -1}, Failure.SERVER_ERROR, True),
            ("wecom", {}, Failure.BAD_ANSWER, False),
            ("dingtalk", {"errcode": 310000, "errmsg": "sign not match"}, Failure.AUTH, False),
            ("dingtalk", {"errcode": 130101}, Failure.RATE_LIMITED, True),
            ("dingtalk", {"errcode": 40035}, Failure.CLIENT_ERROR, False),
            ("feishu", {"code": 19021, "msg": "sign match fail"}, Failure.AUTH, False),
            ("feishu", {"code": 19024, "msg": "Key Words Not Found"}, Failure.AUTH, False),
            ("feishu", {"code": 11232}, Failure.RATE_LIMITED, True),
            ("feishu", b"<html>", Failure.BAD_ANSWER, False),
            ("feishu", b"[]", Failure.BAD_ANSWER, False),
        ],
    )
    def test_http_200_with_an_error_in_the_body_is_a_refusal(
        self, collector: Collector, kind: str, body: Any, reason: Failure, busy: bool
    ) -> None:
        collector.answer(200, body)
        error = refusal(kind, collector)
        assert error.reason == reason
        assert isinstance(error, ChannelBusy) == busy

    def test_dingtalk_signs_time_and_secret(self, collector: Collector) -> None:
        collector.answer(200, {"errcode": 0})
        sender("dingtalk", collector.url + "/send?access_token=t", {"S": "SECabc"}, secret_env="S").send(NOTE)
        query = parse_qs(urlsplit(collector.received[0].path).query)
        stamp = str(int(NOW.timestamp() * 1000))
        digest = hmac.new(b"SECabc", f"{stamp}\nSECabc".encode(), hashlib.sha256).digest()
        assert query == {"access_token": ["t"], "timestamp": [stamp], "sign": [base64.b64encode(digest).decode()]}

    def test_feishu_signs_nothing_keyed_with_time_and_secret(self, collector: Collector) -> None:
        collector.answer(200, {"code": 0})
        sender("feishu", collector.url, {"S": "abc"}, secret_env="S").send(NOTE)
        said = collector.received[0].json
        stamp = str(int(NOW.timestamp()))
        digest = hmac.new(f"{stamp}\nabc".encode(), b"", hashlib.sha256).digest()
        assert (said["timestamp"], said["sign"]) == (stamp, base64.b64encode(digest).decode())
        assert said["card"]["header"]["template"] == "orange"

    def test_a_long_message_is_cut_to_what_wecom_takes(self, collector: Collector) -> None:
        collector.answer(200, {"errcode": 0})
        sender("wecom", collector.url).send(NOTE.but(body="很长的一行\n" * 2000))
        assert len(collector.received[0].json["markdown"]["content"].encode()) <= 4096


class Mailbox:
    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.verdict = "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: object, envelope: Any) -> str:  # noqa: N802 - the name that aiosmtpd calls
        if self.verdict.startswith("250"):
            self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.verdict


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


class TestEmail:
    def test_it_arrives_as_plain_text(self, mailbox: tuple[Mailbox, int]) -> None:
        box, port = mailbox
        mail = sender("email", f"smtp://127.0.0.1:{port}", to=("pr@example.com",))
        mail.send(NOTE.but(body="**重要**\n[打开预警](http://h/alerts?alert=1)"))
        (message,) = box.messages
        assert message["Subject"] == NOTE.title
        assert message["To"] == "pr@example.com"
        assert message.get_content().splitlines() == ["重要", "打开预警 http://h/alerts?alert=1"]

    def test_a_repeat_has_the_same_message_id(self, mailbox: tuple[Mailbox, int]) -> None:
        box, port = mailbox
        mail = sender("email", f"smtp://127.0.0.1:{port}", to=("pr@example.com",))
        mail.send(NOTE)
        mail.send(NOTE)
        first, second = box.messages
        assert first["Message-ID"] == second["Message-ID"]

    def test_a_title_cannot_add_a_header(self, mailbox: tuple[Mailbox, int]) -> None:
        box, port = mailbox
        mail = sender("email", f"smtp://127.0.0.1:{port}", to=("pr@example.com",))
        mail.send(NOTE.but(title="预警\r\nBcc: all@example.com"))
        assert box.messages[0]["Bcc"] is None

    @pytest.mark.parametrize(("verdict", "busy"), [("451 try later", True), ("554 spam", False)])
    def test_the_servers_verdict_says_whether_to_try_again(
        self, mailbox: tuple[Mailbox, int], verdict: str, busy: bool
    ) -> None:
        box, port = mailbox
        box.verdict = verdict
        with pytest.raises(ChannelError) as caught:
            sender("email", f"smtp://127.0.0.1:{port}", to=("pr@example.com",)).send(NOTE)
        assert isinstance(caught.value, ChannelBusy) == busy

    def test_no_server_is_worth_another_try(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(ChannelBusy):
            sender("email", f"smtp://127.0.0.1:{port}", to=("pr@example.com",)).send(NOTE)

    def test_user_host_and_port_are_read_from_the_address(self) -> None:
        mail = Email.from_url("x", "smtps://bot%40shanlan.example@mail.example", "p", ("a@example.com",))
        assert (mail.user, mail.host, mail.port, mail.implicit_tls) == (
            "bot@shanlan.example",
            "mail.example",
            465,
            True,
        )


class TestBuild:
    def test_a_missing_variable_is_named(self) -> None:
        with pytest.raises(ChannelRefused, match="DING_SECRET") as caught:
            sender("dingtalk", "https://x.example", secret_env="DING_SECRET")
        assert caught.value.reason == Failure.CONFIG

    def test_the_address_may_come_from_the_environment(self, collector: Collector) -> None:
        sender("webhook", "", {"HOOK": collector.url}, url_env="HOOK").send(NOTE)
        assert len(collector.received) == 1

    @pytest.mark.parametrize(
        ("kind", "url"),
        [
            ("webhook", ""),
            ("webhook", "file:///etc/passwd"),
            ("email", "smtp://u:geheim@h"),
            ("email", "http://h"),
            ("email", "smtp://h"),
            ("apprise", "dingtalk://token"),
            ("apprise", "nonsense://x"),
        ],
    )
    def test_an_address_that_cannot_work_is_refused_at_once(self, kind: str, url: str) -> None:
        with pytest.raises(ChannelRefused) as caught:
            sender(kind, url)
        assert caught.value.reason == Failure.CONFIG
        assert "geheim" not in str(caught.value)

    def test_apprise_sends_what_it_knows(self, collector: Collector) -> None:
        sender("apprise", collector.url.replace("http://", "json://")).send(NOTE)
        assert collector.received[0].json["title"] == NOTE.title

    def test_apprise_refused_is_an_error(self, collector: Collector) -> None:
        collector.answer(500)
        error = refusal_of(sender("apprise", collector.url.replace("http://", "json://")))
        assert isinstance(error, ChannelBusy)


def refusal_of(channel: Any) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        channel.send(NOTE)
    return caught.value


def test_every_failure_has_words() -> None:
    assert set(FAILURE_WORDS) == set(Failure)


def test_every_level_has_a_colour() -> None:
    from alerts.channels.feishu import COLOURS

    assert set(COLOURS) == set(Level)
