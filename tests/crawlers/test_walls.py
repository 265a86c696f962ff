"""Sign-in pages, captchas and refusals are told from content."""

from __future__ import annotations

import pytest

from crawlers.outcome import PageEnd
from crawlers.walls import by_status, is_captcha, is_login


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (200, None),
        (206, None),
        (304, PageEnd.NOT_MODIFIED),
        (302, PageEnd.GONE),
        (400, PageEnd.GONE),
        (401, PageEnd.LOGIN),
        (403, PageEnd.BLOCKED),
        (404, PageEnd.GONE),
        (418, PageEnd.BLOCKED),
        (429, PageEnd.BUSY),
        (432, PageEnd.BLOCKED),
        (500, PageEnd.SERVER),
        (503, PageEnd.SERVER),
    ],
)
def test_a_status_says_how_the_page_ended(status: int, end: PageEnd | None) -> None:
    assert by_status(status) is end


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("https://passport.a.example/signin?from=x", True),
        ("https://a.example/login", True),
        ("https://a.example/user/login.php", True),
        ("https://a.example/members/enter", False),
        ("https://a.example/p/2", False),
        ("https://a.example/blog/login-tips", False),
        ("https://a.example/p/1?utm=x", False),
    ],
)
def test_a_redirect_to_a_sign_in_page_is_recognised(url: str, login: bool) -> None:
    assert is_login(url, "https://a.example/p/1") is login


def test_a_page_that_was_asked_for_is_no_sign_in_redirect() -> None:
    assert not is_login("https://a.example/login", "https://a.example/login")


def test_a_source_can_name_its_own_sign_in_path() -> None:
    assert is_login("https://a.example/members/enter", "https://a.example/p/1", ["/members/enter"])


@pytest.mark.parametrize(
    ("html", "captcha"),
    [
        ("<title>安全验证</title><p>请稍候</p>", True),
        ("<body><p>您的访问过于频繁，请输入验证码</p></body>", True),
        ("<body><script src='/geetest.js'></script></body>", True),
        ("<body><p>" + "今天聊聊验证码的历史，从最早的扭曲字母说起。" * 60 + "</p></body>", False),
        ("<body><p>没有内容</p></body>", False),
        ('{"msg": "captcha"}', False),
    ],
)
def test_a_captcha_page_is_told_from_an_article_about_captchas(html: str, captcha: bool) -> None:
    assert is_captcha(html) is captcha
